"""Completion files for bash, zsh and fish, made from the table of verbs and their options.

`python -m gpualloc.cli.completions DIR` writes them; a test fails when those in `completions/` are stale. The metavar
of a parameter says what completes it; values that change are asked of `gpualloc __complete KIND`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from gpualloc.cli import app
from gpualloc.model.health import Severity
from gpualloc.model.signals import ProcessSignal
from gpualloc.tui.options import THEME_NAMES, VIEW_NAMES

SHELLS = {"bash": "gpualloc.bash", "zsh": "gpualloc.zsh", "fish": "gpualloc.fish"}
"""Shell to the name of its file."""

_ASKED = {
    "NODE": "nodes",
    "SET": "nodes",
    "WORKLOAD": "workloads",
    "POLICY": "policies",
    "SAVED": "profiles",
    "METRIC": "metrics",
    "FORESEEN": "foreseen",
    "POOL": "pools",
}
_FIXED = {
    "SHELL": tuple(SHELLS),
    "PARTS": ("pool", "tenant", "profile", "all"),
    "SEVERITY": tuple(Severity),
    "THEME": THEME_NAMES,
    "VIEW": VIEW_NAMES,
    "SIGNAL": tuple(ProcessSignal),
}


class Option(Struct, frozen=True):
    """An option as a shell sees it."""

    names: tuple[str, ...]
    takes: str | None
    """What its value is (`file`, `dir`, `ask KIND`, `one of a b`, or `` for free text); None for a flag."""
    help: str


class Completed(Struct, frozen=True):
    """A verb, or a verb with its sub-verb, as a shell sees it."""

    words: tuple[str, ...]
    help: str
    options: tuple[Option, ...]
    arguments: str
    """What its arguments are, as in `Option.takes`."""
    below: tuple[str, ...] = ()
    """Names of its sub-verbs."""


def described() -> list[Completed]:
    """Every verb and sub-verb, with the root first; imports all of them."""
    below = tuple(name for name, verb in app.VERBS.items() if not verb.hidden)
    found = [Completed((), "", _options(app.root_command()), "", below)]
    for name, verb in app.VERBS.items():
        if not verb.hidden:
            found.extend(_described((name,), verb.help, app.load(name, verb)))
    return found


def _described(words: tuple[str, ...], about: str, command: Any) -> Iterator[Completed]:
    below = getattr(command, "commands", {})
    arguments = next((_takes(param) for param in command.params if param.param_type_name == "argument"), "")
    yield Completed(words, about, _options(command), arguments, tuple(below))
    for name, sub in below.items():
        yield from _described((*words, name), (sub.help or "").partition("\n")[0], sub)


def _options(command: Any) -> tuple[Option, ...]:
    options = [_option(param) for param in command.params if param.param_type_name == "option"]
    return (*options, Option(("-h", "--help"), None, "Show this message and exit."))


def _option(param: Any) -> Option:
    flag = getattr(param, "is_flag", False)
    return Option((*param.opts, *param.secondary_opts), None if flag else _takes(param), param.help or "")


def _takes(param: Any) -> str:
    what = (param.metavar or "").strip("[].")
    if what in ("FILE", "SIM"):
        return "file"
    if what == "DIR":
        return "dir"
    if what in _ASKED:
        return f"ask {_ASKED[what]}"
    return "one of " + " ".join(_FIXED[what]) if what in _FIXED else ""


def render(shell: str) -> str:
    """The completion file of the shell, ended by a newline."""
    from gpualloc.cli import completion_scripts

    writers = {
        "bash": completion_scripts.bash,
        "zsh": completion_scripts.zsh,
        "fish": completion_scripts.fish,
    }
    return writers[shell](described())


def main(folder: Path) -> None:
    """Write the files of all shells into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for shell, name in SHELLS.items():
        (folder / name).write_text(render(shell), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
