"""A real `libnvidia-ml.so.1` for tests, compiled from this folder, that keeps its GPUs in a text file.

For whatever loads NVML by its name in a process of its own: node programs, nvitop, gpustat.

    state = tmp_path / "nvml"
    write_state(state, [FakeGpu(0, processes=((pid, 2048),))])
    subprocess.run([...], env={**os.environ, **environment(state)})

Write the state again at any time: running processes see it at their next call. Calls that change something change the
file. What a field of None stands for is answered NOT_SUPPORTED; a function that is not modelled does not exist.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pynvml
from fakes.nvml_library_settings import COMPUTE_MODES
from fakes.nvml_sensors import NOTHING, Sensors
from fakes.nvml_stub_lines import known, milli, sensor_lines
from msgspec import Struct

from gpualloc.sim.catalog import ENGINES, MigProfile
from gpualloc.sim.gpu import GpuModel

SOURCES = (
    "nvml_stub.c",
    "nvml_stub_change.h",
    "nvml_stub_clients.h",
    "nvml_stub_gpm.h",
    "nvml_stub_links.h",
    "nvml_stub_log.h",
    "nvml_stub_mig.h",
    "nvml_stub_processes.h",
    "nvml_stub_save.h",
    "nvml_stub_sensors.h",
    "nvml_stub_sensors_state.h",
    "nvml_stub_settings.h",
    "nvml_stub_state.h",
)
SONAME = "libnvidia-ml.so.1"
FAULTS = (None, "hang", "lost", "needs-reset", "no-permission")
"""`hang`: readings block until the fault is taken away, identity (UUID, name, minor) still answers; `lost`: GPU_IS_LOST
from every call and from the look-up by index or UUID; `needs-reset` and `no-permission`: readings answer that code."""


class FakeMigProfile(Struct, frozen=True):
    """A GPU instance profile as the driver describes it; None is not told."""

    name: str
    index: int
    """Argument of the profile look-up."""
    id: int
    slices: int
    instances: int
    sm: int | None
    memory_mib: int | None
    placements: tuple[tuple[int, int], ...]
    """(start, size) on the placement axis."""
    copy_engines: int | None = 1
    nvdec: int | None = 0
    nvenc: int | None = 0
    nvjpg: int | None = 0
    ofa: int | None = 0


class FakeMigInstance(Struct, frozen=True):
    """A GPU instance with its one compute instance."""

    uuid: str
    gi: int
    """GPU instance id; the MIG index is the order in the list."""
    profile: int
    """Profile id."""
    start: int
    size: int
    memory_total_mib: int
    memory_used_mib: int = 0
    ci: int = 0
    complete: bool = True
    """Whether the compute instance is there."""


class FakeGpu(Struct, frozen=True):
    """One GPU of the library. `index` must be its position in the list given to `write_state`."""

    index: int
    uuid: str = ""
    """Empty: one made of the index, `GPU-00000000-0000-0000-0000-0000000000<index>`."""
    name: str = "NVIDIA A100-SXM4-40GB"
    memory_total_mib: int | None = 40_960
    memory_used_mib: int | None = 0
    gpu_utilization_percent: int | None = 0
    memory_utilization_percent: int | None = 0
    power_w: float | None = 60.0
    power_limit_w: float | None = 400.0
    temperature_c: int | None = 35
    sm_clock_mhz: int | None = 1410
    processes: tuple[tuple[int, int | None] | tuple[int, int | None, int], ...] = ()
    """(pid, MiB) or (pid, MiB, GPU instance id); MiB None is "not available"."""
    mig_enabled: bool | None = None
    """None: the model has no MIG."""
    mig_pending: bool | None = None
    """None: the same as `mig_enabled`."""
    mig_profiles: tuple[FakeMigProfile, ...] = ()
    mig_instances: tuple[FakeMigInstance, ...] = ()
    max_mig_instances: int = 7
    minor: int | None = None
    """None: the same as `index`."""
    fault: str | None = None
    """One of `FAULTS`."""
    call_delay_ms: float = 0.0
    """How long each reading takes."""
    architecture: int | None = pynvml.NVML_DEVICE_ARCH_AMPERE
    power_range_w: tuple[float, float, float] | None = (400.0, 100.0, 400.0)
    """Default, lowest and highest limit."""
    locked_clocks_mhz: tuple[int, int] = (0, 0)
    """Both 0: not locked."""
    compute_mode: int | None = pynvml.NVML_COMPUTEMODE_DEFAULT
    persistence: bool | None = False
    mode_needs_reset: bool = True
    """Whether MIG mode changes only while no other process has the library open."""
    passed_through: bool = False
    """Whether it cannot be reset from inside this machine: a change of MIG mode answers RESET_REQUIRED."""
    engine_totals: tuple[int | None, ...] = (None,) * len(ENGINES)
    """Engines shared out among instances, in the order of `sim.catalog.ENGINES`; None is not counted."""
    gi_uuids: tuple[tuple[int, str], ...] = tuple((gi, f"MIG-fake-{gi}") for gi in range(1, 15))
    """Id of each GPU instance with the UUID of its MIG device, in the order in which ids are given."""
    sensors: Sensors = NOTHING
    """What it tells beside its load."""

    @property
    def full_uuid(self) -> str:
        """The UUID the library answers."""
        return self.uuid or f"GPU-00000000-0000-0000-0000-{self.index:012d}"


def build_library(without: Sequence[str] = ()) -> Path:
    """Compile the library unless it is there already; the folder to put on LD_LIBRARY_PATH.

    Kept in the checkout's .pytest_cache, by the hash of its source. Without gcc this raises, so that tests fail
    rather than skip.

    Args:
        without: functions that this driver lacks, such as `nvml_sensors.MISSING["R470"]`.
    """
    here = Path(__file__).parent
    hidden = "".join(["{ local: ", *(f"{name}; " for name in sorted(without)), "};"]) if without else ""
    made_of = b"".join((here / name).read_bytes() for name in SOURCES) + hidden.encode()
    digest = hashlib.sha256(made_of).hexdigest()[:16]
    folder = here.parents[1] / ".pytest_cache" / "nvml-stub" / digest
    library = folder / SONAME
    if library.exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        made, script = Path(scratch) / SONAME, Path(scratch) / "hidden"
        script.write_text(hidden)
        subprocess.run(
            [
                *("gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-finstrument-functions"),
                f"-Wl,-soname,{SONAME}",
                *([f"-Wl,--version-script={script}"] if without else []),
                *("-o", str(made), str(here / "nvml_stub.c"), "-lpthread", "-ldl"),
            ],
            check=True,
            timeout=60,
        )
        made.replace(library)
    return folder


def environment(state: Path, *, without: Sequence[str] = (), calls: Path | None = None) -> dict[str, str]:
    """Environment that makes a child process find the library and the state.

    Args:
        state: what `write_state` wrote.
        without: functions that this driver lacks.
        calls: file to which the name of each function is added when it is called.
    """
    found = {"LD_LIBRARY_PATH": str(build_library(without)), "GPUALLOC_FAKE_NVML": str(state)}
    return found if calls is None else {**found, "GPUALLOC_FAKE_NVML_CALLS": str(calls)}


def write_state(
    path: Path,
    gpus: Sequence[FakeGpu],
    *,
    driver: str = "570.133.20",
    library: str = "12.570.133.20",
    cuda: int = 12_080,
    init_code: int = 0,
    privileged: bool = True,
    long_processes: bool = False,
    plans: Sequence[tuple[str, int, str | int]] = (),
) -> None:
    """Write the state file by rename.

    Args:
        path: what GPUALLOC_FAKE_NVML names.
        gpus: by index, without holes.
        driver: driver version; `library` is the library's own.
        library: what nvmlSystemGetNVMLVersion answers.
        cuda: major * 1000 + minor * 10.
        init_code: what nvmlInit answers: 0, or such as 9 (driver not loaded), 18 (library and driver differ).
        privileged: whether calls that change something are allowed.
        long_processes: whether lists of processes have the longer records of some R535 drivers.
        plans: (function, n, what): at the n-th call a process makes of a changing function it answers a code, or
            with "hang" or "kill" does that.
    """
    if [gpu.index for gpu in gpus] != list(range(len(gpus))):
        raise ValueError("GPUs must be listed by index from 0 without holes")
    lines = [f"driver {driver}", f"library {library}", f"cuda {cuda}", f"init_code {init_code}"]
    lines += [f"privileged {int(privileged)}", f"long_processes {int(long_processes)}"]
    lines += [*(f"plan {function} {nth} {what}" for function, nth, what in plans)]
    for gpu in gpus:
        lines += _gpu_lines(gpu)
    _replace(path, lines)


def instances(path: Path) -> list[tuple[int, int, bool]]:
    """Profile id, start and completeness of every GPU instance in the state, by start."""
    rows = [line.split() for line in path.read_text().splitlines() if line.startswith("instance ")]
    return sorted(((int(row[4]), int(row[5]), row[9] == "1") for row in rows), key=lambda each: each[1])


def reboot(path: Path) -> None:
    """Leave in the state what a reboot does: no instances, processes or settings, and MIG mode only on Ampere."""
    gpus = re.split(r"^(?=gpu )", path.read_text(), flags=re.MULTILINE)
    _replace(path, [gpus[0].rstrip("\n"), *map(_rebooted, gpus[1:])])


def _rebooted(lines: str) -> str:
    """The lines of one GPU."""
    ampere = f"architecture {pynvml.NVML_DEVICE_ARCH_AMPERE}" in lines
    default_mw = re.findall(r"^power_range_mw (\S+)", lines, re.MULTILINE)[0]
    for pattern, after in (
        (r"^(instance|process) .*\n?", ""),
        (r"^locked .*", "locked 0 0"),
        (r"^compute_mode \d+", "compute_mode 0"),
        (r"^persistence \d+", "persistence 0"),
        (r"^power_mw (\S+) .*", rf"power_mw \1 {default_mw}"),
        (r"^mig \d+ \d+", None if ampere else "mig 0 0"),
    ):
        lines = lines if after is None else re.sub(pattern, after, lines, flags=re.MULTILINE)
    return lines.rstrip("\n")


def with_plan(path: Path, function: str, nth: int, what: str) -> None:
    """Plan trouble at the n-th call of a function, as `write_state` does."""
    _replace(path, [f"plan {function} {nth} {what}", *path.read_text().splitlines()])


def without_plans(path: Path) -> None:
    """Take the planned trouble away."""
    _replace(path, [line for line in path.read_text().splitlines() if not line.startswith("plan ")])


def _replace(path: Path, lines: Sequence[str]) -> None:
    handle, scratch = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "w") as file:
        file.write("\n".join(lines) + "\n")
    Path(scratch).chmod(0o644)
    Path(scratch).replace(path)


def _gpu_lines(gpu: FakeGpu) -> list[str]:
    if gpu.fault not in FAULTS:
        raise ValueError(f"{gpu.fault!r} is none of {FAULTS}")
    pending = gpu.mig_enabled if gpu.mig_pending is None else gpu.mig_pending
    return [
        f"gpu {gpu.full_uuid}",
        f"name {gpu.name}",
        f"minor {gpu.index if gpu.minor is None else gpu.minor}",
        f"memory {known(gpu.memory_total_mib)} {known(gpu.memory_used_mib)}",
        f"utilization {known(gpu.gpu_utilization_percent)} {known(gpu.memory_utilization_percent)}",
        f"power_mw {milli(gpu.power_w)} {milli(gpu.power_limit_w)}",
        f"power_range_mw {' '.join(str(milli(limit)) for limit in gpu.power_range_w or (None,) * 3)}",
        f"locked {gpu.locked_clocks_mhz[0]} {gpu.locked_clocks_mhz[1]}",
        f"architecture {known(gpu.architecture)}",
        f"compute_mode {known(gpu.compute_mode)}",
        f"persistence {known(gpu.persistence)}",
        f"mode {int(gpu.mode_needs_reset)} {int(gpu.passed_through)}",
        f"engines {' '.join(str(known(total)) for total in gpu.engine_totals)}",
        *(f"gi {gi} {uuid}" for gi, uuid in gpu.gi_uuids),
        f"temperature {known(gpu.temperature_c)}",
        f"sm_clock {known(gpu.sm_clock_mhz)}",
        f"delay_us {round(gpu.call_delay_ms * 1000)}",
        f"fault {gpu.fault or 'none'}",
        f"mig {known(gpu.mig_enabled)} {known(pending)} {0 if gpu.mig_enabled is None else gpu.max_mig_instances}",
        *(line for profile in gpu.mig_profiles for line in _profile_lines(profile)),
        *(_instance_line(instance) for instance in gpu.mig_instances),
        *(_process_line(*process) for process in gpu.processes),
        *sensor_lines(gpu.sensors),
    ]


def _profile_lines(profile: FakeMigProfile) -> list[str]:
    engines = (profile.copy_engines, profile.nvdec, profile.nvenc, profile.nvjpg, profile.ofa)
    numbers = (profile.index, profile.id, profile.slices, profile.instances, profile.sm, profile.memory_mib, *engines)
    return [
        f"profile {' '.join(str(known(number)) for number in numbers)} {profile.name}",
        *(f"placement {start} {size}" for start, size in profile.placements),
    ]


def _instance_line(instance: FakeMigInstance) -> str:
    place = f"{instance.gi} {instance.ci} {instance.profile} {instance.start} {instance.size}"
    memory = f"{instance.memory_total_mib} {instance.memory_used_mib}"
    return f"instance {instance.uuid} {place} {memory} {int(instance.complete)}"


def _process_line(pid: int, used_mib: int | None, gi: int | None = None) -> str:
    instance = "4294967295 4294967295" if gi is None else f"{gi} 0"
    return f"process {pid} {known(used_mib)} {instance}"


def fake_gpu(model: GpuModel, at_s: float, fault: str | None = None) -> FakeGpu:
    """The GPU of the library that shows a simulated one as it stands at that time."""
    readings = model.readings(at_s)
    table = model.kind.mig
    gi = {instance.uuid: instance.gi for instance in model.instances}
    return FakeGpu(
        index=model.index,
        uuid=model.uuid,
        name=model.kind.product,
        memory_total_mib=model.kind.memory_total_mib,
        memory_used_mib=readings.memory_used_mib,
        gpu_utilization_percent=_percent(readings.gpu_utilization_ratio),
        memory_utilization_percent=_percent(readings.memory_utilization_ratio),
        power_w=readings.power_w,
        power_limit_w=model.power_limit_w,
        power_range_w=_power_range(model),
        locked_clocks_mhz=(model.settings.sm_clock_min_mhz, model.settings.sm_clock_max_mhz),
        architecture=getattr(pynvml, f"NVML_DEVICE_ARCH_{model.kind.generation.upper()}"),
        compute_mode=COMPUTE_MODES[model.settings.compute_mode],
        persistence=model.settings.persistence,
        mode_needs_reset=table is not None and table.mode_needs_reset,
        engine_totals=tuple(table.engine_totals.get(engine) if table else None for engine in ENGINES),
        gi_uuids=tuple((gi, model.mig_uuid(gi)) for gi in model.gi_order()),
        temperature_c=readings.temperature_c,
        sm_clock_mhz=readings.sm_clock_mhz,
        processes=tuple(
            (each.pid, each.memory_mib) if each.instance is None else (each.pid, each.memory_mib, gi[each.instance])
            for each in model.processes
        ),
        mig_enabled=model.mig_enabled if model.kind.has_mig else None,
        mig_pending=model.mig_pending if model.kind.has_mig else None,
        mig_profiles=tuple(_fake_profile(profile) for profile in table.profiles) if table else (),
        mig_instances=tuple(
            FakeMigInstance(
                uuid=each.uuid,
                gi=each.gi,
                profile=each.profile.id,
                start=each.start,
                size=each.profile.size,
                memory_total_mib=each.profile.memory_mib,
                memory_used_mib=model.memory_used_mib(each.uuid),
                complete=each.complete,
            )
            for each in model.instances
        ),
        max_mig_instances=table.max_instances if table else 0,
        fault=fault,
    )


def _power_range(model: GpuModel) -> tuple[float, float, float] | None:
    default, lowest = model.kind.power_limit_w, model.kind.power_limit_min_w
    return None if default is None or lowest is None else (default, lowest, default)


def _fake_profile(profile: MigProfile) -> FakeMigProfile:
    return FakeMigProfile(
        name=profile.name,
        index=profile.index,
        id=profile.id,
        slices=profile.slices,
        instances=profile.max_instances,
        sm=profile.sm,
        memory_mib=profile.memory_mib,
        placements=tuple((start, profile.size) for start in profile.starts),
        copy_engines=profile.engines["copy"],
        nvdec=profile.engines["nvdec"],
        nvenc=profile.engines["nvenc"],
        nvjpg=profile.engines["nvjpg"],
        ofa=profile.engines["ofa"],
    )


def _percent(ratio: float | None) -> int | None:
    return None if ratio is None else round(ratio * 100)
