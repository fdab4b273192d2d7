"""A TOML file read with the place of each of its keys, so that complaints can name lines."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

from gpualloc.config.lines import key_lines, line_of
from gpualloc.config.settings import Origin, Source
from gpualloc.errors import ConfigError

Tree = dict[str, object]


def parse(file: Path, text: bytes) -> tuple[Tree, dict[str, Origin]]:
    """The tree of a TOML text and the origin of each of its dotted keys; raises ConfigError when it is no TOML."""
    try:
        decoded = text.decode()
    except UnicodeDecodeError as cause:
        line = text.count(b"\n", 0, cause.start) + 1
        raise ConfigError(f"{file}, line {line}: not UTF-8 text", hint="save the file as UTF-8") from cause
    decoded = decoded.replace("\r\n", "\n")
    try:
        tree = tomllib.loads(decoded)
    except (ValueError, RecursionError) as cause:  # a number of 5000 digits is a plain ValueError
        raise _not_toml(file, decoded, str(cause)) from cause
    lines = key_lines(decoded)
    origins = {dotted(path): Origin(Source.FILE, str(file), line_of(lines, path)) for path in _paths(tree, ())}
    return tree, origins


def dotted(path: Iterable[str | int]) -> str:
    """A path as it is shown."""
    return ".".join(str(part) for part in path)


def _paths(value: object, above: tuple[str | int, ...]) -> Iterable[tuple[str | int, ...]]:
    """The paths of all keys and array places in a tree."""
    entries: Iterable[tuple[str | int, object]] = ()
    if isinstance(value, dict):
        entries = value.items()
    elif isinstance(value, list):
        entries = enumerate(value)
    for name, below in entries:
        yield (*above, name)
        yield from _paths(below, (*above, name))


def _not_toml(file: Path, text: str, said: str) -> ConfigError:
    """The parser's complaint with its line in front."""
    place = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", said)
    line = int(place[1]) if place and place[1] else text.rstrip().count("\n") + 1
    what = said[: place.start()] if place else said
    return ConfigError(f"{file}, line {line}: not valid TOML: {what}", hint="texts stand in double quotes, as in TOML")
