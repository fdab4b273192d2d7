"""Node programs as processes over the C driver library of tests/fakes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.nvml_stub import environment, fake_gpu, write_state

from gpualloc.sim.catalog import find
from gpualloc.sim.gpu import GpuModel

REPOSITORY = Path(__file__).parents[3]


class Program:
    """One node program and the requests made of it."""

    def __init__(self, state: Path, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gpualloc.node", "serve", "--nonce", "n"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd="/",
            env={
                **os.environ,
                **environment(state),
                "GPUALLOC_NODE_STATE_DIR": str(folder),
                "PYTHONPATH": str(REPOSITORY),
            },
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._stdin, self._stdout = self.process.stdin, self.process.stdout
        self._stdout.readline()

    def ask(self, verb: str, **args: Any) -> Any:
        """The end record of a request; None when the program died over it."""
        self._stdin.write(json.dumps({"id": 1, "verb": verb, "args": args}).encode() + b"\n")
        self._stdin.flush()
        line = self._stdout.readline()
        if not line:
            self.process.wait(60)
            return None
        return json.loads(line)

    def call(self, verb: str, kind: str, device: str, **fields: Any) -> Any:
        """The end record of a call about a step."""
        step = {"kind": kind, "workload": None, "device": device, "attempt": 0, **fields}
        return self.ask(verb, call={"run": "r", "seq": 1, "fence": 1, "controller": "c" * 32, "step": step})

    def device(self, index: int = 0) -> Any:
        """The row of a device in the inventory."""
        return self.ask("inventory")["ok"]["devices"][index]

    def close(self) -> None:
        """End it and wait."""
        self._stdin.close()
        self._stdout.close()
        self.process.wait(60)


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
        self._programs.append(Program(self.state, self.folder))
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
