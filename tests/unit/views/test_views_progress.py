"""How far work is, in words: what a job says is shown as it said it, and harmless."""

import pytest
from fakes import sample_world as world

from gpualloc.model.progress import Progress
from gpualloc.model.workload import WorkloadState
from gpualloc.views.look import Look
from gpualloc.views.progress import progress_brief, progress_data, progress_text
from gpualloc.views.workloads import workload_in_full, workload_text, workloads_data, workloads_text

HALF = Progress(50.0, 100.0, 2.34567, "train", 4.0, tuple((40.0 - at * 4, float(40 + at)) for at in range(10)))
HOSTILE = Progress(None, None, None, "\x1b[2J\u202egnp", 1.0)


@pytest.mark.parametrize(
    ("progress", "brief", "text"),
    [
        (HALF, "50 %, 3m16s left", "step 50 of 100 (50 %), 3m16s left, phase train, loss 2.346, as it said 4s ago"),
        (Progress(7.0, None, None, None, 0.0), "step 7", "step 7, as it said 0s ago"),
        (Progress(7.0, 8.0, None, None, 9.0), "88 %", "step 7 of 8 (88 %), as it said 9s ago"),
        (HOSTILE, "\\x1b[2J\\u202egnp", "phase \\x1b[2J\\u202egnp, as it said 1s ago"),
    ],
)
def test_progress_in_words(progress, brief, text):
    assert progress_brief(progress) == brief
    assert progress_text(progress) == text


def test_progress_as_data():
    assert progress_data(HALF) == {
        "step": 50.0, "of": 100.0, "ratio": 0.5, "loss": 2.34567, "phase": "train", "age_s": 4.0, "eta_s": 196.0,
    }  # fmt: skip


def test_the_list_has_its_column_only_when_somebody_tells():
    running = next(one for one in world.WORKLOADS if one.state is WorkloadState.RUNNING)
    told = {running.id: HALF}
    shown = workloads_text(world.WORKLOADS, world.NOW_S, Look(width=160), told, simulated=True)
    assert "progress" in shown.splitlines()[1]
    assert "50 %, 3m16s left" in next(line for line in shown.splitlines() if running.id in line)
    assert "progress" not in workloads_text(world.WORKLOADS, world.NOW_S, Look(width=160), {}, simulated=True)
    assert all(
        len(line) <= 80 for line in workloads_text((running,), world.NOW_S, Look(), told, simulated=True).split()
    )


def test_json_tells_it_or_null():
    running, other = world.WORKLOADS[0], world.WORKLOADS[1]
    rows = workloads_data((running, other), None, {running.id: HALF}, simulated=False)["workloads"]
    assert [row["progress"] and row["progress"]["step"] for row in rows] == [50.0, None]
    assert workload_in_full(running, progress=HALF, simulated=False)["progress"]["ratio"] == 0.5
    assert "step 50 of 100" in workload_text(running, world.NOW_S, progress=HALF, simulated=False)
