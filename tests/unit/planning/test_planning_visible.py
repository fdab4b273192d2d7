"""What one process can see together."""

from __future__ import annotations

import pytest

from gpualloc.errors import InfeasibleError
from gpualloc.model.allocation import Grant, Share
from gpualloc.model.inventory import MigInstance
from gpualloc.model.visible import check_visible, driver_branch

NEW, OLD = "570.86.15", "565.57.01"


def mig(uuid: str, device: str = "GPU-1") -> Grant:
    return Grant(device, Share.MIG, mig_instance=uuid)


def instance(uuid: str, start: int | None) -> MigInstance:
    return MigInstance(uuid, "1g.10gb", start, 1, 9984)


WHOLE = Grant("GPU-2", Share.EXCLUSIVE)
SLICE = Grant("GPU-3", Share.TIME_SLICE, fraction=0.5)
SEEN = [instance("MIG-a", 0), instance("MIG-b", 1), instance("MIG-c", None), instance("MIG-d", None)]


@pytest.mark.parametrize("driver", [OLD, None])
@pytest.mark.parametrize("grants", [[], [WHOLE], [WHOLE, SLICE], [mig("MIG-a")]])
def test_whole_gpus_and_one_instance_are_seen_with_every_driver(grants: list[Grant], driver: str | None) -> None:
    check_visible(grants, driver, SEEN)


@pytest.mark.parametrize("driver", [NEW, "570.1", "1000.00.01"])
@pytest.mark.parametrize("grants", [[mig("MIG-a"), mig("MIG-b")], [mig("MIG-c"), mig("MIG-a"), mig("MIG-d")]])
def test_several_instances_of_one_gpu_are_seen_from_r570(grants: list[Grant], driver: str) -> None:
    check_visible(grants, driver, SEEN)


@pytest.mark.parametrize(
    ("grants", "driver", "message"),
    [
        (
            [mig("MIG-a"), mig("MIG-b")],
            OLD,
            "a driver below R570 shows a process one MIG instance, and the driver here is 565.57.01",
        ),
        (
            [mig("MIG-a"), mig("MIG-b")],
            None,
            "a driver below R570 shows a process one MIG instance, and the driver is not known",
        ),
        ([mig("MIG-a"), WHOLE], NEW, "CUDA shows a process MIG instances or whole GPUs, not both together"),
        ([SLICE, mig("MIG-a")], NEW, "CUDA shows a process MIG instances or whole GPUs, not both together"),
        (
            [mig("MIG-a"), mig("MIG-b", "GPU-2")],
            NEW,
            "MIG instances of two GPUs cannot reach each other, so one process is given those of one GPU only",
        ),
    ],
)
def test_what_one_process_could_not_see_is_refused(grants: list[Grant], driver: str | None, message: str) -> None:
    with pytest.raises(InfeasibleError) as raised:
        check_visible(grants, driver, SEEN)
    assert raised.value.message == message


def test_of_one_gpu_instance_only_one_compute_instance_is_seen() -> None:
    seen = [instance("MIG-a", 0), instance("MIG-b", 0), instance("MIG-c", 0)]
    check_visible([mig("MIG-a")], NEW, seen)
    with pytest.raises(InfeasibleError, match="MIG-a and MIG-c belong to one GPU instance"):
        check_visible([mig("MIG-c"), mig("MIG-a")], NEW, seen)


@pytest.mark.parametrize(
    ("version", "branch"),
    [("570.86.15", 570), ("1000.1", 1000), (None, None), ("", None), ("570", None), ("R570.1", None), ("57.1", None)],
)
def test_the_branch_is_the_first_number(version: str | None, branch: int | None) -> None:
    assert driver_branch(version) == branch
