"""A real `libcuda.so.1` for tests, compiled from this folder: the checkpoint functions over a state machine in files.

For whatever loads CUDA by its name in a process of its own. Several processes see the same state.

    cuda = FakeCuda(tmp_path / "cuda", {UUID: 40_000})
    cuda.add(pid, {UUID: 2_048})
    cuda.fault("checkpoint", "return", code=801)
    subprocess.run([...], env={**os.environ, **cuda.environment()})
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

SOURCES = ("cuda_stub.c", "cuda_stub_nvml.h", "cuda_stub_memory.h")
SONAME = "libcuda.so.1"
STATES = ("running", "locked", "checkpointed", "failed")
ACTIONS = ("return", "fail", "hang", "die-before", "die-after", "end-process", "flip")
"""`return`: that code, nothing done; `fail`: that code, and the process is FAILED; `hang`: for ever; `die-...`: the
caller is killed before or after the effect; `end-process`: the process named by the call is killed first; `flip`: of
`memory-read`: one bit is not as it was written."""


def build_library() -> Path:
    """Compile the library unless it is there already; the folder to put on LD_LIBRARY_PATH.

    Kept in the checkout's .pytest_cache, by the hash of its source.
    """
    here = Path(__file__).parent
    digest = hashlib.sha256(b"".join((here / name).read_bytes() for name in SOURCES)).hexdigest()[:16]
    folder = here.parents[1] / ".pytest_cache" / "cuda-stub" / digest
    library = folder / SONAME
    if library.exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        made = Path(scratch) / SONAME
        options = ("-O1", "-Wall", "-Wextra", "-Werror", "-Wno-format-truncation", "-fPIC", "-shared")
        subprocess.run(
            ["gcc", *options, f"-Wl,-soname,{SONAME}", "-o", str(made), str(here / "cuda_stub.c")],
            check=True,
            timeout=60,
        )
        made.replace(library)
    return folder


class FakeCuda:
    """The driver of a machine with these GPUs.

    Args:
        folder: where its state is kept; made.
        devices: UUID of each GPU of the machine to its free MiB.
        version: what cuDriverGetVersion answers.
        init_code: what cuInit answers.
        chips: UUID to the type of its chip; those left out are of one type.
    """

    def __init__(
        self,
        folder: Path,
        devices: dict[str, int],
        *,
        version: int = 13_000,
        init_code: int = 0,
        chips: dict[str, str] | None = None,
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        lines = [f"cuda {version}", f"init {init_code}"]
        lines += [f"device {uuid} {(chips or {}).get(uuid, 'chip')} {free}" for uuid, free in devices.items()]
        self._write("driver", lines)

    @classmethod
    def open(cls, folder: Path) -> FakeCuda:
        """The driver whose state another process keeps there."""
        found = cls.__new__(cls)
        found.folder = folder
        return found

    def environment(self) -> dict[str, str]:
        """Environment that makes a child process find the library and this state."""
        return {"LD_LIBRARY_PATH": str(build_library()), "FAKE_CUDA": str(self.folder)}

    def add(self, pid: int, gpus: dict[str, int], state: str = "running") -> None:
        """Let a running process use CUDA, with so many MiB on each GPU; the free memory is the caller's to tell."""
        start = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
        lines = [f"state {STATES.index(state)}", "host 0", f"start {start}", "stuck 0"]
        self._write(f"process.{pid}", lines + [f"gpu {uuid} {mib}" for uuid, mib in gpus.items()])

    def fault(self, function: str, action: str, *, pid: int | None = None, nth: int = 1, code: int = 0) -> None:
        """Let the nth call of a function for that pid (any, when None) go wrong."""
        assert action in ACTIONS
        with (self.folder / "faults").open("a") as file:
            file.write(f"{function} {'*' if pid is None else pid} {nth} {action} {code}\n")

    def forget_faults(self) -> None:
        """From now on nothing goes wrong, and calls are counted from 1."""
        for name in ("faults", "begun", "calls"):
            (self.folder / name).unlink(missing_ok=True)

    def state(self, pid: int) -> str:
        """State of a process."""
        return STATES[int(self._fields(pid)["state"][0])]

    def host_mib(self, pid: int) -> int:
        """MiB of GPU memory that lie on the host."""
        return int(self._fields(pid)["host"][0])

    def pids(self) -> list[int]:
        """The processes that use CUDA or did."""
        return sorted(int(path.suffix[1:]) for path in self.folder.glob("process.*") if path.suffix[1:].isdigit())

    def memory(self, pid: int) -> dict[str, int]:
        """UUID to MiB of the GPUs the process uses, or was checkpointed on."""
        found = [line.split() for line in self._lines(f"process.{pid}")]
        return {fields[1]: int(fields[2]) for fields in found if fields[0] == "gpu"}

    def free_mib(self, uuid: str) -> int:
        """Free memory of a GPU."""
        found = [line.split() for line in self._lines("driver")]
        return next(int(fields[3]) for fields in found if fields[:2] == ["device", uuid])

    def calls(self, *functions: str) -> list[tuple[str, int, int]]:
        """The answered calls of these functions (all, when none is given): function, pid, CUresult."""
        found = [line.split() for line in self._lines("calls")]
        return [(name, int(pid), int(code)) for name, pid, code in found if not functions or name in functions]

    def begun(self, function: str) -> int:
        """How many calls of a function were made, answered or not."""
        return sum(line.split()[0] == function for line in self._lines("begun"))

    def _fields(self, pid: int) -> dict[str, list[str]]:
        return {line.split()[0]: line.split()[1:] for line in self._lines(f"process.{pid}")}

    def _lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    def _write(self, name: str, lines: list[str]) -> None:
        scratch = self.folder / f"{name}.tmp.{os.getpid()}"
        scratch.write_text("\n".join(lines) + "\n")
        scratch.replace(self.folder / name)
