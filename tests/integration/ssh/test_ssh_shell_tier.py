"""Nodes without a usable python3: read through a shell program and nvidia-smi, over real ssh and over a shell here."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes.nvml_stub import FakeGpu, FakeMigInstance
from fakes.smi import calls, fake_smi, fault, write_smi
from fakes.sshd_farm import sshd_farm

from gpualloc.adapters.fleet import LinkedFleet
from gpualloc.adapters.pipe_link import PipeLink
from gpualloc.adapters.session import NodeSession
from gpualloc.adapters.ssh import REMOTE_COMMAND, SshLaunch, SshLink, SshTarget, shell_stand_in
from gpualloc.adapters.streaming.process_dial import ProcessDial
from gpualloc.errors import StepError
from gpualloc.model.inventory import DeviceState, Node, NodeSpec, NodeState
from gpualloc.model.readings import Throttle

DEADLINE_S = 60.0
SPEC = NodeSpec("n", "p", "ssh")
FREEZER = Path("/sys/fs/cgroup/freezer")


class ShellLaunch(SshLaunch):
    """The command that ssh nodes get, run by a shell here."""

    def __init__(self, environment: dict[str, str], shell: str = "/bin/sh", within: tuple[str, ...] = ()) -> None:
        super().__init__(SshTarget("localhost"))
        self._command = [*within, "env", "-i", *(f"{key}={value}" for key, value in environment.items()), shell]

    def argv(self, nonce):
        return [*self._command, "-c", REMOTE_COMMAND]


class Place:
    """A node without python3: this machine, seen through a shell with a PATH of its own."""

    def __init__(self, folder: Path) -> None:
        self.commands, self.state = fake_smi(folder)
        self.sessions: list[NodeSession] = []

    def session(self, shell: str = "/bin/sh", within: tuple[str, ...] = (), **environment: str) -> NodeSession:
        told = {"PATH": str(self.commands), "GPUALLOC_FAKE_SMI": str(self.state), **environment}
        self.sessions.append(
            NodeSession(
                SPEC, lambda: PipeLink("n", ShellLaunch(told, shell, within), find_stand_in=shell_stand_in), time.time
            )
        )
        return self.sessions[-1]

    def called(self, start: str) -> int:
        return sum(call.startswith(start) for call in calls(self.state))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    write_smi(made.state, [FakeGpu(0), FakeGpu(1)])
    yield made
    for session in made.sessions:
        session.close()


@pytest.fixture
def worker() -> Iterator[subprocess.Popen[bytes]]:
    """A process that may be said to be on a GPU."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def look(session: NodeSession) -> Node:
    return session.observe(DEADLINE_S)


def test_a_node_without_python3_is_seen_through_its_nvidia_smi_over_ssh():
    with sshd_farm(["n"]) as farm:
        node = farm["n"]
        commands, state = fake_smi(farm.folder)
        write_smi(state, [FakeGpu(0, gpu_utilization_percent=37, memory_used_mib=512), FakeGpu(1, temperature_c=None)])
        node.restart(PATH=str(commands), GPUALLOC_FAKE_SMI=str(state))
        target = SshTarget(node.host, node.user, node.port, node.options)
        session = NodeSession(SPEC, lambda: SshLink("n", target, farm.folder), time.time)
        try:
            seen = look(session)
            until(lambda: look(session).host.cpu_utilization_ratio is not None)
            with pytest.raises(StepError, match="only looked at") as refused:
                session.call("do", {"call": {}}, DEADLINE_S)
        finally:
            session.close()
    assert (seen.state, seen.reason, seen.user, seen.python_version) == (NodeState.OK, None, node.user, "none")
    assert seen.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert "nvidia-smi" in (seen.limited or "")
    assert not seen.manageable
    assert refused.value.reason == "not-supported"
    assert [device.gpu_utilization_ratio for device in seen.devices] == [0.37, 0.0]
    assert seen.devices[1].unavailable["temperature_c"] == "not supported"
    assert seen.host.cpu_utilization_ratio is None


def test_a_watch_goes_on_asking_a_node_that_cannot_stream(place):
    launch = ShellLaunch({"PATH": str(place.commands), "GPUALLOC_FAKE_SMI": str(place.state)})
    fleet = LinkedFleet(
        [(SPEC, lambda: PipeLink("n", launch, find_stand_in=shell_stand_in))],
        dials={"n": lambda: ProcessDial(launch)},
    )
    watch = fleet.watch(0.5)
    try:
        heard: list[Node] = []
        until(lambda: heard.extend(watch.hear(0.5)) or any(node.limited for node in heard))
        write_smi(place.state, [FakeGpu(0, memory_used_mib=321)])
        until(lambda: any(node.devices and node.devices[0].memory_used_mib == 321 for node in watch.hear(0.5)))
    finally:
        watch.close()
        fleet.close()


@pytest.mark.parametrize("shell", ["/bin/dash", "/bin/bash", "/bin/busybox", "/bin/ksh", "/bin/mksh"])
def test_every_posix_shell_will_do(place, shell):
    if not os.path.exists(shell):
        pytest.skip(f"{shell} is not here")
    seen = look(place.session(shell))
    assert (seen.state, len(seen.devices)) == (NodeState.OK, 2)


def test_what_is_told_is_what_the_driver_has(place):
    gpu = FakeGpu(
        0,
        gpu_utilization_percent=90,
        memory_utilization_percent=40,
        memory_used_mib=1234,
        power_w=301.25,
        temperature_c=71,
        sm_clock_mhz=1305,
        persistence=True,
        mig_enabled=False,
    )
    write_smi(place.state, [gpu], driver="535.1")
    seen = look(place.session())
    (device,) = seen.devices
    assert seen.driver_version == "535.1"
    assert (device.uuid, device.index, device.model) == (gpu.full_uuid, 0, gpu.name)
    assert (device.memory_total_mib, device.memory_used_mib) == (40_960, 1234)
    assert (device.gpu_utilization_ratio, device.memory_utilization_ratio) == (0.9, 0.4)
    assert (device.power_w, device.power_limit_w, device.power_limit_min_w) == (301.25, 400.0, 100.0)
    assert (device.temperature_c, device.memory_temperature_c) == (71, 31)
    assert (device.sm_clock_mhz, device.memory_clock_mhz, device.performance_state) == (1305, 1215, 0)
    assert (device.mig_enabled, device.mig_pending) == (False, False)
    assert device.throttles == (Throttle.POWER_CAP,)
    assert (device.settings.persistence, device.settings.power_limit_w) == (True, 400.0)
    assert (device.ecc.volatile_uncorrected, device.ecc.remapped_uncorrected, device.ecc.remap_pending) == (2, 2, False)
    assert (device.pcie.width, device.pcie.width_max) == (8, 16)
    assert (device.board.pci_bus_id, device.board.vbios_version) == ("0000:3a:00.0", "92.00.45.00.03")


def test_every_reading_that_is_not_told_has_its_reason(place):
    seen = look(place.session())
    for device in seen.devices:
        missing = [name for name in ("energy_j", "fan_ratio", "architecture", "minor") if getattr(device, name) is None]
        assert {name: device.unavailable.get(name) for name in missing} == {
            "energy_j": "not seen",
            "fan_ratio": "not supported",
            "architecture": "not seen",
            "minor": "not seen",
        }
        for part in (device.activity, device.ecc, device.pcie, device.board):
            for name in part.__struct_fields__:
                if getattr(part, name) is None:
                    assert f"{type(part).__name__.lower()}.{name}" in device.unavailable
    assert "not seen" in (seen.kernel_log_reason or "")


def test_processes_have_their_user_command_and_start(place, worker):
    write_smi(place.state, [FakeGpu(0, processes=((worker.pid, 777), (4_194_303, None)))])
    session = place.session()
    first, second = look(session), look(session)
    ours, gone = sorted(first.processes, key=lambda process: process.pid)
    assert (ours.user, ours.command, ours.gpu_memory_used_mib) == ("root", "sleep 600", 777)
    assert ours.parent == os.getpid()
    assert ours.started_at_s == pytest.approx(time.time(), abs=600)
    assert (gone.user, gone.command, gone.gpu_memory_used_mib) == (None, None, None)
    assert min(second.processes, key=lambda process: process.pid).started_at_s == ours.started_at_s


def test_an_older_driver_is_asked_for_less_and_only_once_too_much(place):
    write_smi(place.state, [FakeGpu(0)], unknown=("temperature.memory", "mig.mode.current", "remapped_rows.pending"))
    session = place.session()
    look(session)
    seen = look(session)
    (device,) = seen.devices
    assert device.gpu_utilization_ratio == 0.0
    assert device.unavailable["memory_temperature_c"] == "not seen"
    assert device.unavailable["mig_enabled"] == "not seen"
    assert device.unavailable["ecc.remap_pending"] == "not seen"
    assert device.power_limit_max_w == 400.0
    assert sum("temperature.memory" in call for call in calls(place.state)) == 2  # in two forms, each once


def test_a_driver_that_has_the_older_name_for_a_column_tells_as_much(place):
    write_smi(place.state, [FakeGpu(0)], unknown=("clocks_event_reasons.active",))
    (device,) = look(place.session()).devices
    assert device.throttles == (Throttle.POWER_CAP,)


def test_a_gpu_that_knows_less_beside_a_lost_one_does_not_make_the_driver_old(place):
    """Not supported is a value, also where nvidia-smi ends with an error."""
    write_smi(
        place.state,
        [FakeGpu(0)],
        unheld=["Unable to determine the device handle for GPU1: 0000:3B:00.0: Unknown Error"],
        cells={FakeGpu(0).full_uuid: {"fan.speed": "[Not Supported]"}},
    )
    (place.state / "status").write_text("15")
    well, lost = look(place.session()).devices
    assert (well.state, well.unavailable["fan_ratio"], well.throttles) == (
        DeviceState.OK,
        "not supported",
        (Throttle.POWER_CAP,),
    )
    assert lost.state is DeviceState.LOST


def test_what_hardly_changes_is_asked_for_once(place):
    session = place.session()
    for _ in range(3):
        look(session)
    assert place.called("--query-gpu=uuid,index") == 3
    assert place.called("--query-gpu=uuid,serial") == 1
    assert place.called("-q") == 0


def test_a_lost_gpu_keeps_its_name_and_its_neighbour_stays_fresh(place):
    session = place.session()
    look(session)
    lost = FakeGpu(1)
    write_smi(
        place.state,
        [FakeGpu(0, memory_used_mib=9)],
        unheld=["Unable to determine the device handle for GPU1: 0000:3B:00.0: Unknown Error"],
    )
    well, sick = look(session).devices
    assert (well.state, well.memory_used_mib) == (DeviceState.OK, 9)
    assert (sick.uuid, sick.state) == (lost.full_uuid, DeviceState.LOST)
    assert "Unknown Error" in (sick.reason or "")
    assert (sick.memory_used_mib, sick.unavailable["memory_used_mib"]) == (None, "lost")
    assert sick.memory_total_mib == lost.memory_total_mib


def test_a_gpu_that_is_lost_from_the_beginning_is_named_by_its_place(place):
    write_smi(place.state, [FakeGpu(0)], unheld=["Unable to determine the device handle for GPU 0000:3B:00.0: Lost"])
    devices = {device.uuid: device.state for device in look(place.session()).devices}
    assert devices == {FakeGpu(0).full_uuid: DeviceState.OK, "GPU-unknown-0000-3b-00-0": DeviceState.LOST}


def test_cells_that_say_that_the_gpu_is_lost(place):
    write_smi(place.state, [FakeGpu(0)], cells={FakeGpu(0).full_uuid: {"utilization.gpu": "[GPU is lost]"}})
    (device,) = look(place.session()).devices
    assert device.state is DeviceState.LOST


def test_a_driver_that_hangs_is_named_and_the_host_stays_fresh(place):
    session = place.session(GPUALLOC_NVML_DEADLINE_S="1")
    look(session)
    fault(place.state, "hang")
    hung = look(session)
    assert (hung.state, hung.host.memory_available_mib is None) == (NodeState.OK, False)
    assert [device.state for device in hung.devices] == [DeviceState.HUNG] * 2
    assert {device.unavailable["memory_used_mib"] for device in hung.devices} == {"hung"}
    assert {device.unavailable["processes"] for device in hung.devices} == {"hung"}
    fault(place.state, None)
    assert [device.state for device in look(session).devices] == [DeviceState.OK] * 2


def test_a_driver_that_hangs_from_the_beginning_and_comes_back(place):
    fault(place.state, "hang")
    session = place.session(GPUALLOC_NVML_DEADLINE_S="1")
    hung = look(session)
    assert (hung.state, hung.devices) == (NodeState.OK, ())
    assert "does not answer" in (hung.nvml_reason or "")
    fault(place.state, None)
    look(session)
    well = look(session)
    assert (well.nvml_reason, len(well.devices)) == (None, 2)


def test_an_nvidia_smi_that_does_not_want_to_end_is_killed(place):
    fault(place.state, "stubborn")
    look(place.session(GPUALLOC_NVML_DEADLINE_S="1"))
    until(lambda: not of_state(place.state))


@pytest.fixture
def own_pids() -> Iterator[tuple[str, ...]]:
    """What enters a process namespace where no nvidia-smi of another test is seen."""
    holder = subprocess.Popen(["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "sleep", "600"])
    children = Path(f"/proc/{holder.pid}/task/{holder.pid}/children")
    until(children.read_text)
    yield ("nsenter", "--target", children.read_text().strip(), "--pid", "--mount", "--")
    holder.kill()
    holder.wait()


@pytest.mark.root
def test_no_second_nvidia_smi_is_started_beside_one_that_cannot_be_killed(place, own_pids):
    if not (FREEZER / "cgroup.procs").exists():
        pytest.skip("no freezer of control groups, version 1")
    group = FREEZER / f"gpualloc-test-{os.getpid()}"
    group.mkdir()
    try:
        fault(place.state, "stubborn")
        session = place.session(within=own_pids, GPUALLOC_NVML_DEADLINE_S="2")
        freezer = threading.Thread(target=freeze, args=(group, place.state))
        freezer.start()
        look(session)
        freezer.join()
        begun = len(calls(place.state))
        assert "does not answer" in (look(session).nvml_reason or "")
        session.close()
        # The next connection finds what this one left.
        session = place.session(within=own_pids, GPUALLOC_NVML_DEADLINE_S="2")
        assert "does not answer" in (look(session).nvml_reason or "")
        assert len(calls(place.state)) == begun
        (group / "freezer.state").write_text("THAWED")
        until(lambda: not of_state(place.state))
        fault(place.state, None)
        look(session)
        assert len(look(session).devices) == 2
    finally:
        (group / "freezer.state").write_text("THAWED")
        until(lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()


@pytest.mark.root
def test_gpus_of_a_driver_that_hangs_from_the_beginning_are_named_by_the_kernel(place):
    """/proc tells which GPUs there are, and their minor numbers, which nvidia-smi does not."""
    name = FakeGpu(0).full_uuid
    text = f"Model: \\t\\t NVIDIA A100\\nGPU UUID: \\t {name}\\nBus Location: \\t 0000:3a:00.0\\nDevice Minor: \\t 3\\n"
    folder = "/proc/driver/nvidia/gpus/0000:3a:00.0"
    setup = f"mount -t tmpfs none /proc/driver && mkdir -p {folder} && printf '{text}' >{folder}/information"
    session = place.session(within=("unshare", "--mount", "sh", "-c", f'{setup} && exec "$@"', "sh"))
    seen = look(session)
    told = [(device.uuid, device.minor, device.index) for device in seen.devices]
    assert told == [(name, 3, 0), (FakeGpu(1).full_uuid, None, 1)]
    session.close()
    fault(place.state, "hang")
    session = place.session(
        within=("unshare", "--mount", "sh", "-c", f'{setup} && exec "$@"', "sh"), GPUALLOC_NVML_DEADLINE_S="1"
    )
    (device,) = look(session).devices
    assert (device.uuid, device.model, device.state) == (name, "NVIDIA A100", DeviceState.HUNG)
    assert device.board.pci_bus_id == "0000:3a:00.0"


@pytest.mark.parametrize(
    ("status", "words", "part"),
    [
        ("18", "Failed to initialize NVML: Driver/library version mismatch", "mismatch"),
        ("9", "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.", "couldn't communicate"),
        ("255", "Something \x1b[31mred", "Something"),
    ],
)
def test_an_nvidia_smi_that_fails_says_why(place, status, words, part):
    fault(place.state, status, words)
    seen = look(place.session())
    assert seen.state is NodeState.OK
    assert part in (seen.nvml_reason or "")


def test_a_driver_that_fails_later_is_the_state_of_each_gpu(place):
    session = place.session()
    look(session)
    fault(place.state, "9", "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.")
    devices = look(session).devices
    assert [device.state for device in devices] == [DeviceState.FAILED] * 2
    assert all("couldn't communicate" in (device.reason or "") for device in devices)


def test_no_gpus_are_none(place):
    fault(place.state, "6", "No devices were found")
    seen = look(place.session())
    assert (seen.state, seen.devices, seen.nvml_reason) == (NodeState.OK, (), None)


def test_mig_instances_and_who_is_in_which(place, worker):
    instances = (
        FakeMigInstance("MIG-aaaa", gi=7, profile=0, start=0, size=1, memory_total_mib=4864, memory_used_mib=12),
        FakeMigInstance("MIG-bbbb", gi=8, profile=0, start=1, size=1, memory_total_mib=4864, memory_used_mib=500),
    )
    gpu = FakeGpu(
        0,
        mig_enabled=True,
        gpu_utilization_percent=None,
        mig_instances=instances,
        processes=((worker.pid, 488, 8),),
    )
    write_smi(place.state, [gpu])
    session = place.session()
    seen = look(session)
    look(session)
    (device,) = seen.devices
    assert device.mig_enabled is True
    assert device.unavailable["gpu_utilization_ratio"] == "mig"
    assert [(each.uuid, each.profile, each.memory_used_mib) for each in device.mig_instances] == [
        ("MIG-aaaa", "1g.5gb", 12),
        ("MIG-bbbb", "1g.5gb", 500),
    ]
    assert [process.mig_instance for process in seen.processes] == ["MIG-bbbb"]
    assert place.called("-q") == 1


def test_neither_python3_nor_nvidia_smi_is_a_state_with_what_to_do(place):
    (place.commands / "nvidia-smi").unlink()
    (place.commands / "python3").write_text("#!/bin/sh\nexit 97\n")
    (place.commands / "python3").chmod(0o755)
    seen = look(place.session())
    assert seen.state is NodeState.NO_PYTHON
    assert "only python3, without" in (seen.reason or "")
    assert "no nvidia-smi" in (seen.reason or "")
    assert "install python3" in (seen.reason or "")


def test_a_python3_without_its_library_is_no_hindrance(place):
    (place.commands / "python3").write_text("#!/bin/sh\nexit 97\n")
    (place.commands / "python3").chmod(0o755)
    assert len(look(place.session()).devices) == 2


def test_columns_that_nobody_asked_for_make_only_that_gpu_unknown(place):
    write_smi(place.state, [FakeGpu(0), FakeGpu(1)], cells={FakeGpu(1).full_uuid: {"name": "A, 0, B"}})
    well, odd = look(place.session()).devices
    assert well.state is DeviceState.OK
    assert odd.state is DeviceState.FAILED
    assert "columns" in (odd.reason or "")


def test_waiting_for_an_end_of_work_takes_its_time_and_tells_of_none(place):
    session = place.session()
    began_s = time.monotonic()
    assert session.call("events", {"timeout_s": 0.3}, DEADLINE_S) == {"changed": False}
    assert time.monotonic() - began_s >= 0.3


def test_what_each_question_costs_is_told(place):
    session = place.session()
    look(session)
    groups = {group["group"]: group for group in session.call("cost", {}, DEADLINE_S)["groups"]}
    assert groups["load"]["calls"] == 1
    assert 0 < groups["load"]["mean_s"] <= groups["load"]["max_s"]


def of_state(state: Path) -> list[int]:
    """Pids of nvidia-smi programs of that state folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"GPUALLOC_FAKE_SMI={state}".encode() in (entry / "environ").read_bytes():
                found += [int(entry.name)] if (entry / "comm").read_text().strip() == "nvidia-smi" else []
        except OSError:
            continue
    return found


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "never came true"
        time.sleep(0.02)


def freeze(group: Path, state: Path) -> None:
    """Make the next nvidia-smi one that no signal ends, as a call into a sick driver does."""
    until(lambda: of_state(state))
    for pid in of_state(state):
        (group / "cgroup.procs").write_text(str(pid))
    (group / "freezer.state").write_text("FROZEN")
