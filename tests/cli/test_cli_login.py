"""The line of docs/login.md does what it says, in each shell that reads it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

TEXT = (Path(__file__).parents[2] / "docs" / "login.md").read_text()
SNIPPET = re.search(r"```sh\n(.*?)```", TEXT, re.DOTALL)[1]
SHELLS = [name for name in ("sh", "bash", "dash") if shutil.which(name)]


@pytest.mark.parametrize("options", ["", "set -eu; "])
@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ({}, "set:"),
        ({"CUDA_VISIBLE_DEVICES": "GPU-1"}, "set:GPU-1"),
        ({"CUDA_VISIBLE_DEVICES": ""}, "set:"),
        ({"GPUALLOC_WORKLOAD": "w12345678", "CUDA_VISIBLE_DEVICES": "GPU-1,GPU-2"}, "set:GPU-1,GPU-2"),
        ({"GPUALLOC_WORKLOAD": "w12345678"}, ":"),
    ],
)
def test_who_was_given_nothing_sees_no_gpu(shell, options, given, seen):
    look = "/usr/bin/env sh -c 'echo \"${CUDA_VISIBLE_DEVICES+set}:${CUDA_VISIBLE_DEVICES-}\"'"
    done = subprocess.run(
        [shell, "-c", f"{options}{SNIPPET}\n{look}"],
        env={"PATH": "/usr/bin:/bin", **given},
        text=True,
        capture_output=True,
        check=True,
    )
    assert (done.stdout.strip(), done.stderr) == (seen, "")
