"""The completion files: made from the table, and complete what they should."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gpualloc.cli.app import VERBS
from gpualloc.cli.completions import SHELLS, render

FOLDER = Path(__file__).parents[2] / "completions"


@pytest.mark.parametrize("shell", SHELLS)
def test_the_files_are_not_stale(shell):
    assert (FOLDER / SHELLS[shell]).read_text(encoding="utf-8") == render(shell), "run `make completions`"


def test_there_is_no_other_file():
    assert {file.name for file in FOLDER.iterdir()} == set(SHELLS.values())


@pytest.mark.parametrize("shell", SHELLS)
def test_every_verb_is_in(shell):
    text = render(shell)
    assert all(name in text for name, verb in VERBS.items() if not verb.hidden)
    assert "hunter2" not in text


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_can_read_it(shell):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    subprocess.run([shell, "-n", FOLDER / SHELLS[shell]], check=True, timeout=60)


def completed(tmp_path, *words):
    """What bash offers for the last word; `gpualloc` in it is this one."""
    program = tmp_path / "gpualloc"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gpualloc "$@"\n')
    program.chmod(0o755)
    script = (
        f"source {FOLDER / 'gpualloc.bash'}\n"
        "compopt() { :; }\n"
        'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _gpualloc; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    ran = subprocess.run(
        ["bash", "-c", script, "bash", "gpualloc", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=environment,
    )
    return ran.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["re"], ["replay", "release", "resume", "recover", "rebalance", "reconcile", "record"]),
        (["plan", "--detailed"], ["--detailed-exitcode"]),
        (["--sim", "demo", "hist"], ["history"]),
        (["config", "sh"], ["show"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["history", "--metric", "power"], ["power_w"]),
        (["plan", "--policy", "best"], ["best-fit"]),
    ],
)
def test_bash_completes(tmp_path, words, offered):
    assert completed(tmp_path, *words) == offered
