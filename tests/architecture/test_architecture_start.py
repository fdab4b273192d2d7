"""What a command imports, seen in a process of its own: the static graph cannot tell what is deferred."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

HEAVY = {"pydantic", "sqlite_utils", "numpy", "ClusterShell", "textual", "rich", "tomllib"}
DECIDING = {"importlib.metadata", "gpualloc.policies", "gpualloc.planning", "gpualloc.engine.apply"}
"""What only commands need that decide or change something."""
WRITING = {"secrets", "hashlib", "gpualloc.store.history"}
"""What only commands need that make an id or an entry."""

SEEN = """
import json, sys
sys.argv = ["gpualloc", *json.loads(sys.argv[1])]
from gpualloc.__main__ import main
try:
    code = main()
except SystemExit as leaving:
    code = leaving.code
with open(3, "w") as out:
    json.dump([code or 0, list(sys.modules)], out)
"""


@pytest.fixture
def run(tmp_path):
    """Run a command with a state of its own; returns its exit code, stdout, and modules as it loaded them."""

    def run(*arguments: str) -> tuple[int, str, list[str]]:
        seen = tmp_path / "seen.json"
        env = {name: value for name, value in os.environ.items() if not name.startswith("GPUALLOC_")}
        env |= {"HOME": str(tmp_path), "GPUALLOC_STATE_DIR": str(tmp_path / "state")}
        program = SEEN.replace("open(3", f"open({str(seen)!r}")
        command = [sys.executable, "-c", program, json.dumps(arguments)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=120)
        assert seen.exists(), done.stderr
        code, modules = json.loads(seen.read_text())
        return code, done.stdout, modules

    return run


def test_the_version_is_answered_before_anything_is_imported(run):
    code, text, modules = run("--version")
    assert (code, text.split()[0]) == (0, "gpualloc")
    assert ({"typer", "click", "sqlite3", "psutil"} | HEAVY) & set(modules) == set()


@pytest.mark.parametrize("verb", ["nodes", "ps"])
def test_reading_verbs_import_nothing_heavy(run, verb):
    run("--sim", "demo", verb, "--json")
    code, text, modules = run("--sim", "demo", verb, "--json")
    assert code == 0, text
    assert json.loads(text)["schema"] == f"gpualloc.{verb}/1"
    assert HEAVY & set(modules) == set()


def test_reading_verbs_import_nothing_heavy_with_a_configuration_file(run, tmp_path):
    file = tmp_path / "config.toml"
    file.write_text('[history]\nretention = "7d"\n[pools.p]\nnodes = "localhost"\n')
    run("--config", str(file), "ps", "--json")
    code, text, modules = run("--config", str(file), "ps", "--json")
    assert code == 0, text
    assert HEAVY & set(modules) == set()


def test_help_imports_no_dashboard(run):
    code, text, modules = run("--help")
    assert code == 0
    assert "rebalance" in text
    assert (HEAVY | {"gpualloc.wiring", "gpualloc.model.inventory", "gpualloc.engine", "sqlite3"}) & set(
        modules
    ) == set()


def test_looking_at_this_machine_imports_nothing_that_decides_or_writes(run):
    run("nodes", "--json")
    code, text, modules = run("nodes", "--json")
    assert code == 0, text
    assert (HEAVY | DECIDING | WRITING | {"gpualloc.adapters.ssh", "gpualloc.sim"}) & set(modules) == set()


def test_this_machine_is_begun_before_what_is_not_needed_for_that_is_imported(run):
    code, text, modules = run("nodes", "--json")
    assert code == 0, text
    begun = modules.index("gpualloc.adapters.local_start")
    later = (
        "typer",
        "dataclasses",
        "gpualloc.wiring",
        "gpualloc.model.inventory",
        "gpualloc.adapters.fleet",
        "sqlite3",
    )
    assert [name for name in later if modules.index(name) < begun] == []


@pytest.mark.parametrize("arguments", [["nodes"], ["--sim", "demo", "nodes"], ["nodes", "--sim", "demo"]])
def test_where_another_world_may_be_meant_this_machine_is_not_begun_before_that_is_known(run, tmp_path, arguments):
    if "--sim" not in arguments:
        file = tmp_path / ".config" / "gpualloc" / "config.toml"
        file.parent.mkdir(parents=True)
        file.write_text('[pools.p]\nnodes = "localhost"\n')
    code, text, modules = run(*arguments, "--json")
    assert code == 0, text
    assert "gpualloc.adapters.local_start" not in modules[: modules.index("gpualloc.wiring")]
