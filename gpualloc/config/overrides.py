"""Configuration keys given by environment variables and flags."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from gpualloc.config.keys import ENVIRONMENT_PREFIX, RESERVED_VARIABLES, SCALARS
from gpualloc.config.problem import Problem
from gpualloc.config.settings import Origin, Source


class Override(Struct, frozen=True):
    """One key with the text it was given outside the file."""

    path: str
    text: str
    origin: Origin


def collect(env: Mapping[str, str], flags: Mapping[str, str]) -> tuple[tuple[Override, ...], tuple[Problem, ...]]:
    """The keys that variables and flags set, weakest first, and what is wrong with their names.

    Args:
        env: the whole environment; only names with gpualloc's prefix matter.
        flags: dotted key to text, for keys in `keys.SCALARS`.
    """
    by_variable = {key.variable: path for path, key in SCALARS.items()}
    found, problems = [], []
    for name in sorted(env):
        if not name.startswith(ENVIRONMENT_PREFIX) or name in RESERVED_VARIABLES:
            continue
        if name in by_variable:
            found.append(Override(by_variable[name], env[name], Origin(Source.ENVIRONMENT, name)))
        else:
            problems.append(_unknown_variable(name))
    found += [
        Override(path, text, Origin(Source.FLAG, "--" + path.rsplit(".", 1)[-1].replace("_", "-")))
        for path, text in sorted(flags.items())
    ]
    return tuple(found), tuple(problems)


def _unknown_variable(name: str) -> Problem:
    from difflib import get_close_matches

    known = [key.variable for key in SCALARS.values() if key.variable] + sorted(RESERVED_VARIABLES)
    near = get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else "docs/configuration.md lists the variables; unset this one"
    return Problem(Origin(Source.ENVIRONMENT, name[:80]), "sets no configuration key", hint)
