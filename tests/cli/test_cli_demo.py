"""bench/demo.sh shows each command, and stops at the first that fails."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "bench" / "demo.sh"


@pytest.fixture
def demo(tmp_path):
    """Run the demo in a folder of its own with a stand-in that notes its calls and fails at one verb."""

    def demo(fails_at: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
        (tmp_path / "bench").mkdir()
        shutil.copy(DEMO, tmp_path / "bench")
        stand_in = tmp_path / "gpualloc"
        stand_in.write_text(
            f'#!/bin/sh\nmkdir -p "$GPUALLOC_STATE_DIR"\necho "$*" >>"{tmp_path}/calls"\n'
            f'[ "$1" = "{fails_at}" ] && exit 5\necho \'{{"uuid": "GPU-12ab"}}\'\n'
        )
        stand_in.chmod(0o755)
        command = ["bash", str(tmp_path / "bench" / "demo.sh")]
        env = {"PATH": "/usr/bin:/bin", "GPUALLOC": str(stand_in)}
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
        return done, (tmp_path / "calls").read_text().splitlines()

    return demo


def test_the_whole_path_in_order(demo):
    done, calls = demo("nothing")
    assert done.returncode == 0
    verbs = list(dict.fromkeys(call.split()[0] for call in calls))
    path = ["nodes", "sample", "history", "submit", "plan", "apply", "ps", "wait", "rebalance"]
    path += ["mig", "drain", "drift", "uncordon", "audit", "status"]
    assert [verb for verb in verbs if verb in path] == path
    calls.remove("nodes fir01 --json")
    shown = {line.removeprefix("$ gpualloc ").replace("\\", "") for line in done.stdout.splitlines() if line[:1] == "$"}
    assert shown == set(calls)
    assert "What happened" in done.stdout
    assert "\x1b" not in done.stdout


def test_it_stops_at_the_first_command_that_fails(demo):
    done, calls = demo("apply")
    assert done.returncode == 5
    assert calls[-1] == "apply --yes"
    assert "demo stopped: the command above ended with exit code 5" in done.stderr
    assert "What happened" not in done.stdout
