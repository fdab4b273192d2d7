"""Device rules in force: what holds the GPUs of a start, and what stays of others. No GPU is needed."""

import ctypes
import errno
import os
import stat
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from gpualloc.node import bpf, cgroup, device_rule
from gpualloc.node.launch import Launcher
from gpualloc.node.wire import Refused
from gpualloc.node.workloads import Workloads

pytestmark = pytest.mark.root

MOUNTS = Path("/proc/self/mounts").read_text()
UNIFIED = next((line.split()[1] for line in MOUNTS.splitlines() if line.split()[2] == "cgroup2"), None)
UUID = "GPU-00000000-1111-2222-3333-444444444444"
ROWS = [{"uuid": UUID, "minor": 1, "mig_instances": []}]
ALLOW_ALL = struct.pack("<BBhiBBhi", 0xB7, 0, 0, 1, 0x95, 0, 0, 0)

needs_isolation = pytest.mark.skipif(cgroup.probe().isolation() is None, reason="nobody can be kept from devices here")
needs_programs = pytest.mark.skipif(UNIFIED is None or not bpf.available(), reason="no device programs here")


def start(node, *command, share="exclusive", known=True, **more):
    """Start a command with the GPU of minor 1; answers its id and its facts, or the refusal."""
    groups, workload = cgroup.probe(), node.workload()
    state_dir = str(node.state_dir)
    workloads = Workloads(state_dir, groups, "this boot")
    launcher = Launcher(state_dir, "this boot", groups, workloads, devices=lambda: ROWS if known else [])
    grant = {"device": UUID, "mig_instance": None, "share": share, "fraction": 1.0, "memory_mib": None}
    step = {
        "workload": workload,
        "attempt": 1,
        "controller": "c" * 32,
        "command": list(command),
        "checkpoint": {"signal": None, "command": [], "grace_s": 0.0},
        "env": {},
        "cwd": None,
        "user": None,
        "at_most_s": None,
        "grants": [grant] if share else [],
        "require_hard": False,
        "cpus": None,
        "cpuset": None,
        "memory_mib": None,
        "pids": None,
        **more,
    }
    try:
        return workload, launcher.start(step)
    finally:
        node.at_end.append(lambda: launcher.stop(workloads.folder(workload), 0))


@pytest.fixture
def gpu_files(tmp_path):
    """Device files of GPUs 0 and 1, and nvidiactl, by minor."""
    paths = {minor: tmp_path / f"nvidia{minor}" for minor in (0, 1, 255)}
    for minor, path in paths.items():
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(195, minor))
        try:
            os.close(os.open(path, os.O_RDONLY))
        except OSError as error:
            if error.errno != errno.ENXIO:
                pytest.skip(f"device files cannot be used here: {error}")
    return paths


LOOK = """
import errno, os, sys
for path in sys.argv[2:]:
    try:
        os.close(os.open(path, os.O_RDWR))
        answer = "ok"
    except OSError as error:
        answer = errno.errorcode[error.errno]
    with open(sys.argv[1], "a") as file:
        file.write(answer + "\\n")
"""


def look(node, tmp_path, gpu_files, **more):
    """How GPU 0, GPU 1 and nvidiactl answer the command of a start, and what it was held by."""
    out = tmp_path / "answers"
    _, facts = start(node, sys.executable, "-c", LOOK, str(out), *map(str, gpu_files.values()), **more)
    node.until(lambda: out.exists() and len(out.read_text().splitlines()) == 3)
    return out.read_text().split(), facts["held_by"]["gpu"]


@needs_isolation
def test_a_gpu_of_its_own_is_held_by_the_kernel(node, tmp_path, gpu_files):
    assert look(node, tmp_path, gpu_files, require_hard=True) == (["EPERM", "ENXIO", "ENXIO"], "hard")


@needs_isolation
def test_a_time_slice_is_booked_and_the_other_gpus_are_denied(node, tmp_path, gpu_files):
    assert look(node, tmp_path, gpu_files, share="time-slice") == (["EPERM", "ENXIO", "ENXIO"], "booked")


@needs_isolation
def test_work_without_gpus_opens_none(node, tmp_path, gpu_files):
    assert look(node, tmp_path, gpu_files, share=None) == (["EPERM", "EPERM", "ENXIO"], None)


def test_a_gpu_whose_file_is_not_known_is_held_by_the_environment(node, tmp_path, gpu_files):
    assert look(node, tmp_path, gpu_files, known=False) == (["ENXIO", "ENXIO", "ENXIO"], "soft")
    with pytest.raises(Refused, match="not known which device files") as refused:
        start(node, "true", known=False, require_hard=True)
    assert refused.value.reason == "no-cgroup"


def test_an_account_without_rights_says_so():
    script = (
        "import os; from gpualloc.node import bpf, cgroup, cgroup1, cgroup2\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "print(bpf.available(), cgroup.probe().isolation())"
    )
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "None"]


@pytest.fixture
def group(node):
    """A group of ours in version 2, and its workload."""
    workload = node.workload()
    folder = Path(UNIFIED, "gpualloc", workload)
    groups = cgroup.probe(f"cgroup2 {UNIFIED} cgroup2 rw 0 0\n")
    groups.make(workload)
    yield folder
    groups.remove(workload)


def attach_as_stranger(group, flags):
    """What another program may do to any group: attach something with the flags it likes."""
    fd, folder_fd = bpf.load(ALLOW_ALL, "stranger"), os.open(group, os.O_RDONLY)
    attribute = ctypes.create_string_buffer(struct.pack("=IIII", folder_fd, fd, 6, flags), 16)
    assert ctypes.CDLL(None).syscall({"x86_64": 321, "aarch64": 280}[os.uname().machine], 8, attribute, 16) == 0
    os.close(fd)
    os.close(folder_fd)


RULE = device_rule.made({195: {1, 255}})


@needs_programs
def test_a_program_of_others_stays_beside_ours(group):
    attach_as_stranger(group, 2)
    bpf.attach(str(group), RULE, group.name)
    assert sorted(one.name for one in bpf.query(str(group))) == ["stranger", group.name]
    bpf.attach(str(group), device_rule.made({195: set()}), group.name)
    bpf.detach(str(group), group.name)
    assert [one.name for one in bpf.query(str(group))] == ["stranger"]


@needs_programs
def test_a_program_that_allows_none_beside_it_is_a_refusal(group):
    attach_as_stranger(group, 0)
    with pytest.raises(PermissionError, match="allows none beside it"):
        bpf.attach(str(group), RULE, group.name)
    assert [one.name for one in bpf.query(str(group))] == ["stranger"]


@needs_programs
def test_what_was_attached_twice_under_our_name_becomes_one(group):
    """Two node programs without a lock between them, or an older kernel that was cut off between two steps."""
    for minor in (3, 4):
        fd = bpf.load(bpf.assemble(device_rule.made({195: {minor}})), group.name)
        folder_fd = os.open(group, os.O_RDONLY)
        bpf._bpf(8, struct.pack("=IIII", folder_fd, fd, 6, 2))
        os.close(fd)
        os.close(folder_fd)
    assert bpf.restricted(str(group), group.name).count("+") == 1
    bpf.attach(str(group), RULE, group.name)
    assert bpf.restricted(str(group), group.name) == bpf.tag(RULE)


@needs_programs
def test_a_refused_program_tells_what_the_verifier_said():
    with pytest.raises(OSError, match="not an exit") as refused:
        bpf.load(bpf.assemble(RULE)[:-8], "broken")
    assert refused.value.errno == errno.EINVAL


@needs_programs
def test_a_rule_of_many_majors_and_minors_is_loaded():
    """A host with eight GPUs of seven instances each has far fewer."""
    many = device_rule.made({195: range(0, 256, 2), 508: range(400)})
    assert len(bpf.tag(many)) == 16
