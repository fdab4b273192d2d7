"""The replay in C that weights were searched with decides as the policy itself; bench/pack_search/README.md."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SEARCH = Path(__file__).parents[3] / "bench" / "pack_search" / "search.py"


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler (cc) to build the replay with")
def test_replay_decides_as_pack() -> None:
    done = subprocess.run(
        [sys.executable, SEARCH, "check", "--traces", "multigpu20,gpuspec33", "--arrivals", "1000"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = [line.split(": ")[1] for line in done.stdout.splitlines()]
    assert told == ["1000 equal decisions, 0 of them refusals", "1000 equal decisions, 0 of them refusals"]
