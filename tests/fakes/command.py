"""gpualloc as an operator runs it: the command in a process of its own, with state of its own.

The node programs it starts keep their state in the same scratch folder and see the GPUs of the C library.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fakes.forked import fork_server
from fakes.nvml_stub import FakeGpu, environment, write_state

CGROUP_ROOTS = ("/sys/fs/cgroup",)
PROGRAM = (sys.executable, "-m", "gpualloc")
NVML_DEADLINE_S = "8"
"""What the GPUs of tests that hang get to answer: on a busy machine healthy ones may take long too."""


@dataclass
class Command:
    """A scratch world: state, node state, GPUs, and ways to run gpualloc in it."""

    root: Path
    extra_env: dict[str, str] = field(default_factory=dict)
    program: tuple[str, ...] = PROGRAM
    patience_s: float = 100
    """How long a command may take unless a test says otherwise."""

    @property
    def state_dir(self) -> Path:
        return self.root / "state"

    @property
    def node_dir(self) -> Path:
        return self.root / "node"

    @property
    def nvml_state(self) -> Path:
        return self.root / "nvml"

    @property
    def env(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("GPUALLOC_")}
        return {
            **kept,
            **environment(self.nvml_state),
            "GPUALLOC_STATE_DIR": str(self.state_dir),
            "GPUALLOC_NODE_STATE_DIR": str(self.node_dir),
            "XDG_CONFIG_HOME": str(self.root),
            "GPUALLOC_NVML_DEADLINE_S": NVML_DEADLINE_S,
            "NO_COLOR": "1",
            **self.extra_env,
        }

    def gpus(self, *gpus: FakeGpu) -> None:
        """Set what the driver library shows."""
        write_state(self.nvml_state, list(gpus))

    def configure(self, text: str) -> None:
        """Write the configuration file."""
        file = self.root / "gpualloc" / "config.toml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)

    def run(
        self, *args: str, timeout_s: float | None = None, check: int | None = 0
    ) -> subprocess.CompletedProcess[str]:
        """Run gpualloc; its exit code must be `check` (None: any)."""
        if self.program == PROGRAM:
            done = fork_server().run(args, self.env, timeout_s or self.patience_s)
        else:
            done = subprocess.run(
                [*self.program, *args],
                env=self.env,
                text=True,
                capture_output=True,
                timeout=timeout_s or self.patience_s,
                stdin=subprocess.DEVNULL,
                errors="replace",
                check=False,
            )
        if check is not None:
            assert done.returncode == check, f"{args}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def json(self, *args: str, check: int | None = 0) -> dict:
        """The `data` of an answer."""
        verb = 2 if args[0] == "mig" else 1
        done = self.run(*args[:verb], "--json", *args[verb:], check=check)
        return json.loads(done.stdout)["data"]

    def start(self, *args: str) -> subprocess.Popen[str]:
        """Start gpualloc and leave it running."""
        return subprocess.Popen(
            [*self.program, *args],
            env=self.env,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def workload(self, identity: str) -> dict:
        """One row of `ps`."""
        rows = {row["id"]: row for row in self.json("ps")["workloads"]}
        return rows[identity]

    def groups(self, identities: Sequence[str]) -> list[str]:
        """Control groups that belong to the workloads."""
        return [str(path) for path in groups_of(identities)]

    def claims(self) -> list[str]:
        """Names of the claims on the node."""
        return sorted(path.name for path in (self.node_dir / "claims").glob("*@*"))

    def stop_everything(self) -> None:
        """End every workload that a test left running."""
        end_work(self.node_dir)


def end_work(node_dir: Path) -> None:
    """Kill what is left of the work in a node's state folder, keepers included, and remove its control groups."""
    for folder in node_dir.glob("workloads/*"):
        pids: set[int] = set()
        with contextlib.suppress(FileNotFoundError):
            record = json.loads((folder / "started.json").read_text())
            if not (folder / "end.json").exists():
                pids = {record["pid"], record["keeper_pid"]}
        _kill(pids)
        for group in groups_of([folder.name]):
            wait_until(lambda group=group: _removed(group), f"{group} can be removed")


def groups_of(identities: Sequence[str]) -> list[Path]:
    """Control groups that belong to the workloads, of either version."""
    return [
        path
        for root in CGROUP_ROOTS
        for identity in identities
        for place in ("gpualloc", "*/gpualloc")
        for path in Path(root).glob(f"{place}/{identity}")
    ]


def _kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _removed(group: Path) -> bool:
    """Kill who is in the group, among them who came since the last try, and remove it."""
    try:
        _kill(map(int, (group / "cgroup.procs").read_text().split()))
        group.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False  # a process that just died still counts for a moment
    with contextlib.suppress(OSError):
        group.parent.rmdir()  # when it was the last one
    return True


def wait_until(true: Callable[[], object], what: str, timeout_s: float = 60.0) -> None:
    """Block until the condition holds; fails the test when it does not come."""
    end_s = time.monotonic() + timeout_s
    while time.monotonic() < end_s:
        if true():
            return
        time.sleep(0.05)
    raise AssertionError(f"in {timeout_s:g} s it did not come about that {what}")
