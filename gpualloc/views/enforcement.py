"""Processes on devices they were not given, and what is done about them."""

from __future__ import annotations

from gpualloc.model.enforcement import EnforceMode
from gpualloc.planning.enforcement import Finding
from gpualloc.views.look import Look, Role
from gpualloc.views.table import Cell, Column, table
from gpualloc.views.text import UNKNOWN, ago, escape

_COLUMNS = (
    Column("node"),
    Column("pid", right=True),
    Column("user", least=6),
    Column("command", least=10),
    Column("why", least=20),
    Column("seen", right=True),
    Column("since", right=True),
    Column("then", least=10),
)
_DOES = {
    EnforceMode.REPORT: "report",
    EnforceMode.NOTIFY: "notify",
    EnforceMode.SUSPEND: "suspend",
    EnforceMode.TERMINATE: "terminate",
}


def finding_data(finding: Finding, mode: EnforceMode) -> dict[str, object]:
    """One finding as `enforce --json` gives it."""
    offence, sighting = finding.offence, finding.sighting
    return {
        "node": offence.node,
        "device": offence.device,
        "mig_instance": offence.mig_instance,
        "pid": offence.pid,
        "started_at_s": offence.started_at_s,
        "user": offence.user,
        "command": offence.command,
        "workload": offence.workload,
        "holders": list(offence.holders),
        "why": offence.why,
        "sightings": sighting.count,
        "first_seen_s": sighting.first_seen_s,
        "exempt": finding.exempt,
        "action": mode.value if finding.due else None,
    }


def findings_text(findings: tuple[Finding, ...], mode: EnforceMode, now_s: float, look: Look, *, applied: bool) -> str:
    """A line for each finding, and what would be done when nothing was."""
    if not findings:
        return "no process is on a device that it was not given"
    rows = [_row(finding, mode, now_s) for finding in findings]
    text = table(_COLUMNS, rows, look)
    if applied or not any(finding.due for finding in findings):
        return text
    return f"{text}\n\nnothing was done and this look was not counted; gpualloc enforce --apply does both"


def _row(finding: Finding, mode: EnforceMode, now_s: float) -> tuple[Cell, ...]:
    offence, sighting = finding.offence, finding.sighting
    return (
        Cell(escape(offence.node)),
        Cell(str(offence.pid)),
        Cell(UNKNOWN if offence.user is None else escape(offence.user)),
        Cell(UNKNOWN if offence.command is None else escape(offence.command)),
        Cell(offence.why),
        Cell(str(sighting.count)),
        Cell(ago(now_s - sighting.first_seen_s)),
        _then(finding, mode),
    )


def _then(finding: Finding, mode: EnforceMode) -> Cell:
    if finding.exempt is not None:
        return Cell(f"exempt: {escape(finding.exempt)}", Role.QUIET)
    if finding.offence.started_at_s is None:
        return Cell("nothing: the node cannot tell which process it is", Role.WARN)
    return Cell(_DOES[mode], Role.BAD) if finding.due else Cell("wait: not seen often enough", Role.QUIET)
