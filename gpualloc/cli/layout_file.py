"""MIG layouts on disk: which devices are to have which instances (docs/mig.md)."""

from __future__ import annotations

import fnmatch
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from gpualloc.engine.mig import Wish
from gpualloc.errors import BrokenInputError, NotFoundError
from gpualloc.model.inventory import Device, Node, Snapshot
from gpualloc.model.mig import Layout, layout_of, parse_layout

_SELECTORS = ("device", "node", "index", "model")
_KEYS = (*_SELECTORS, "places", "mig")


class Entry(Struct, frozen=True):
    """One `[[layout]]`: the devices that fit every selector given are to have the layout."""

    device: str | None
    """Full UUID."""
    node: str | None
    """Glob on node names."""
    index: int | None
    model: str | None
    """Glob on product names, whatever the case."""
    target: Layout | None
    """None is MIG mode off."""

    def selects(self, node: Node, device: Device) -> bool:
        """Whether the entry is about that device."""
        return (
            self.device in (None, device.uuid)
            and self.index in (None, device.index)
            and (self.node is None or fnmatch.fnmatchcase(node.name, self.node))
            and (self.model is None or fnmatch.fnmatchcase(device.model.casefold(), self.model.casefold()))
        )


def read_layouts(path: Path) -> tuple[Entry, ...]:
    """Read a layout file.

    Raises:
        BrokenInputError: it cannot be read, or says something that is no layout.
        UsageError: a place has the wrong form.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BrokenInputError(f"the layout file {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BrokenInputError(f"the layout file {path} is not TOML: {error}") from error
    entries = document.get("layout")
    if set(document) - {"layout"} or not isinstance(entries, list) or not entries:
        raise BrokenInputError(f"{path} holds no [[layout]] tables, or something beside them")
    return tuple(_entry(f"{path}, layout {number}", plain) for number, plain in enumerate(entries, start=1))


def _entry(where: str, plain: object) -> Entry:
    if not isinstance(plain, dict):
        raise BrokenInputError(f"{where} is not a table")
    unknown = sorted(set(plain) - set(_KEYS))
    if unknown:
        raise BrokenInputError(f"{where}: {unknown[0]!r} is not a key", hint=f"the keys are {', '.join(_KEYS)}")
    if not set(plain) & set(_SELECTORS):
        raise BrokenInputError(f"{where} selects no device", hint='model = "*" selects every one')
    return Entry(
        device=_text(where, plain, "device"),
        node=_text(where, plain, "node"),
        index=_index(where, plain),
        model=_text(where, plain, "model"),
        target=_target(where, plain),
    )


def _text(where: str, plain: Mapping[str, object], key: str) -> str | None:
    value = plain.get(key)
    if value is not None and not isinstance(value, str):
        raise BrokenInputError(f"{where}: {key} is not a text")
    return value


def _index(where: str, plain: Mapping[str, object]) -> int | None:
    value = plain.get("index")
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise BrokenInputError(f"{where}: index is not a whole number")
    return value


def _target(where: str, plain: Mapping[str, object]) -> Layout | None:
    places = plain.get("places", [])
    if not isinstance(places, list) or not all(isinstance(place, str) for place in places):
        raise BrokenInputError(f"{where}: places is not an array of texts", hint='write ["3g.40gb@0", "2g.20gb@4"]')
    mig = plain.get("mig", True)
    if not isinstance(mig, bool) or ("places" not in plain and mig):
        raise BrokenInputError(f"{where} says neither places nor mig = false")
    if not mig and places:
        raise BrokenInputError(f"{where} has places although MIG mode is off")
    return layout_of(place for text in places for place in parse_layout(text)) if mig else None


def wishes_of(entries: Sequence[Entry], snapshot: Snapshot) -> tuple[Wish, ...]:
    """What the entries mean for the devices that were seen; of several entries for a device the last counts.

    Raises:
        NotFoundError: an entry selects no device.
    """
    found: dict[str, Wish] = {}
    for number, entry in enumerate(entries, start=1):
        chosen = [
            Wish(node, device, entry.target)
            for node in snapshot.reached
            for device in node.devices
            if entry.selects(node, device) and (device.mig_enabled is not None or entry.device)
        ]
        if not chosen:
            raise NotFoundError(f"layout {number} of the file selects no device with MIG that answers")
        found.update((wish.device.uuid, wish) for wish in chosen)
    return tuple(sorted(found.values(), key=lambda wish: (wish.node.name, wish.device.index)))


def layouts_document(devices: Sequence[tuple[Node, Device, Layout | None]]) -> str:
    """A layout file with one entry for each device, in that order."""
    parts = []
    for node, device, layout in devices:
        lines = ["[[layout]]", f"device = {json.dumps(device.uuid)}  # GPU {device.index} of {node.name}"]
        places = ", ".join(json.dumps(str(place)) for place in layout or ())
        lines.append("mig = false" if layout is None else f"places = [{places}]")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n" if parts else ""
