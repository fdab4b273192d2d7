"""Which devices CUDA_VISIBLE_DEVICES can name together, by what the driver shows to one process."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from gpualloc.errors import InfeasibleError
from gpualloc.model.allocation import Grant, Share
from gpualloc.model.inventory import MigInstance

SEVERAL_MIG_BRANCH = 570
"""Driver branch from which a process can see several MIG instances."""


def check_visible(grants: Sequence[Grant], driver_version: str | None, instances: Iterable[MigInstance]) -> None:
    """Refuse grants that one process could not all see.

    Whole GPUs, and one MIG instance, are seen by every process. CUDA passes over what it does not show and says
    nothing, so the rest must be refused before a start.

    Args:
        grants: what one workload is given.
        driver_version: such as `570.86.15`; None is taken for an old one.
        instances: the MIG instances of the node as seen; two at one place are compute instances of one GPU instance.

    Raises:
        InfeasibleError: a MIG instance beside a whole GPU; several MIG instances with a driver below R570, on several
            GPUs, or of one GPU instance.
    """
    mig = [grant for grant in grants if grant.share is Share.MIG]
    if mig and len(mig) < len(grants):
        raise InfeasibleError("CUDA shows a process MIG instances or whole GPUs, not both together")
    if len(mig) <= 1:
        return
    branch = driver_branch(driver_version)
    if branch is None or branch < SEVERAL_MIG_BRANCH:
        version = "is not known" if driver_version is None else f"here is {driver_version}"
        raise InfeasibleError(
            f"a driver below R{SEVERAL_MIG_BRANCH} shows a process one MIG instance, and the driver {version}",
            hint="ask for one instance of a larger profile",
        )
    if len({grant.device for grant in mig}) > 1:
        raise InfeasibleError(
            "MIG instances of two GPUs cannot reach each other, so one process is given those of one GPU only",
            hint="ask for whole GPUs",
        )
    _check_compute_instances({grant.mig_instance for grant in mig}, instances)


def driver_branch(version: str | None) -> int | None:
    """The branch of a driver, 570 of `570.86.15`; None when the version is not known."""
    match = re.match(r"([0-9]{3,4})\.", version or "")
    return int(match[1]) if match else None


def _check_compute_instances(granted: set[str | None], instances: Iterable[MigInstance]) -> None:
    seen: dict[tuple[str, int], str] = {}
    for instance in instances:
        if instance.uuid not in granted or instance.start is None:
            continue
        other = seen.setdefault((instance.profile, instance.start), instance.uuid)
        if other != instance.uuid:
            raise InfeasibleError(
                f"{other} and {instance.uuid} belong to one GPU instance, of which CUDA shows a process only one"
            )
