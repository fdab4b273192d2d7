"""Which series there are, and where each lies: in a slot of a block of series of one kind.

A slot is never given to another series, so that what is packed of a block needs no names.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

from msgspec import Struct, field

from gpualloc.model.sample import METRICS, SeriesKey, SeriesKind

BLOCK_SERIES = 128
"""How many series are packed together: one is read by unpacking all of them."""
PRESENT = 0
"""In place of a metric: whether a series was sampled at all."""

NOT_KEPT = -1
"""Stands for the number of a metric that has none."""
MOST_PLACES = 100_000
"""With more, those that are written are looked up anew."""

_SELECT = "SELECT kind, node, key, block, slot FROM series"
_AGE = "SELECT (SELECT seq FROM sqlite_sequence WHERE name = 'series'), (SELECT count(*) FROM series)"
"""Changes with every series that is added or deleted."""

Place = tuple[int, int]
"""Block and slot."""


class Block(Struct, frozen=True):
    """Some series of one block."""

    id: int
    series: tuple[tuple[int, SeriesKey], ...]
    """Slots with their keys."""

    def only(self, nodes: frozenset[str]) -> Block:
        """Those of these nodes."""
        return Block(self.id, tuple(one for one in self.series if one[1].node in nodes))


class Register(Struct):
    """What one process knows of the series it writes; brought up to date within each transaction that uses it."""

    _places: dict[SeriesKey, Place] = field(default_factory=dict)
    _age: tuple[int | None, int] | None = None
    _metrics: dict[str, int] = field(default_factory=dict)

    def current(self, connection: sqlite3.Connection) -> Register:
        """A register as the database has it, to be used within one transaction and kept once that is committed."""
        age = connection.execute(_AGE).fetchone()
        if age == self._age and len(self._places) <= MOST_PLACES:
            return Register(dict(self._places), age, dict(self._metrics))
        # Another process may have deleted any of them, and ended work is not to be remembered for ever.
        return Register({}, age, metric_ids(connection))

    def settle(self, connection: sqlite3.Connection) -> None:
        """Remember how old the database is now, at the end of the transaction."""
        self._age = connection.execute(_AGE).fetchone()

    def place(self, connection: sqlite3.Connection, key: SeriesKey) -> Place:
        """Where the series lies; one that is new gets the next slot of its kind."""
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = _find_place(connection, key)
        return place

    def metrics(self, connection: sqlite3.Connection) -> dict[str, int]:
        """The number of each metric, by name; those of METRICS that are new get one."""
        if not self._metrics.keys() >= METRICS.keys():
            connection.executemany("INSERT OR IGNORE INTO metric (name) VALUES (?)", [(name,) for name in METRICS])
            self._metrics = metric_ids(connection)
        return self._metrics


class Roster(Struct):
    """All series by block, read again only when there are others than before."""

    _blocks: list[Block] = field(default_factory=list)
    _age: tuple[int | None, int] | None = None

    def blocks(self, connection: sqlite3.Connection) -> Sequence[Block]:
        """As the database has them."""
        age = connection.execute(_AGE).fetchone()
        if age != self._age:
            self._blocks, self._age = blocks(connection, list(SeriesKind)), age
        return self._blocks


def metric_ids(connection: sqlite3.Connection) -> dict[str, int]:
    """The number of each metric that was ever kept, by name."""
    return dict(connection.execute("SELECT name, id FROM metric").fetchall())


def metric_id(connection: sqlite3.Connection, name: str) -> int:
    """The number of a metric; one that was never kept has none that is in use."""
    return metric_ids(connection).get(name, NOT_KEPT)


def blocks(
    connection: sqlite3.Connection, kinds: Sequence[SeriesKind], node: str | None = None, key: str | None = None
) -> list[Block]:
    """The series of these kinds, of one node or with one key if told so, by block."""
    query = f"{_SELECT} WHERE kind IN ({', '.join('?' * len(kinds))}) AND (? IS NULL OR node = ?) "
    rows = connection.execute(query + "AND (? IS NULL OR key = ?) ORDER BY block", (*kinds, node, node, key, key))
    found: dict[int, list[tuple[int, SeriesKey]]] = {}
    for kind, its_node, its_key, block, slot in rows:
        found.setdefault(block, []).append((slot, SeriesKey(SeriesKind(kind), its_node, its_key)))
    return [Block(block, tuple(series)) for block, series in found.items()]


def order_of(key: SeriesKey) -> tuple[str, str, str]:
    """What series are sorted by."""
    return key.node, key.kind.value, key.key


def newest(
    connection: sqlite3.Connection, kind: SeriesKind, node: str | None = None
) -> Iterator[tuple[SeriesKey, int]]:
    """The series of a kind, with the epoch second of the newest sample of each."""
    query = "SELECT node, key, block, slot, newest_s FROM series WHERE kind = ? AND (? IS NULL OR node = ?)"
    recent: dict[int, dict[int, int]] = {}
    for its_node, key, block, slot, newest_s in connection.execute(query, (kind.value, node, node)).fetchall():
        if block not in recent:
            recent[block] = newest_ticks(connection, block)
        seen = max((at_s for at_s in (newest_s, recent[block].get(slot)) if at_s is not None), default=None)
        if seen is not None:
            yield SeriesKey(kind, its_node, key), seen


def newest_ticks(connection: sqlite3.Connection, block: int) -> dict[int, int]:
    """By slot, the epoch second of the newest tick that is not packed yet."""
    (used,) = connection.execute("SELECT used FROM block WHERE id = ?", (block,)).fetchone() or (0,)
    found: dict[int, int] = {}
    # One byte says how many slots follow.
    query = "SELECT at_s, substr(data, 1, 1 + ?) FROM tick WHERE block = ? ORDER BY at_s DESC"
    for at_s, head in connection.execute(query, (BLOCK_SERIES, block)):
        for slot in head[1 : 1 + head[0]]:
            found.setdefault(slot, at_s)
        if len(found) >= used:
            break
    return found


def _find_place(connection: sqlite3.Connection, key: SeriesKey) -> Place:
    """The place of a series; one that is new gets the next slot of its kind."""
    query = "SELECT block, slot FROM series WHERE kind = ? AND node = ? AND key = ?"
    place: Place | None = connection.execute(query, (key.kind.value, key.node, key.key)).fetchone()
    return place or _new_place(connection, key)


def _new_place(connection: sqlite3.Connection, key: SeriesKey) -> Place:
    query = "SELECT id, used FROM block WHERE kind = ? ORDER BY id DESC LIMIT 1"
    block, slot = connection.execute(query, (key.kind.value,)).fetchone() or (0, BLOCK_SERIES)
    if slot == BLOCK_SERIES:
        made = connection.execute("INSERT INTO block (kind, used) VALUES (?, 0)", (key.kind.value,))
        block, slot = made.lastrowid or 0, 0
    connection.execute("UPDATE block SET used = ? WHERE id = ?", (slot + 1, block))
    connection.execute(
        "INSERT INTO series (kind, node, key, block, slot) VALUES (?, ?, ?, ?, ?)",
        (key.kind.value, key.node, key.key, block, slot),
    )
    return block, slot
