"""A made-up `nvidia-smi` for nodes without python3: a shell script that shows the GPUs of the C library's state.

    bin_folder, state = fake_smi(folder)  # a file `status` in `state` is what it ends with
    write_smi(state, [FakeGpu(0)])
    node.restart(PATH=str(bin_folder), GPUALLOC_FAKE_SMI=str(state))

`bin_folder` holds what a small node has (coreutils, no python3) and the script. Write the state again at any time.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from fakes.nvml_stub import FakeGpu

TOOLS = ("cat", "ls", "id", "date", "sleep", "getconf", "df", "printf", "sh")
_COMPUTE_MODES = {0: "Default", 2: "Prohibited", 3: "Exclusive_Process"}
_SCRIPT = r"""#!/bin/sh
state=$GPUALLOC_FAKE_SMI
echo "$*" >>"$state/calls"
fault=
{ read -r fault <"$state/fault"; } 2>/dev/null
case $fault in
hang) exec sleep 1000 ;;
stubborn) trap '' TERM; while :; do sleep 1; done ;;
[0-9]*) cat "$state/words"; exit "$fault" ;;
esac

# table FOLDER COLUMN,COLUMN: a row for each folder in FOLDER, a file for each column in those.
table() {
    IFS=,
    for row in "$state/$1"/*; do
        line=
        [ -d "$row" ] || continue
        for column in $2; do
            cell=
            { read -r cell <"$row/$column"; } 2>/dev/null ||
                { echo "Field \"$column\" is not a valid field to query."; exit 2; }
            line=$line${line:+, }$cell
        done
        echo "$line"
    done
}

cat "$state/unheld" 2>/dev/null
case $1 in
--query-gpu=*) table gpus "${1#*=}" ;;
--query-remapped-rows=*) table gpus "${1#*=}" ;;
--query-compute-apps=*) table apps "${1#*=}" ;;
-L) cat "$state/list" ;;
-q) cat "$state/xml" ;;
*) echo "Invalid combination of input arguments."; exit 1 ;;
esac
status=0
{ read -r status <"$state/status"; } 2>/dev/null
exit "$status"
"""


def fake_smi(folder: Path) -> tuple[Path, Path]:
    """The folder for PATH and the state folder, both below `folder`; anybody may write to the latter."""
    commands, state = folder / "smi-bin", folder / "smi-state"
    for made in (commands, state):
        made.mkdir()
    for tool in TOOLS:
        where = shutil.which(tool)
        assert where is not None
        (commands / tool).symlink_to(where)
    script = commands / "nvidia-smi"
    script.write_text(_SCRIPT)
    script.chmod(0o755)
    state.chmod(0o777)
    (state / "calls").touch()
    (state / "calls").chmod(0o666)
    return commands, state


def fault(state: Path, word: str | None, words: str = "") -> None:
    """Let it `hang`, hang and not mind being asked to end (`stubborn`), or end with that status and those words."""
    (state / "words").write_text(words + "\n")
    (state / "fault").write_text(f"{word}\n" if word is not None else "")


def calls(state: Path) -> list[str]:
    """The arguments of each call until now."""
    return (state / "calls").read_text().splitlines()


def write_smi(
    state: Path,
    gpus: Sequence[FakeGpu],
    *,
    driver: str = "570.133.20",
    unheld: Sequence[str] = (),
    unknown: Sequence[str] = (),
    cells: Mapping[str, Mapping[str, str]] | None = None,
) -> None:
    """Write the state.

    Args:
        state: what GPUALLOC_FAKE_SMI names.
        gpus: by index.
        driver: version of the driver.
        unheld: lines about GPUs that cannot be opened.
        unknown: columns that this driver does not know.
        cells: by UUID other cells than those of the GPU.
    """
    shutil.rmtree(state / "gpus", ignore_errors=True)
    shutil.rmtree(state / "apps", ignore_errors=True)
    (state / "unheld").write_text("".join(f"{line}\n" for line in unheld))
    (state / "list").write_text("".join(map(_listed, gpus)))
    (state / "xml").write_text(_xml(gpus, driver))
    for gpu in gpus:
        told = {**_cells(gpu, driver), **(cells or {}).get(gpu.full_uuid, {})}
        _write_row(state / "gpus" / f"{gpu.index:04d}", {name: told[name] for name in told if name not in unknown})
        for pid, used, *_ in gpu.processes:
            row = {"gpu_uuid": gpu.full_uuid, "pid": str(pid), "used_memory": _cell(used)}
            _write_row(state / "apps" / f"{gpu.index:04d}-{pid}", row)


def _write_row(folder: Path, cells: Mapping[str, str]) -> None:
    folder.mkdir(parents=True)
    for name, cell in cells.items():
        (folder / name).write_text(cell + "\n")


def bus_of(gpu: FakeGpu) -> str:
    """Its PCI address as nvidia-smi writes it."""
    return f"00000000:{gpu.index + 0x3A:02X}:00.0"


def _cells(gpu: FakeGpu, driver: str) -> dict[str, str]:
    default_w, least_w, most_w = gpu.power_range_w or (None, None, None)
    pending = gpu.mig_enabled if gpu.mig_pending is None else gpu.mig_pending
    return {
        "uuid": gpu.full_uuid,
        "gpu_uuid": gpu.full_uuid,
        "index": str(gpu.index),
        "name": gpu.name,
        "pci.bus_id": bus_of(gpu),
        "driver_version": driver,
        "memory.total": _cell(gpu.memory_total_mib),
        "memory.used": _cell(gpu.memory_used_mib),
        "utilization.gpu": _cell(gpu.gpu_utilization_percent),
        "utilization.memory": _cell(gpu.memory_utilization_percent),
        "power.draw": _watts(gpu.power_w),
        "power.limit": _watts(gpu.power_limit_w),
        "temperature.gpu": _cell(gpu.temperature_c),
        "clocks.sm": _cell(gpu.sm_clock_mhz),
        "clocks.mem": "1215",
        "fan.speed": "[N/A]",
        "pstate": "P0",
        "temperature.memory": "31",
        "clocks_event_reasons.active": "0x0000000000000004",
        "clocks_throttle_reasons.active": "0x0000000000000004",
        "serial": "1320921012345",
        "vbios_version": "92.00.45.00.03",
        "inforom.img": "G506.0200.00.04",
        "compute_mode": _COMPUTE_MODES.get(gpu.compute_mode or 0, "[N/A]"),
        "persistence_mode": _enabled(gpu.persistence),
        "power.default_limit": _watts(default_w),
        "power.min_limit": _watts(least_w),
        "power.max_limit": _watts(most_w),
        "pcie.link.gen.current": "4",
        "pcie.link.width.current": "8",
        "pcie.link.gen.max": "4",
        "pcie.link.width.max": "16",
        "ecc.mode.current": "Enabled",
        "ecc.mode.pending": "Enabled",
        "ecc.errors.corrected.volatile.total": "0",
        "ecc.errors.uncorrected.volatile.total": "2",
        "ecc.errors.corrected.aggregate.total": "7",
        "ecc.errors.uncorrected.aggregate.total": "2",
        "mig.mode.current": _enabled(gpu.mig_enabled),
        "mig.mode.pending": _enabled(pending),
        "remapped_rows.correctable": "1",
        "remapped_rows.uncorrectable": "2",
        "remapped_rows.pending": "No",
        "remapped_rows.failure": "No",
    }


def _cell(value: int | None) -> str:
    return "[N/A]" if value is None else str(value)


def _watts(value: float | None) -> str:
    return "[N/A]" if value is None else f"{value:.2f}"


def _enabled(value: bool | None) -> str:
    return "[N/A]" if value is None else "Enabled" if value else "Disabled"


def _listed(gpu: FakeGpu) -> str:
    lines = [f"GPU {gpu.index}: {gpu.name} (UUID: {gpu.full_uuid})"]
    lines += [
        f"  MIG {_profile(gpu, each.profile):<16} Device  {number}: (UUID: {each.uuid})"
        for number, each in enumerate(gpu.mig_instances)
    ]
    return "".join(f"{line}\n" for line in lines)


def _profile(gpu: FakeGpu, profile: int) -> str:
    return next((each.name for each in gpu.mig_profiles if each.id == profile), "1g.5gb")


def _xml(gpus: Sequence[FakeGpu], driver: str) -> str:
    lines = [
        '<?xml version="1.0" ?>',
        '<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">',
        "<nvidia_smi_log>",
        f"<driver_version>{driver}</driver_version><attached_gpus>{len(gpus)}</attached_gpus>",
    ]
    for gpu in gpus:
        lines += [f'<gpu id="{bus_of(gpu)}">', f"<product_name>{escape(gpu.name)}</product_name>"]
        lines += [f"<uuid>{gpu.full_uuid}</uuid>", "<mig_devices>"]
        for number, each in enumerate(gpu.mig_instances):
            lines += [
                f"<mig_device><index>{number}</index><gpu_instance_id>{each.gi}</gpu_instance_id>",
                f"<compute_instance_id>{each.ci}</compute_instance_id><fb_memory_usage>",
                f"<total>{each.memory_total_mib} MiB</total><used>{each.memory_used_mib} MiB</used>",
                "</fb_memory_usage></mig_device>",
            ]
        lines += [
            "</mig_devices>",
            "<processes>",
            *(_process(*process) for process in gpu.processes),
            "</processes></gpu>",
        ]
    return "\n".join([*lines, "</nvidia_smi_log>", ""])


def _process(pid: int, used: int | None, gi: int | None = None) -> str:
    place = ("N/A", "N/A") if gi is None else (str(gi), "0")
    return (
        f"<process_info><gpu_instance_id>{place[0]}</gpu_instance_id><compute_instance_id>{place[1]}"
        f"</compute_instance_id><pid>{pid}</pid><type>C</type><process_name>python</process_name>"
        f"<used_memory>{'N/A' if used is None else f'{used} MiB'}</used_memory></process_info>"
    )
