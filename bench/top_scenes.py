"""What dashboards are put in front of, and the dashboards."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random

from msgspec import Struct
from peers import nvml_stub  # found beside this file
from top_session import Tool

EVERY_S = 2
HUNG = 3
"""Index of the GPU that hangs."""
FIRST_PERCENT = 37
"""Utilization of every GPU until something was drawn: by it a first reading is known on every screen."""


class Scene(Struct, frozen=True):
    """What the dashboards look at, and on how large a terminal."""

    gpus: int
    size: tuple[int, int]
    hangs: bool = False
    """Whether a GPU hangs as soon as something was drawn."""

    @property
    def text(self) -> str:
        return f"{self.gpus}{', one hangs' if self.hangs else ''} | {self.size[0]}x{self.size[1]}"


class Moving:
    """GPUs whose readings all change once a second, from when they are let go.

    Args:
        state: the file of the driver library.
        scene: which GPUs.
    """

    def __init__(self, state: Path, scene: Scene) -> None:
        self._state = state
        self._scene = scene
        self._noise = Random(11)
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._write(lambda: FIRST_PERCENT, hangs=False)

    def let_go(self) -> None:
        """Change them from now on; from now on, too, one hangs, if one is to."""
        self._thread = threading.Thread(target=self._move, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Change nothing more; what hung answers again."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        self._write(lambda: FIRST_PERCENT, hangs=False)

    def _move(self) -> None:
        while True:
            self._write(lambda: self._noise.randrange(100), hangs=self._scene.hangs)
            if self._over.wait(1.0):
                return

    def _write(self, percent: Callable[[], int], *, hangs: bool) -> None:
        gpus = []
        for index in range(self._scene.gpus):
            used = percent()
            gpus.append(
                nvml_stub.FakeGpu(
                    index,
                    gpu_utilization_percent=used,
                    memory_utilization_percent=used // 2,
                    memory_used_mib=2_000 + 300 * used,
                    power_w=60.0 + 3 * used,
                    temperature_c=35 + used // 3,
                    processes=((os.getpid(), 2_000 + 300 * used),),
                    fault="hang" if hangs and index == HUNG else None,
                )
            )
        nvml_stub.write_state(self._state, gpus)


@contextmanager
def tools(nvtop: str | None) -> Iterator[list[tuple[Tool, Mapping[str, str]]]]:
    """The dashboards there are, each with what it needs in its environment; gpualloc first, then nvitop."""
    reading = re.compile(rf"{FIRST_PERCENT} ?%".encode())
    python = sys.executable
    found: list[tuple[Tool, Mapping[str, str]]] = [
        (Tool("gpualloc top", [python, "-m", "gpualloc", "top", "--every", f"{EVERY_S}s"], reading), {}),
        (Tool("nvitop", [python, "-m", "nvitop", "--interval", str(EVERY_S)], reading), {}),
    ]
    with tempfile.TemporaryDirectory() as scratch:
        if nvtop is not None:
            # The first versions of some functions, which only older programs ask for.
            library = f"{scratch}/libnvidia-ml.so"
            rest = [f"-L{nvml_stub.build_library()}", f"-l:{nvml_stub.SONAME}"]
            command = [
                "cc",
                "-shared",
                "-fPIC",
                "-O2",
                "-o",
                library,
                str(Path(__file__).with_name("top_older.c")),
                *rest,
            ]
            subprocess.run(command, check=True)
            found.append((Tool("nvtop", [nvtop, "-d", str(EVERY_S * 10)], reading), {"LD_LIBRARY_PATH": scratch}))
        yield found


def begin_state(env: Mapping[str, str]) -> None:
    """Make the databases of gpualloc, which its very first commands do."""
    for verb in ("audit", "events"):
        subprocess.run([sys.executable, "-m", "gpualloc", verb], env=env, check=True, stdout=subprocess.DEVNULL)
