"""How time is cut into chunks, and from when on it is kept.

What is packed is deleted in whole chunks; what is too old of a chunk that is not is hidden.
"""

from __future__ import annotations

import sqlite3

from gpualloc.model.sample import Level

CHUNK_S = 900
"""How much time is packed together of samples."""
HOUR_S = 3600
DAY_S = 86_400
SPANS_S = {Level.RAW: CHUNK_S, Level.MINUTE: HOUR_S, Level.HOUR: DAY_S}
"""How much time is packed together of each level."""
_LONG_AGO_S = -(1 << 62)


def horizon(connection: sqlite3.Connection, level: Level) -> int:
    """The epoch second from which on samples, or steps of that length, are kept."""
    row = connection.execute("SELECT before_s FROM horizon WHERE level = ?", (level.value,)).fetchone()
    return _LONG_AGO_S if row is None else int(row[0])


def move_horizon(connection: sqlite3.Connection, level: Level, before_s: int) -> None:
    """Let it be no earlier than that, within the caller's transaction; it never goes back."""
    connection.execute(
        "INSERT INTO horizon VALUES (?, ?) "
        "ON CONFLICT (level) DO UPDATE SET before_s = max(before_s, excluded.before_s)",
        (level.value, before_s),
    )
