"""What the dashboard remembers between runs: one small JSON file beside the state, private, replaced whole.

Nothing in it is needed. A file that cannot be used is put aside, one that cannot be written is done without; either is
said once, and neither stops the dashboard.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field, to_builtins

FORMAT = 1
MAX_BYTES = 64 * 1024
MAX_LISTS = 32
MAX_COLUMNS = 64
MAX_SORTS = 8
MAX_FILTERS = 64
MAX_NAME_CHARS = 64
MAX_FILTER_CHARS = 1000
_ASIDE = ".aside"


class ListLook(Struct, frozen=True):
    """How one list is shown."""

    columns: tuple[str, ...] | None = None
    """Names of the fields shown, in their order; None is the usual ones."""
    sort: tuple[tuple[str, bool], ...] = ()
    """Fields it is sorted by, the first counts most, and whether each descends; empty is the usual order."""
    gathered: str | None = None
    """What its rows are gathered by; None is nothing."""


class Remembered(Struct, frozen=True):
    """What the user chose; None is the usual."""

    theme: str | None = None
    view: str | None = None
    """The view that was on top at the end."""
    heat: str | None = None
    """Name of the field that colours the heat grid."""
    lists: Mapping[str, ListLook] = field(default_factory=dict)
    """By the name of the list."""
    filters: Mapping[str, str] = field(default_factory=dict)
    """Saved filters: name to text."""


class UnusableError(ValueError):
    """A text is nothing that was remembered; says what is wrong with it."""


class Memory:
    """The file of what is remembered, and what there is to say of it.

    Args:
        path: the file; None remembers nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._notice: str | None = None
        self._remembered = Remembered()
        if path is not None:
            self._read(path)

    @property
    def remembered(self) -> Remembered:
        """What was remembered last."""
        return self._remembered

    def keep(self, remembered: Remembered) -> None:
        """Remember this from now on; written at once when it is another. Never raises for the file's sake."""
        if remembered == self._remembered:
            return
        self._remembered = remembered
        if self._path is None:
            return
        try:
            _replace(self._path, encoded(remembered))
        except UnusableError as error:
            self._notice = f"settings are not remembered: {error}"
        except OSError as error:
            self._do_without(f"{self._path} cannot be written: {error.strerror}")

    def take_notice(self) -> str | None:
        """What there is to tell the user, one line and once; None when all is well."""
        notice, self._notice = self._notice, None
        return notice

    def _read(self, path: Path) -> None:
        try:
            text = _content(path)
        except FileNotFoundError:
            return
        except PermissionError as error:
            self._do_without(f"{path} is not ours: {error.strerror}")
            return
        except OSError as error:
            self._put_aside(path, error.strerror or str(error))
            return
        try:
            self._remembered = decoded(text)
        except UnusableError as error:
            self._put_aside(path, str(error))

    def _put_aside(self, path: Path, why: str) -> None:
        aside = path.with_name(path.name + _ASIDE)
        try:
            path.replace(aside)
        except OSError as error:
            self._do_without(f"{path} cannot be used ({why}) and not be put aside: {error.strerror}")
        else:
            self._notice = f"remembered settings cannot be used ({why}); they are kept as {aside}"

    def _do_without(self, why: str) -> None:
        self._path = None
        self._notice = f"settings are not remembered: {why}"


def encoded(remembered: Remembered) -> bytes:
    """The text of the file.

    Raises:
        UnusableError: there is more of it than is read again.
    """
    text = json.dumps({"format": FORMAT, **to_builtins(remembered)}, ensure_ascii=True, sort_keys=True, indent=1)
    if decoded(text.encode()) != remembered:
        raise UnusableError("there are too many of them")
    return text.encode()


def decoded(text: bytes) -> Remembered:
    """What the text of a file remembers. More than the bounds allow, and what is of a wrong type, is left out.

    Raises:
        UnusableError: it is no such file, or one of a newer version.
    """
    if len(text) > MAX_BYTES:
        raise UnusableError(f"larger than {MAX_BYTES // 1024} KiB")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnusableError("no JSON") from error
    if not isinstance(document, dict) or type(document.get("format")) is not int:
        raise UnusableError("not written by gpualloc")
    if document["format"] != FORMAT:
        raise UnusableError(f"format {document['format']}, of another version of gpualloc")
    return Remembered(
        theme=_name(document.get("theme")),
        view=_name(document.get("view")),
        heat=_name(document.get("heat")),
        lists={name: _list_look(value) for name, value in _named(document.get("lists"), MAX_LISTS)},
        filters={
            name: value
            for name, value in _named(document.get("filters"), MAX_FILTERS)
            if isinstance(value, str) and len(value) <= MAX_FILTER_CHARS and value.isprintable()
        },
    )


def _list_look(value: Any) -> ListLook:
    found = value if isinstance(value, dict) else {}
    columns, sort = found.get("columns"), found.get("sort")
    pairs = [pair for pair in _items(sort, MAX_SORTS) if isinstance(pair, list) and len(pair) == 2]
    return ListLook(
        columns=tuple(name for each in _items(columns, MAX_COLUMNS) if (name := _name(each))) or None,
        sort=tuple((name, pair[1] is True) for pair in pairs if (name := _name(pair[0]))),
        gathered=_name(found.get("gathered")),
    )


def _named(value: Any, most: int) -> list[tuple[str, Any]]:
    pairs = value.items() if isinstance(value, dict) else ()
    return [(name, each) for name, each in pairs if _name(name)][:most]


def _items(value: Any, most: int) -> list[Any]:
    return value[:most] if isinstance(value, list) else []


def _name(value: Any) -> str | None:
    """A short text that can be shown; None for anything else."""
    return value if isinstance(value, str) and 0 < len(value) <= MAX_NAME_CHARS and value.isprintable() else None


def _content(path: Path) -> bytes:
    """What is in the file; one byte more than the bound at most.

    Raises:
        PermissionError: it belongs to somebody else.
        OSError: it cannot be read, or is no plain file, which could hold the dashboard up.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as stream:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid():
            raise PermissionError(0, "it belongs to another account")
        if not stat.S_ISREG(found.st_mode):
            raise OSError(0, "no plain file")
        return stream.read(MAX_BYTES + 1)


def _replace(path: Path, text: bytes) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(text)
        draft.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
