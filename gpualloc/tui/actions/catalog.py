"""Everything hands can do, in the order of the menu."""

from __future__ import annotations

from gpualloc.model.workload import WorkloadState
from gpualloc.tui.actions.action import Action, AlertTarget, DeviceTarget, NodeTarget, ProcessTarget, WorkloadTarget

_WORK = (WorkloadTarget,)
_PLACES = (NodeTarget, DeviceTarget)

ACTIONS: tuple[Action, ...] = (
    Action("submit", "plus", "ask for GPUs for a new command", (), "submit", asks_first=True),
    Action("release", "ctrl+d", "end workloads and give their GPUs back", _WORK, "release"),
    Action(
        "suspend",
        "z",
        "move their GPU memory to the host and let them stand still",
        _WORK,
        "suspend",
        states=frozenset({WorkloadState.RUNNING}),
    ),
    Action(
        "resume",
        "Z",
        "let suspended work go on",
        _WORK,
        "suspend",
        asks_first=True,
        states=frozenset({WorkloadState.SUSPENDED}),
    ),
    Action("signal", "x", "send a signal to processes", (ProcessTarget,), "signal", asks_first=True),
    Action("cordon", "c", "take no new work; what runs runs on", _PLACES, "cordon", asks_first=True),
    Action("uncordon", "u", "take new work again", _PLACES, "cordon"),
    Action("drain", "D", "take no new work, and let what is there go", _PLACES, "cordon", asks_first=True),
    Action("mig", "m", "change the MIG instances", (DeviceTarget,), "mig", asks_first=True, several=False),
    Action("power", "w", "set the power limit", _PLACES, "power", asks_first=True),
    Action("silence", "M", "keep alerts from their channels for a time", (AlertTarget,), "alerts", asks_first=True),
    Action("unsilence", "U", "tell of them again", (AlertTarget,), "alerts"),
    Action("rebalance", "ctrl+r", "place waiting work now, as cron would", (), "rebalance"),
)


def action_named(name: str) -> Action:
    """The action of that name; raises KeyError."""
    for one in ACTIONS:
        if one.name == name:
            return one
    raise KeyError(name)
