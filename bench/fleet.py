"""How a thousand nodes are watched: CPU and memory of all client processes, how late and how old what is heard is.

    python bench/fleet.py [SCENE ...] [--nodes 1000] [--sshds 200] [--seconds 60]

    simulated-10  simulated-1   nodes of two server processes, over unix sockets, every 10 s and every second
    sick-10                     the same with a few that hang, are not there, or cut the connection again and again
    ssh-10  ssh-1               one session with each of the real sshd, through a process of ssh each
    asyncssh-10  asyncssh-1     the same through asyncssh
    both-10                     the simulated nodes, and the sshd through asyncssh, watched together
    wide-10                     as many sessions of asyncssh as there are simulated nodes, several with each sshd
    polled                      what others do: one ssh and one command on each node, every tick

Ages and latencies need the clock of the node to be ours, so everything is on this machine; what nodes and sshd use is
not counted. What the figures mean: docs/bench-fleet.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import fleet_film  # found beside this file
from peers import below

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fakes.sshd_farm import SshdFarm, sshd_farm

from gpualloc.node.wire import WIRE_VERSION

HERE = Path(__file__).parent
SERVERS = 2
SICK = 10
"""Of each manner."""
WIDTH = 32
SCENES = ("simulated-10", "simulated-1", "sick-10", "ssh-10", "ssh-1", "asyncssh-10", "asyncssh-1", "both-10", "polled")
GOAL_CPU_PERCENT, GOAL_MIB, GOAL_TICKS = 50.0, 600.0, 1.5
"""For the simulated nodes every 10 s; the age for every scene."""


class Bench:
    """What all scenes share: films, servers, the farm; each is made when it is first needed."""

    def __init__(self, asked: argparse.Namespace, folder: Path, held: ExitStack) -> None:
        self._asked = asked
        self._folder = folder
        self._held = held
        self._films: dict[float, list[Path]] = {}
        self._sockets: dict[float, list[str]] = {}
        self._farm: SshdFarm | None = None

    def run(self, scene: str) -> dict[str, Any]:
        """What the client measured, with the memory that was seen from outside."""
        kind, _, every = scene.partition("-")
        every_s = float(every)
        nodes = self._nodes(kind, every_s)
        seconds = max(self._asked.seconds if every_s > 1 else self._asked.seconds / 2, 3 * every_s)
        plan = self._folder / f"{scene}.json"
        state_dir = self._folder / f"{scene}.state"
        wanted = {"nodes": nodes, "every_s": every_s, "seconds": seconds, "width": WIDTH, "limit_s": 180}
        plan.write_text(json.dumps({**wanted, "state_dir": str(state_dir)}))
        # A film is for one period; a tick of another would change the same.
        env = {**os.environ, "BENCH_FILM": str(self.films(every_s)[1])}
        client = subprocess.Popen(
            [sys.executable, str(HERE / "fleet_client.py"), str(plan)], stdout=subprocess.PIPE, env=env
        )
        self._held.callback(_end, client)
        memory = Memory(client.pid)
        output, _ = client.communicate(timeout=seconds + 400)
        memory.stop()
        if client.returncode != 0:
            raise SystemExit(f"the client of {scene} failed ({client.returncode})")
        size = sum(path.stat().st_size for path in state_dir.rglob("history.db*"))
        return {**json.loads(output), "mib": memory.highest_bytes / 2**20, "nodes": len(nodes), "db_mib": size / 2**20}

    def films(self, every_s: float) -> list[Path]:
        if every_s not in self._films:
            self._films[every_s] = [self._folder / f"{mix}-{every_s:g}.film" for mix in fleet_film.MIXES]
            for mix, path in zip(fleet_film.MIXES, self._films[every_s], strict=True):
                path.write_text(fleet_film.record(mix, every_s).text())
        return self._films[every_s]

    def _nodes(self, kind: str, every_s: float) -> list[dict[str, Any]]:
        if kind in ("simulated", "sick"):
            return self._simulated(every_s, sick=kind == "sick")
        if kind == "both":
            return [*self._simulated(every_s), *self._over_ssh("asyncssh", self._asked.sshds)]
        if kind == "wide":
            return self._over_ssh("asyncssh", self._asked.nodes)
        return self._over_ssh(kind, self._asked.sshds)

    def _simulated(self, every_s: float, *, sick: bool = False) -> list[dict[str, Any]]:
        sockets = self._servers(every_s)
        nodes = []
        for number in range(self._asked.nodes):
            manner = ("hung", "dead", "flapping")[number // SICK] if sick and number < 3 * SICK else "well"
            path = "/nowhere" if manner == "dead" else sockets[number % SERVERS]
            name = f"sim{number:04d}"
            nodes.append({"name": name, "kind": "socket", "path": path, "number": number, "manner": manner})
        return nodes

    def _servers(self, every_s: float) -> list[str]:
        if every_s not in self._sockets:
            films = [str(path) for path in self.films(every_s)]
            self._sockets[every_s] = [str(self._folder / f"{every_s:g}-{part}.sock") for part in range(SERVERS)]
            for path in self._sockets[every_s]:
                command = [sys.executable, str(HERE / "fleet_nodes.py"), path, *films]
                server = subprocess.Popen(command, stdout=subprocess.PIPE)
                self._held.callback(_end, server)
                assert server.stdout is not None
                server.stdout.readline()
        return self._sockets[every_s]

    def _over_ssh(self, kind: str, count: int) -> list[dict[str, Any]]:
        found = list(self.farm().nodes.values())
        nodes = []
        for number in range(count):
            node = found[number % len(found)]
            # The farm asks whether a node lives once a minute, for slow tests; gpualloc every two seconds.
            options = [pair for pair in node.options if pair[0] not in ("ServerAliveInterval", "ConnectTimeout")]
            told = {"host": node.host, "user": node.user, "port": node.port, "options": options}
            nodes.append({"name": f"ssh{number:04d}", "kind": kind, **told})
        return nodes

    def farm(self) -> SshdFarm:
        """As many real sshd as asked for, each a node of its own."""
        if self._farm is None:
            names = [f"n{number:03d}" for number in range(self._asked.sshds)]
            own = {
                name: {"BENCH_NODE": str(5000 + number), "BENCH_WIRE": str(WIRE_VERSION)}
                for number, name in enumerate(names)
            }
            self._farm = self._held.enter_context(sshd_farm(names, own))
        return self._farm


class Memory:
    """The most that a process and all below it took together, as their proportional share, seen twice a second."""

    def __init__(self, pid: int) -> None:
        self.highest_bytes = 0
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.5):
            # A child that has not become another program yet has its parent's memory, not its own.
            own = _command(self._pid)
            others = [pid for pid in below(self._pid) if _command(pid) != own]
            self.highest_bytes = max(self.highest_bytes, sum(map(_pss_bytes, (self._pid, *others))))


def polled(farm: SshdFarm, rounds: int) -> list[tuple[float, float]]:
    """Wall and CPU seconds of one question to every node, each by an ssh of its own, some at once."""
    answer = farm.folder / "answer"
    answer.write_text("0, NVIDIA H100 80GB HBM3, GPU-0000, 97, 61, 40004, 81920, 596.54, 68\n" * 8)
    answer.chmod(0o644)
    taken = []

    def ask(node: Any) -> None:
        options = [part for key, value in node.options for part in ("-o", f"{key}={value}")]
        where = ["-o", "BatchMode=yes", "-l", node.user, "-p", str(node.port), "--", node.host, f"cat {answer}"]
        subprocess.run(["ssh", *options, *where], check=True, capture_output=True, timeout=120)

    for _ in range(rounds):
        before, began_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        with ThreadPoolExecutor(WIDTH) as pool:
            list(pool.map(ask, farm.nodes.values()))
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
        taken.append((time.perf_counter() - began_s, cpu_s))
    return taken


def main() -> int:
    """Play the scenes and print; 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="*", metavar="SCENE", default=SCENES)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--sshds", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0, help="measured for so long, half of it at 1 s ticks")
    asked = parser.parse_args()
    print(
        f"{platform.machine()}, {os.cpu_count()} CPUs, Linux {platform.release()}, load {os.getloadavg()[0]:.1f},",
        end="",
    )
    print(f" Python {platform.python_version()}; {asked.nodes} simulated nodes x 8 GPUs, {asked.sshds} sshd\n")
    met = True
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as held:
        bench = Bench(asked, Path(scratch), held)
        print(_HEAD)
        for scene in asked.scenes:
            if scene == "polled":
                print(_polled_rows(bench.farm()), flush=True)
                continue
            found = bench.run(scene)
            print(_row(scene, found), flush=True)
            met = met and is_met(scene, found)
        for line in _films():
            print(line)
    return 0 if met else 1


def is_met(scene: str, found: dict[str, Any]) -> bool:
    """Whether the goals that hold for the scene are met."""
    young = bool(found["age_ticks"] <= GOAL_TICKS)
    if scene != "simulated-10":
        return young
    return young and found["cpu_percent"] <= GOAL_CPU_PERCENT and found["mib"] <= GOAL_MIB


_COLUMNS = (
    "scene",
    "nodes",
    "CPU, % of a core",
    "PSS MiB, highest",
    "latency ms, p50 / p99",
    "age p99, ticks",
    "bytes per node and s",
    "whole picture after s",
    "rows per tick",
    "states",
)
_HEAD = f"| {' | '.join(_COLUMNS)} |\n|{' --- |' * len(_COLUMNS)}"


def _row(scene: str, found: dict[str, Any]) -> str:
    states = ", ".join(f"{count} {state}" for state, count in sorted(found["states"].items()))
    notes = [f"resumed {found['resumed']}"] if found["resumed"] else []
    notes += [f"{found['left_to_ssh']} left to ssh"] if found["left_to_ssh"] else []
    notes += [f"trouble: {found['trouble']}"] if found["trouble"] else []
    first = "never" if found["first_s"] is None else f"{found['first_s']:.1f}"
    cells = [scene, str(found["nodes"]), f"{found['cpu_percent']:.1f}", f"{found['mib']:.0f}"]
    cells += [" / ".join(f"{value:.0f}" for value in found["latency_ms"]), f"{found['age_ticks']:.2f}"]
    cells += [f"{found['bytes_per_node_s']:.0f}", first, str(found["rows_per_tick"]), "; ".join([states, *notes])]
    return f"| {' | '.join(cells)} |"


def _polled_rows(farm: SshdFarm) -> str:
    taken = polled(farm, 3)
    walls, cpus = (sorted(each) for each in zip(*taken, strict=True))
    return (
        f"| polled | {len(farm.nodes)} | {cpus[1]:.2f} s of CPU per tick | | a round takes {walls[1]:.1f} s"
        f" ({walls[0]:.1f} to {walls[2]:.1f}) | | | | | |"
    )


def _films() -> Iterator[str]:
    yield ""
    for every_s in (1.0, 10.0):
        for mix in fleet_film.MIXES:
            film = fleet_film.record(mix, every_s)
            sizes = f"whole {film.mean_whole_bytes:,.0f} bytes, change {film.mean_change_bytes:,.0f}"
            yield f"{mix}, every {every_s:g} s: {sizes}"


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
            return
        process.kill()
        process.wait()


def _command(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def _pss_bytes(pid: int) -> int:
    with suppress(OSError, IndexError, ValueError):
        return int(Path(f"/proc/{pid}/smaps_rollup").read_text().partition("\nPss:")[2].split()[0]) * 1024
    return 0


if __name__ == "__main__":
    sys.exit(main())
