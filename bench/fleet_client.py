"""Watches a fleet as `gpualloc sample --every` does, and measures itself: `python bench/fleet_client.py PLAN`.

The plan is a JSON file that `fleet.py` writes; what was measured is printed as one line of JSON. Everything is real
but the nodes: the watch, the decoding, the state and the history. Ages need one clock, so nodes are on this machine.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

sys.path.insert(0, str(Path(__file__).parent))

from fleet_archive import film_archive  # found beside this file
from fleet_sockets import SocketDial
from peers import below

from gpualloc.adapters.fleet import LinkedFleet
from gpualloc.adapters.ssh import SshLaunch, SshTarget
from gpualloc.adapters.streaming.channel import Dial
from gpualloc.adapters.streaming.process_dial import ProcessDial
from gpualloc.engine.sample import Tick, sample_every
from gpualloc.model.inventory import Node, NodeSpec, NodeState
from gpualloc.ports import Watch, WatchFigures
from gpualloc.wiring import Options, open_context

AGES_EVERY_S = 0.5
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def dial_of(node: dict[str, Any]) -> Dial:
    """What the plan says of a node: its `kind` is `socket`, `ssh` or `asyncssh`."""
    if node["kind"] == "socket":
        return SocketDial(node["path"], node["number"], node["manner"])
    options = tuple((key, value) for key, value in node["options"])
    launch = SshLaunch(SshTarget(node["host"], node["user"], node["port"], options), archive=film_archive, shared=False)
    if node["kind"] == "ssh":
        return ProcessDial(launch)
    from gpualloc.adapters.streaming.asyncssh_dial import AsyncSshDial

    return AsyncSshDial(launch, ProcessDial(launch))


class Measured:
    """The fleet of the plan, and what its watch tells on the way."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.every_s: float = plan["every_s"]
        self.dials: dict[str, Dial] = {}
        self.newest_s: dict[str, float] = {}
        """When each node made the newest reading that was heard, epoch seconds."""
        self.states: dict[str, str] = {}
        self.latencies_s: list[float] = []
        self.ages_s: list[float] = []
        self.watching: Watch
        self.whole_at_s: float | None = None
        self.began_s = 0.0
        self._well = {node["name"] for node in plan["nodes"] if node.get("manner", "well") == "well"}
        self._ages_at_s = 0.0
        nodes = [(NodeSpec(node["name"], "bench", "ssh"), _no_link) for node in plan["nodes"]]
        dials = {node["name"]: self._dial(node) for node in plan["nodes"]}
        self._fleet = LinkedFleet(nodes, dials=dials, width=plan["width"])

    def _dial(self, node: dict[str, Any]) -> Callable[[], Dial]:
        def make() -> Dial:
            self.dials[node["name"]] = dial_of(node)
            return self.dials[node["name"]]

        return make

    def specs(self) -> tuple[NodeSpec, ...]:
        return self._fleet.specs()

    def watch(self, every_s: float, **more: Any) -> Watch:
        self.began_s = time.time()
        self.watching = self._fleet.watch(every_s, **more)
        return self  # type: ignore[return-value]

    def hear(self, timeout_s: float) -> Sequence[Node]:
        nodes = self.watching.hear(timeout_s)
        now_s = time.time()
        for node in nodes:
            self.states[node.name] = node.state.value
            if node.state is NodeState.OK and node.clock_offset_s is not None:
                self.newest_s[node.name] = node.at_s + node.clock_offset_s
                self.latencies_s.append(now_s - self.newest_s[node.name])
        if self.whole_at_s is None and self._well <= self.newest_s.keys():
            self.whole_at_s = now_s
        if now_s - self._ages_at_s >= AGES_EVERY_S:
            self._ages_at_s = now_s
            self.ages_s += [now_s - self.newest_s[name] for name in self._well & self.newest_s.keys()]
        return nodes

    def late(self) -> Sequence[Node]:
        return self.watching.late()

    def figures(self) -> WatchFigures:
        return self.watching.figures()

    def close(self) -> None:
        self.watching.close()


class Window:
    """From when the picture is whole and has settled, for as long as the plan says."""

    def __init__(self, measured: Measured, seconds: float, limit_s: float) -> None:
        self._measured = measured
        self._seconds = seconds
        self._give_up_s = time.monotonic() + limit_s
        self._settled_s: float | None = None
        self._began: tuple[float, float, WatchFigures] | None = None
        self.result: dict[str, Any] = {}
        self.ticks: list[Tick] = []

    def over(self) -> bool:
        """Asked again and again while it goes on."""
        now_s = time.monotonic()
        if self._began is None:
            if self._measured.whole_at_s is None and now_s < self._give_up_s:
                return False
            self._settled_s = self._settled_s or now_s + 1.5 * self._measured.every_s
            if now_s >= self._settled_s:
                self._measured.latencies_s.clear()
                self._measured.ages_s.clear()
                self.ticks.clear()
                self._began = now_s, cpu_s(), self._measured.figures()
            return False
        if now_s - self._began[0] < self._seconds:
            return False
        self.result = self._taken(now_s)
        return True

    def _taken(self, now_s: float) -> dict[str, Any]:
        assert self._began is not None
        measured, (began_s, before_cpu_s, before) = self._measured, self._began
        wall_s, figures = now_s - began_s, measured.figures()
        told: dict[str, int] = {}
        for state in measured.states.values():
            told[state] = told.get(state, 0) + 1
        reasons = [getattr(dial, "ssh_reason", None) for dial in measured.dials.values()]
        return {
            "cpu_percent": 100 * (cpu_s() - before_cpu_s) / wall_s,
            "first_s": None if measured.whole_at_s is None else measured.whole_at_s - measured.began_s,
            "latency_ms": [1000 * share(measured.latencies_s, part) for part in (0.5, 0.99)],
            "age_ticks": share(measured.ages_s, 0.99) / measured.every_s,
            "bytes_per_node_s": (figures.received_bytes - before.received_bytes) / wall_s / len(measured.dials),
            "messages": figures.messages - before.messages,
            "resumed": figures.resumed - before.resumed,
            "states": told,
            "streaming": figures.streaming,
            "left_to_ssh": sum(reason is not None for reason in reasons),
            "ticks": len(self.ticks),
            "rows_per_tick": max((tick.rows for tick in self.ticks), default=0),
            "trouble": next((tick.trouble for tick in self.ticks if tick.trouble), None),
        }


def share(values: list[float], part: float) -> float:
    """The value that this part of them does not exceed."""
    return sorted(values)[min(len(values) - 1, math.ceil(part * len(values)) - 1)] if values else math.nan


def cpu_s() -> float:
    """CPU seconds of this process and all below it, those that ended included."""
    own = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    ticks = 0
    for pid in below(os.getpid()):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return sum(used.ru_utime + used.ru_stime for used in own) + ticks / _TICKS_PER_S


def _no_link() -> Any:
    raise AssertionError("nothing is asked in this bench")


def main() -> None:
    """Do what the plan says."""
    plan = json.loads(Path(sys.argv[1]).read_text())
    measured = Measured(plan)
    config = Path(sys.argv[1]).with_suffix(".toml")
    config.write_text(f'[sampling]\nevery = "{plan["every_s"]:g}s"\n')
    with open_context(Options(config=config, state_dir=Path(plan["state_dir"]))) as world:
        window = Window(measured, plan["seconds"], plan["limit_s"])
        ctx = replace(world, fleet=measured)  # type: ignore[arg-type]
        sample_every(ctx, plan["every_s"], window.over, window.ticks.append)
    print(json.dumps(window.result), flush=True)


if __name__ == "__main__":
    main()
