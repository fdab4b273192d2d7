"""What a change of MIG mode needs on each generation."""

from __future__ import annotations

import pytest
from fakes import mig_tables

from gpualloc.errors import InfeasibleError
from gpualloc.planning.mig_mode import ModeChange, mode_change
from gpualloc.sim.catalog import find, mig_table


@pytest.mark.parametrize("key", mig_tables.KEYS)
def test_every_known_model_follows_its_generation(key: str) -> None:
    table = mig_table(find(key))
    change = mode_change(find(key).architecture, enabled=False, pending=False, wanted=True)
    assert change is not None
    assert (change.needs_reset, change.survives_reboot) == (table.mode_needs_reset, table.mode_survives_reboot)


@pytest.mark.parametrize("architecture", [None, "", "Rubin"])
def test_of_an_unknown_generation_the_worse_is_taken(architecture: str | None) -> None:
    assert mode_change(architecture, enabled=True, pending=True, wanted=False) == ModeChange(
        enable=False, takes_back=False, needs_reset=True, survives_reboot=False
    )


@pytest.mark.parametrize(
    ("enabled", "pending", "wanted", "needs"),
    [
        (True, True, True, None),
        (False, False, False, None),
        (None, None, False, None),
        (False, None, False, None),
        (False, False, True, "a GPU that nothing holds open"),
        (False, True, True, "a GPU that nothing holds open"),
        (True, False, True, "nothing: the mode in force is right"),
        (False, True, False, "nothing: the mode in force is right"),
    ],
)
def test_what_is_pending_is_not_what_is_in_force(
    enabled: bool | None, pending: bool | None, wanted: bool, needs: str | None
) -> None:
    change = mode_change("Ampere", enabled, pending, wanted)
    assert (change is None) == (needs is None)
    assert change is None or change.needs.startswith(needs or "")


def test_without_a_reset_an_idle_gpu_will_do() -> None:
    change = mode_change("Hopper", enabled=True, pending=True, wanted=False)
    assert change is not None
    assert change.needs == "an idle GPU: no work and no MIG instance"


def test_a_gpu_without_mig_mode_cannot_be_brought_into_it() -> None:
    with pytest.raises(InfeasibleError, match="no MIG mode"):
        mode_change("Turing", enabled=None, pending=None, wanted=True)
