"""The past of what happened, within the transactions of history.db."""

from __future__ import annotations

import sqlite3


def prune(connection: sqlite3.Connection, before_s: float) -> None:
    """Delete events from before then."""
    connection.execute("DELETE FROM event WHERE at_s < ?", (before_s,))
