"""Searches over real runs on a tiny cluster: what they find, that they repeat, and when they end."""

import pytest
from msgspec.structs import replace

from gpualloc.adapters.workers import Workers
from gpualloc.engine.measure import Figures, Measure, Run, check_load
from gpualloc.engine.tune import Bounds, Tuning, standing
from gpualloc.errors import BrokenInputError, UsageError
from gpualloc.model.shapes import Shape
from gpualloc.policies.expression_search import ExpressionSearch
from gpualloc.policies.profile import Profile
from gpualloc.policies.weight_search import WeightSearch
from gpualloc.policies.weights import DEFAULT, weights_of
from gpualloc.sim.traces.trace import TraceNode, TraceTask, gather

NODES = tuple(TraceNode(f"n{number}", 64_000, 1 << 20, 4, "A100") for number in range(2))
SHAPES = (*[Shape(1000, 0, 1, 500)] * 8, Shape(1000, 0, 4, 1000))
TASKS = gather((TraceTask(row, f"t{row}", shape) for row, shape in enumerate(SHAPES)), "tasks")
MEASURE = Measure(NODES, (TASKS,), 1.3)
BOUNDS = Bounds("fgd", 1, (0, 1), (100, 101), budget=60, patience=4)

NOTHING = {name: 0.0 for name in weights_of(DEFAULT) if name.startswith(("gpu.", "cpu."))}
SPOILT = Profile("spoilt", "pack", {**weights_of(DEFAULT), **NOTHING, "gpu.cores": 0.05})
"""Takes turns among the nodes, so that gangs find none empty."""


def search(bounds=BOUNDS, jobs=1, start=SPOILT, kind=WeightSearch):
    told = []
    with Workers(MEASURE, jobs) as workers:
        tuning = Tuning(kind(start, 1), bounds, workers)
        return tuning.tuned(tuning.run(told.append, lambda: False)), told


@pytest.fixture(scope="module")
def found():
    return search()


def test_a_spoilt_policy_gets_better_on_orders_it_was_not_trained_on(found):
    tuned, _ = found
    assert tuned.better
    assert tuned.after.training.score < tuned.before.training.score
    assert tuned.after.validation.score < tuned.before.validation.score - 1
    assert tuned.reference.training.score == tuned.reference.validation.score == 0
    assert set(tuned.profile.weights) == set(SPOILT.weights)


def test_it_is_the_same_each_time_and_with_more_processes(found):
    assert search() == found
    assert search(jobs=2) == found


def test_progress_is_told(found):
    tuned, told = found
    assert [one.candidates for one in told] == sorted(one.candidates for one in told)
    assert (told[0].candidates, told[0].best, told[-1].candidates) == (0, None, tuned.candidates)
    best = [one.best for one in told if one.best is not None]
    assert best == sorted(best, reverse=True)
    assert best[-1] == tuned.after.validation.score


def test_expressions_are_searched_on_the_same_terms():
    flat = Profile("flat", "evolved", expressions={"gpu": ["*", 100, "cores"], "cpu": 0.0})
    bounds = replace(BOUNDS, budget=60)
    tuned, _ = search(bounds, start=flat, kind=ExpressionSearch)
    assert tuned.better
    assert search(bounds, start=flat, kind=ExpressionSearch)[0] == tuned


class Idle:
    """A search that proposes the same again and again, or nothing."""

    start = SPOILT

    def __init__(self, asked):
        self.asked = asked

    def ask(self):
        return self.asked

    def tell(self, scores):
        assert len(scores) == len(self.asked)


def runs_of(measure):
    made = []

    def spread(runs):
        made.extend(runs)
        # In another order than asked for.
        yield from reversed([(place, measure(run)) for place, run in enumerate(runs)])

    return made, spread


@pytest.mark.parametrize(
    ("asked", "late", "budget", "ended", "generations"),
    [
        ((SPOILT,), False, 60, "patience", 5),
        ((SPOILT, SPOILT), False, 4, "budget", 2),
        ((SPOILT,), True, 60, "time", 0),
        ((), False, 60, "exhausted", 0),
    ],
)
def test_why_it_ends(asked, late, budget, ended, generations):
    made, spread = runs_of(MEASURE)
    tuning = Tuning(Idle(asked), replace(BOUNDS, budget=budget), spread)
    tuned = tuning.tuned(tuning.run(lambda _: None, lambda: late))
    assert (tuned.ended, tuned.generations, tuned.candidates) == (ended, generations, generations * len(asked))
    assert not tuned.better
    # The reference and what there was before; the same profile is not measured again.
    assert len(made) == 8


def test_an_interrupted_search_tells_what_it_found():
    def interrupt(progress):
        if progress.candidates:
            raise KeyboardInterrupt

    tuning = Tuning(WeightSearch(SPOILT, 1), BOUNDS, runs_of(MEASURE)[1])
    with pytest.raises(KeyboardInterrupt):
        tuning.run(interrupt, lambda: False)
    tuned = tuning.tuned("interrupted")
    assert (tuned.generations, tuned.ended) == (1, "interrupted")
    assert tuned.profile is not None


def test_starving_gangs_and_cpu_only_tasks_costs_more_than_it_brings():
    usual = Figures({"95": 5.0, "100": 6.0}, failed_gangs_pct=10.0, failed_cpu_only_pct=0.0)
    greedy = Figures({"95": 3.0, "100": 4.0}, failed_gangs_pct=13.0, failed_cpu_only_pct=1.0)
    kind = Figures({"95": 5.0, "100": 6.0}, failed_gangs_pct=2.0, failed_cpu_only_pct=0.0)
    assert standing([greedy], [usual]).score == pytest.approx(-2 + 3 + 1)
    assert standing([kind], [usual]).score == 0
    mean = standing([greedy, usual], [usual, usual])
    assert (mean.score, mean.unallocated_pct, mean.failed_gangs_pct) == (1.0, {"95": 4.0, "100": 5.0}, 11.5)


def test_a_load_that_only_some_orders_reach_is_the_mean_of_those():
    far, near = Figures({"95": 1.0, "130": 9.0}, 0.0, 0.0), Figures({"95": 3.0}, 0.0, 0.0)
    assert standing([near, far], [near, far]).unallocated_pct == {"95": 2.0, "130": 9.0}


def test_the_figures_of_a_run():
    figures = MEASURE(Run(None, "fgd", 0, 3))
    assert set(figures.unallocated_pct) <= {"95", "100", "130"}
    assert {"95", "100"} <= set(figures.unallocated_pct)
    assert figures == MEASURE(Run(None, "fgd", 0, 3))
    assert MEASURE.order(0, 3).tolist() != MEASURE.order(0, 4).tolist()


def test_a_load_too_small_to_measure_is_refused():
    assert check_load(0.95) == 0.95
    with pytest.raises(UsageError, match="ends before 95%"):
        check_load(0.9)
    whole = gather([TraceTask(0, "t", Shape(0, 0, 4, 1000))], "tasks")
    with pytest.raises(BrokenInputError, match="tasks: the arrivals end before a load of 95%"):
        Measure((*NODES[:1], TraceNode("m", 1000, 1, 1, "A")), (whole,), 0.96)(Run(None, "fgd", 0, 1))
