"""Conditions and events as CSV: a row each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gpualloc.model.health import Condition, Event
from gpualloc.views.csv import csv_text


def conditions_csv(conditions: Iterable[Condition], indices: Mapping[str, int | None], *, simulated: bool) -> str:
    """What is wrong.

    Args:
        conditions: in the order of the rows.
        indices: by UUID the index of each device that is known.
        simulated: whether the nodes are.
    """
    columns = ("simulated", "node", "gpu", "uuid", "trouble", "severity", "since_s", "what", "advice")
    return csv_text(
        columns,
        (
            (
                simulated,
                each.node,
                None if each.device is None else indices.get(each.device),
                each.device,
                each.trouble.value,
                each.severity.value,
                each.since_s,
                each.what,
                each.advice,
            )
            for each in conditions
        ),
    )


def events_csv(events: Iterable[Event], indices: Mapping[str, int | None], *, simulated: bool) -> str:
    """What happened; arguments as of `conditions_csv`. `over` is true where a condition ended."""
    columns = ("simulated", "at_s", "node", "gpu", "uuid", "trouble", "code", "severity", "over", "what", "advice")
    return csv_text(
        columns,
        (
            (
                simulated,
                each.at_s,
                each.node,
                None if each.device is None else indices.get(each.device),
                each.device,
                each.trouble.value,
                each.code,
                each.severity.value,
                each.over,
                each.what,
                each.advice,
            )
            for each in events
        ),
    )
