"""What the core needs from the outside, as protocols. Blocking; results come as they arrive.

Adapters and the store implement them, `wiring` puts them together, and the engine knows nothing else.
"""

from __future__ import annotations

from gpualloc.ports.alerts import AlertChanges, Alerts, Messenger, Standing
from gpualloc.ports.deciding import Forecaster, Policy, Ranking, Session
from gpualloc.ports.events import Events
from gpualloc.ports.fleet import Executor, Fleet, LogChunk, StepCall, StepResult, Watch, WatchFigures
from gpualloc.ports.hooks import HookEvent, HookOutcome, Hooks, ScaleHook
from gpualloc.ports.past import History
from gpualloc.ports.playback import Playback
from gpualloc.ports.running import Clock, Crew
from gpualloc.ports.state import Journal, JournalWriter

__all__ = [
    "AlertChanges",
    "Alerts",
    "Clock",
    "Crew",
    "Events",
    "Executor",
    "Fleet",
    "Forecaster",
    "History",
    "HookEvent",
    "HookOutcome",
    "Hooks",
    "Journal",
    "JournalWriter",
    "LogChunk",
    "Messenger",
    "Playback",
    "Policy",
    "Ranking",
    "ScaleHook",
    "Session",
    "Standing",
    "StepCall",
    "StepResult",
    "Watch",
    "WatchFigures",
]
