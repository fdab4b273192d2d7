"""What people see, whole, at two widths. A changed text is a changed file in `golden/`, to be looked at."""

from pathlib import Path

import pytest
from fakes import sample_world as world

from gpualloc.policies.free import FreeRoom
from gpualloc.views.audit import audit_text
from gpualloc.views.free import free_text
from gpualloc.views.history import history_text
from gpualloc.views.look import Look
from gpualloc.views.nodes import nodes_text
from gpualloc.views.plan import plan_text
from gpualloc.views.status import Standing, status_text
from gpualloc.views.text import cells
from gpualloc.views.why import Account, explanations_text, why_text
from gpualloc.views.workloads import workload_text, workloads_text

GOLDEN = Path(__file__).parent / "golden"
NAMES = {workload.id: workload.name for workload in world.WORKLOADS}
RISING = [None if 40 <= i < 60 else i / 100 for i in range(100)]
STANDING = Standing(
    workloads={"pending": 1, "running": 2},
    starter="nobody",
    last_rebalance_at_s=world.NOW_S - 10_800,
    last_rebalance_s=10_800.0,
    last_rebalance="3 steps done, 0 failed, 1 waiting",
    open_runs=(("r00000001", "ann", world.NOW_S),),
    held_by="apply, pid 4711 of ann since 06:00:00",
    policy="best-fit",
    simulated=True,
)
ROOM = FreeRoom(
    13, (("NVIDIA H100", 13),), ("gpu01", 4), 81_000, (("1g.10gb", 2),), ("gpu01", 60.0), ("gpu01", 500_000)
)


def account(workload, **said):
    return Account(workload, world.NOW_S, simulated=True, policy="best-fit 1", names=NAMES, **said)


STARTER = "nobody will start it by itself (rebalance never ran); `gpualloc apply` or `gpualloc rebalance` does"
TEXTS = {
    "nodes": lambda look: nodes_text(world.SNAPSHOT, world.WORKLOADS, look),
    "ps": lambda look: workloads_text(world.WORKLOADS, world.NOW_S, look, simulated=True),
    "show": lambda _: workload_text(world.WORKLOADS[0], world.NOW_S, simulated=False),
    "ps-gang": lambda look: workloads_text((world.GANG,), world.NOW_S, look, simulated=False),
    "show-gang": lambda _: workload_text(world.GANG, world.NOW_S, simulated=False),
    "plan-gang": lambda look: plan_text(world.GANG_PLAN, {world.GANG.id: world.GANG.name}, look),
    "plan": lambda look: plan_text(world.PLAN, NAMES, look),
    "plan-empty": lambda look: plan_text(world.EMPTY_PLAN, {}, look),
    "history": lambda look: history_text(world.METRIC, [world.series(RISING)], look, simulated=True),
    "history-many": lambda look: history_text(
        world.METRIC, [world.series(RISING, key=f"GPU-{i}") for i in range(12)], look, simulated=False
    ),
    "audit": lambda look: audit_text(world.AUDIT, look, simulated=False),
    "status": lambda look: status_text(STANDING, look),
    "why": lambda look: why_text(account(world.WORKLOADS[2], explanation=world.WAITS), look),
    "why-fits": lambda look: why_text(
        account(world.WORKLOADS[2], explanation=world.FITS, snapshot=world.SNAPSHOT, starter=STARTER), look
    ),
    "why-doubtful": lambda look: why_text(account(world.WORKLOADS[2]), look),
    "why-runs": lambda look: why_text(account(world.WORKLOADS[0], placed=world.PLACED), look),
    "why-ended": lambda look: why_text(account(world.WORKLOADS[3]), look),
    "plan-explain": lambda look: explanations_text(
        (world.WAITS, world.FITS), world.SNAPSHOT, "best-fit 1", NAMES, look
    ),
    "free": lambda _: free_text(ROOM, simulated=True),
}
FREE_TEXT = {
    "show",
    "show-gang",
    "plan",
    "plan-gang",
    "plan-empty",
    "status",
    "free",
    "why",
    "why-fits",
    "why-doubtful",
    "why-runs",
    "plan-explain",
}
"""Lines of these may be longer than the terminal: nothing in them is cut."""


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize("name", TEXTS)
def test_text_is_as_it_was_looked_at(name, width):
    assert TEXTS[name](Look(width)) + "\n" == (GOLDEN / f"{name}-{width}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [80, 100, 160])
@pytest.mark.parametrize("name", sorted(set(TEXTS) - FREE_TEXT))
def test_tables_and_charts_fit_the_width(name, width):
    assert max(cells(line) for line in TEXTS[name](Look(width)).splitlines()) <= width


@pytest.mark.parametrize("name", TEXTS)
def test_nothing_shown_steers_the_terminal(name):
    text = TEXTS[name](Look(120))
    assert all(char.isprintable() or char == "\n" for char in text)


@pytest.mark.parametrize("name", TEXTS)
def test_no_secret_is_shown(name):
    assert world.SECRET not in TEXTS[name](Look(160))


@pytest.mark.parametrize("name", TEXTS)
def test_colour_changes_no_word(name):
    import re

    coloured = TEXTS[name](Look(120, colour=True))
    assert re.sub(r"\x1b\[\d+m", "", coloured) == TEXTS[name](Look(120))
