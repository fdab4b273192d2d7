"""gpualloc as an operator runs it against nodes behind real sshd, each with state and GPUs of its own."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from fakes.command import NVML_DEADLINE_S, Command, end_work
from fakes.nvml_stub import FakeGpu, build_library, write_state
from fakes.sshd_farm import FarmNode, SshdFarm, sshd_farm


@dataclass(kw_only=True)
class SshCommand(Command):
    """The operator's side: configuration, state, control sockets."""

    farm: SshdFarm
    keys: dict[str, str] = field(default_factory=dict)
    """More lines of TOML for the pool of a node, by the node's name."""
    tables: str = ""
    """More tables of TOML."""

    @property
    def env(self) -> dict[str, str]:
        # Short, because the paths of sockets must be.
        return {**super().env, "XDG_RUNTIME_DIR": str(self.farm.folder / "run")}

    def configure_nodes(self) -> None:
        """Write a configuration with a pool for each node of the farm."""
        pools = [_pool(node, self.keys.get(name, "")) for name, node in self.farm.nodes.items()]
        self.configure("\n".join(['[apply]\ngrace = "60s"\n', self.tables, *pools]))

    def show(self, node: str, *gpus: FakeGpu) -> None:
        """Set what the driver library of a node shows."""
        write_state(self.farm.folder / f"{node}.nvml", gpus)

    def node_claims(self, node: str) -> list[str]:
        """Names of the claims on a node."""
        return sorted(path.name for path in (self.farm[node].state / "claims").glob("*@*"))

    def stop_everything(self) -> None:
        """End every workload that a test left running on a node."""
        for node in self.farm.nodes.values():
            end_work(node.state)


@contextlib.contextmanager
def ssh_command(names: Sequence[str], *, as_root: bool = False) -> Iterator[SshCommand]:
    """A configured fleet of one sshd per name, with two GPUs each."""
    with sshd_farm(names, as_root=as_root) as farm:
        library = shutil.copytree(build_library(), farm.folder / "nvml")
        for name, mode in (("head", 0o700), ("run", 0o700), ("out", 0o777)):
            (farm.folder / name).mkdir()
            (farm.folder / name).chmod(mode)
        command = SshCommand(farm.folder / "head", farm=farm)
        for number, (name, node) in enumerate(farm.nodes.items(), start=1):
            command.show(name, gpu(number, 0), gpu(number, 1))
            node.restart(
                LD_LIBRARY_PATH=str(library),
                GPUALLOC_FAKE_NVML=str(farm.folder / f"{name}.nvml"),
                GPUALLOC_NVML_DEADLINE_S=NVML_DEADLINE_S,
            )
        command.configure_nodes()
        try:
            yield command
        finally:
            command.stop_everything()


@contextlib.contextmanager
def locked(node: FarmNode) -> Iterator[None]:
    """Hold the node's lock, as another program at work there would."""
    path = node.state / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        os.chown(path, path.parent.stat().st_uid, -1)
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def waits_for(node: FarmNode) -> bool:
    """Whether a node program on that node has come to the lock."""
    lock = str(node.state / "lock")
    for pid in node.sessions():
        with contextlib.suppress(OSError):
            if lock in [os.readlink(entry.path) for entry in os.scandir(f"/proc/{pid}/fd")]:
                return True
    return False


def gpu(number: int, index: int, **more: object) -> FakeGpu:
    """A GPU of the node of that number, counted from 1."""
    return FakeGpu(index, uuid=f"GPU-00000000-0000-0000-{number:04d}-{index:012d}", **more)


def _pool(node: FarmNode, more: str) -> str:
    options = [f"HostName={node.host}", *(f"{key}={value}" for key, value in node.options)]
    lines = [
        f"[pools.{node.name}]",
        f'nodes = "{node.name}"',
        *([more] if more else []),
        f"[pools.{node.name}.ssh]",
        f'user = "{node.user}"',
        f"port = {node.port}",
        f"options = {json.dumps(options)}",
    ]
    return "\n".join(lines) + "\n"
