"""The lists of what is wrong now, of what happened, and of alerts."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct

from gpualloc.model.alert import Alert, AlertRule, AlertState, Silence
from gpualloc.model.health import Condition, Event, Severity
from gpualloc.tui.cells import Cell, Role, cell
from gpualloc.tui.fields import Field, Unit, Value
from gpualloc.tui.listing import Listing, Sort
from gpualloc.tui.rows import Moment
from gpualloc.tui.text import age_text, date_time_text, plain

SEVERITY_ROLES = {
    Severity.INFO: Role.DIM,
    Severity.WARNING: Role.WARN,
    Severity.ERROR: Role.BAD,
    Severity.CRITICAL: Role.BAD,
}
"""How a severity is coloured; its word is always there."""
_MAX_WHAT = 400


class TroubleRow(Struct, frozen=True):
    """Something that is wrong, or that happened, with the index of its device for display."""

    about: Condition | Event
    index: int | None

    @property
    def at_s(self) -> float:
        """When it began or happened, epoch seconds."""
        return self.about.since_s if isinstance(self.about, Condition) else self.about.at_s

    @property
    def key(self) -> str:
        """Names it."""
        about = self.about
        return f"{about.node}/{'/'.join(about.key) if isinstance(about, Condition) else about.key}"


def trouble_rows(found: Iterable[Condition | Event], indices: dict[str, int | None]) -> tuple[TroubleRow, ...]:
    """A row for each, in the given order; `indices` of devices by UUID."""
    return tuple(TroubleRow(one, indices.get(one.device or "")) for one in found)


def _over(row: TroubleRow) -> bool:
    return isinstance(row.about, Event) and row.about.over


def _severity_cell(row: TroubleRow, _: Moment, __: int) -> Cell:
    return cell("over", Role.GOOD) if _over(row) else cell(row.about.severity.value, SEVERITY_ROLES[row.about.severity])


def _since_cell(row: TroubleRow, moment: Moment, width: int) -> Cell:
    return cell(age_text(moment.now_s - row.at_s).rjust(width))


def _when_cell(row: TroubleRow, _: Moment, __: int) -> Cell:
    return cell(date_time_text(row.at_s))


def _code(row: TroubleRow) -> Value:
    return row.about.code if isinstance(row.about, Event) else None


def _gpu_cell(row: TroubleRow, _: Moment, width: int) -> Cell:
    if row.about.device is None:
        return cell("-".rjust(width), Role.DIM)
    return cell(("?" if row.index is None else str(row.index)).rjust(width))


_SEVERITY: Field[TroubleRow] = Field(
    "severity",
    "SEVERITY",
    "how bad it is",
    lambda row, _: "over" if _over(row) else row.about.severity.value,
    draw=_severity_cell,
    rank=lambda row, _: -1 if _over(row) else row.about.severity.rank,
    least=8,
    most=8,
    priority=0,
    descends=True,
)
_FIELDS: tuple[Field[TroubleRow], ...] = (
    Field("node", "NODE", "its node", lambda row, _: row.about.node, least=8, most=20, priority=2),
    Field(
        "gpu",
        "GPU",
        "index of its GPU",
        lambda row, _: row.index,
        Unit.COUNT,
        draw=_gpu_cell,
        least=3,
        most=3,
        priority=3,
    ),
    Field(
        "trouble",
        "ABOUT",
        "what it is about",
        lambda row, _: row.about.trouble.value,
        least=12,
        most=22,
        priority=5,
    ),
    Field(
        "what",
        "WHAT",
        "what is known",
        lambda row, _: plain(row.about.what, _MAX_WHAT),
        least=24,
        most=120,
        priority=4,
    ),
    Field(
        "advice",
        "ADVICE",
        "what to do",
        lambda row, _: row.about.advice,
        least=16,
        most=80,
        absent="",
        shown=False,
    ),
    Field(
        "code",
        "CODE",
        "number of the Xid or SXid",
        lambda row, _: _code(row),
        Unit.COUNT,
        least=4,
        most=5,
        absent="",
        shown=False,
    ),
    Field(
        "uuid",
        "UUID",
        "UUID of its GPU",
        lambda row, _: row.about.device,
        least=12,
        most=40,
        absent="",
        shown=False,
    ),
)


def _fields(when: Field[TroubleRow]) -> tuple[Field[TroubleRow], ...]:
    return (_SEVERITY, when, *_FIELDS)


CONDITIONS: Listing[TroubleRow] = Listing(
    "conditions",
    _fields(
        Field(
            "since",
            "SINCE",
            "since when",
            lambda row, _: row.at_s,
            Unit.EPOCH,
            draw=_since_cell,
            least=6,
            most=6,
            priority=1,
        )
    ),
    key=lambda row: row.key,
    absent="nothing is wrong with what answers",
)
"""What is wrong now, worst first."""
EVENTS: Listing[TroubleRow] = Listing(
    "events",
    _fields(
        Field(
            "when",
            "WHEN",
            "when it happened",
            lambda row, _: row.at_s,
            Unit.EPOCH,
            draw=_when_cell,
            least=19,
            most=19,
            priority=1,
            descends=True,
        )
    ),
    key=lambda row: row.key,
    sorts=(Sort("when", descends=True),),
    absent="nothing happened in this time",
)
"""What happened, the newest first."""


class AlertRow(Struct, frozen=True):
    """An alert with its rule and what silences it."""

    alert: Alert
    rule: AlertRule | None
    silenced: Silence | None
    index: int | None
    """Of its device, for display."""


def _alert_state(row: AlertRow, _: Moment, __: int) -> Cell:
    state = row.alert.state
    return cell(state.value, Role.BAD if state is AlertState.FIRING else Role.WARN)


def _alert_severity(row: AlertRow, _: Moment, __: int) -> Cell:
    if row.rule is None:
        return cell("no rule", Role.DIM)
    return cell(row.rule.severity.value, SEVERITY_ROLES[row.rule.severity])


def _silenced(row: AlertRow, moment: Moment, _: int) -> Cell:
    if row.silenced is None:
        return cell("no", Role.DIM)
    return cell(f"{age_text(row.silenced.until_s - moment.now_s)} more", Role.WARN)


def _text(value: Callable[[AlertRow], str]) -> Callable[[AlertRow, Moment], Value]:
    return lambda row, _moment: value(row)


ALERT_FIELDS: tuple[Field[AlertRow], ...] = (
    Field(
        "state",
        "STATE",
        "firing or pending",
        _text(lambda row: row.alert.state.value),
        draw=_alert_state,
        least=8,
        most=8,
        priority=0,
    ),
    Field(
        "severity",
        "SEVERITY",
        "how bad it is",
        lambda row, _: None if row.rule is None else row.rule.severity.value,
        draw=_alert_severity,
        rank=lambda row, _: None if row.rule is None else row.rule.severity.rank,
        least=8,
        most=8,
        priority=1,
        descends=True,
    ),
    Field("rule", "RULE", "name of its rule", _text(lambda row: row.alert.key.rule), least=10, most=24, priority=2),
    Field("node", "NODE", "its node", _text(lambda row: row.alert.key.node), least=8, most=20, priority=3),
    Field(
        "gpu", "GPU", "index of its GPU", lambda row, _: row.index, Unit.COUNT, absent="-", least=3, most=3, priority=6
    ),
    Field(
        "since",
        "SINCE",
        "since when it holds",
        lambda row, _: row.alert.since_s,
        Unit.EPOCH,
        least=5,
        most=6,
        priority=4,
    ),
    Field(
        "silenced",
        "SILENCED",
        "whether a silence keeps it from its channels",
        _text(lambda row: "no" if row.silenced is None else plain(row.silenced.reason)),
        draw=_silenced,
        least=9,
        most=14,
        priority=7,
    ),
    Field(
        "what",
        "WHAT",
        "what was seen",
        _text(lambda row: plain(row.alert.what, _MAX_WHAT)),
        least=20,
        most=120,
        priority=5,
    ),
    Field(
        "value",
        "VALUE",
        "the reading when it began",
        lambda row, _: row.alert.value,
        Unit.COUNT,
        least=6,
        most=8,
        shown=False,
    ),
)
ALERTS: Listing[AlertRow] = Listing(
    "alerts",
    ALERT_FIELDS,
    key=lambda row: "/".join(row.alert.key),
    absent="no alert holds; rules are written in the configuration (docs/alerts.md)",
)
"""Alerts that fire or are pending, worst first."""
