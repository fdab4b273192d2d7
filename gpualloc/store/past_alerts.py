"""The past of alerts, within the transactions of history.db."""

from __future__ import annotations

import sqlite3


def prune(connection: sqlite3.Connection, before_s: float) -> None:
    """Delete transitions, ended silences and undelivered notices from before then."""
    connection.execute("DELETE FROM alert_transition WHERE at_s < ?", (before_s,))
    connection.execute("DELETE FROM alert_silence WHERE until_s < ?", (before_s,))
    connection.execute("DELETE FROM alert_notice WHERE at_s < ?", (before_s,))
