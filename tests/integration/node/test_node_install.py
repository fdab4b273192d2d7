"""What `install` puts on a node is one file of root's that runs by itself."""

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from gpualloc.node.install import install, uninstall
from gpualloc.node.wire import Refused

pytestmark = pytest.mark.root


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "root"
    folder.mkdir(mode=0o755)
    return folder


def test_the_installed_file_serves_and_starts_work_alone(root, any_node):
    program_path, config_path = map(Path, install(str(root), ["*"], [], any_node.python))
    assert program_path == root / "usr/local/sbin/gpualloc-node"
    status = program_path.stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (0, 0o755)
    assert json.loads(config_path.read_text()) == {"run_as": ["*"]}
    program = any_node.program(["env", "-u", "PYTHONPATH", str(program_path), "serve", "--nonce", "n"])
    assert program.ask("hello")["ok"]["wire"] == 3
    workload, _ = any_node.start(program, "sh", "-c", "exit 6", cwd=str(root))
    assert program.end(workload)["exit_code"] == 6
    assert program.close() == 0


def test_work_goes_on_when_the_installed_file_is_removed(root, any_node):
    program_path = install(str(root), [], [], any_node.python)[0]
    program = any_node.program(["env", "-u", "PYTHONPATH", program_path])
    os.mkfifo(root / "go")
    workload, _ = any_node.start(program, "sh", "-c", "read line < go; exit 6", cwd=str(root), memory_mib=64)
    program.close()
    assert sorted(uninstall(str(root))) == sorted([program_path, str(root / "etc/gpualloc/node.json")])
    (root / "go").write_text("\n")
    assert any_node.program().end(workload)["exit_code"] == 6


def test_sudo_gets_a_rule_for_serving_only(root, node):
    paths = install(str(root), [], ["alice", "%operators"], node.python)
    assert stat.S_IMODE(os.stat(paths[2]).st_mode) == 0o440
    lines = Path(paths[2]).read_text().splitlines()
    program = "/usr/local/sbin/gpualloc-node"
    assert lines[0] == f"alice ALL=(root) NOPASSWD: {program} serve, {program} serve --nonce *"
    assert lines[1].startswith("%operators ")
    assert sorted(uninstall(str(root))) == sorted(paths)
    assert uninstall(str(root)) == []


@pytest.mark.parametrize("user", ["a b", "ALL=(ALL) ALL #", "", "x\ny", "%"])
def test_a_name_that_would_change_the_rule_is_refused(root, node, user):
    with pytest.raises(Refused) as refused:
        install(str(root), [], [user], node.python)
    assert refused.value.reason == "bad-request"
    assert not (root / "etc/sudoers.d").exists()


def test_an_interpreter_or_folder_of_others_is_refused(root, node, tmp_path):
    python = tmp_path / "python3"
    python.write_text("")
    python.chmod(0o777)
    with pytest.raises(Refused) as refused:
        install(str(root), [], [], str(python))
    assert refused.value.reason == "not-permitted"
    (root / "usr").mkdir()
    (root / "usr").chmod(0o777)
    with pytest.raises(Refused):
        install(str(root), [], [], node.python)
    assert list((root / "usr").iterdir()) == []


def test_the_interpreter_is_isolated_from_the_callers_environment(root, node, tmp_path):
    (tmp_path / "json.py").write_text("raise SystemExit(77)")
    program = install(str(root), [], [], node.python)[0]
    told = subprocess.run(
        [program, "dance"], env={"PYTHONPATH": str(tmp_path)}, cwd=tmp_path, capture_output=True, check=False
    )
    assert told.returncode == 2
