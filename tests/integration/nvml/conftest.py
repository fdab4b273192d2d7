"""Node programs as processes over the C driver library of tests/fakes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.nvml_program import NodeProgram
from fakes.nvml_stub import environment, fake_gpu, write_state

from gpualloc.sim.catalog import find
from gpualloc.sim.gpu import GpuModel


class Program(NodeProgram):
    """One node program and the requests made of it."""

    def ask(self, verb: str, **args: Any) -> Any:
        """The end record of a request; None when the program died over it."""
        return self.request(verb, **args)

    def call(self, verb: str, kind: str, device: str, **fields: Any) -> Any:
        """The end record of a call about a step."""
        step = {"kind": kind, "workload": None, "device": device, "attempt": 0, **fields}
        return self.ask(verb, call={"run": "r", "seq": 1, "fence": 1, "controller": "c" * 32, "step": step})

    def device(self, index: int = 0) -> Any:
        """The row of a device in the inventory."""
        return self.ask("inventory")["ok"]["devices"][index]


class Host:
    """A made-up host: the state of its driver, and node programs on it."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "nvml"
        self.folder = folder / "node"
        self._programs: list[Program] = []

    def write(self, *models: str, mig: bool = True, **options: Any) -> list[str]:
        """Give it GPUs of those models; their UUIDs."""
        gpus = [
            GpuModel(find(model), f"GPU-{index:08d}-0000-0000-0000-000000000000", index, seed=5)
            for index, model in enumerate(models)
        ]
        for gpu in gpus:
            gpu.mig_enabled = gpu.mig_pending = mig and gpu.kind.mig is not None
        write_state(self.state, [fake_gpu(gpu, 0.0) for gpu in gpus], **options)
        return [gpu.uuid for gpu in gpus]

    def program(self) -> Program:
        """Start a node program."""
        self._programs.append(Program(environment(self.state), self.folder))
        return self._programs[-1]

    def close(self) -> None:
        """End all programs."""
        for program in self._programs:
            program.close()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A made-up host without GPUs yet."""
    made = Host(tmp_path)
    yield made
    made.close()
