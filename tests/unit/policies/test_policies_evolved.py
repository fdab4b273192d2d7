"""The policy that decides by expressions, against pack and over every feature."""

import numpy as np
import pytest

from gpualloc.model.allocation import Allocation
from gpualloc.model.decision import Expected, Problem
from gpualloc.model.shapes import Shape
from gpualloc.policies.demand import demand_of
from gpualloc.policies.evolved import FEATURES, Evolved, ExpressionScorer, expressions_of
from gpualloc.policies.options import Options
from gpualloc.policies.pack import Pack
from gpualloc.policies.profile import Profile
from gpualloc.sim.traces.cluster import models_of, requests_of, snapshot_of, workload_of
from gpualloc.sim.traces.trace import TraceNode

NODES = (
    TraceNode("a", 96_000, 1 << 19, 8, "A100"),
    TraceNode("b", 64_000, 1 << 19, 8, "A100"),
    TraceNode("c", 32_000, 1 << 18, 4, "T4"),
    TraceNode("d", 16_000, 1 << 18, 2, "T4"),
    TraceNode("e", 64_000, 1 << 18, 0, ""),
)
SHAPES = (
    Shape(4000, 0, 1, 300),
    Shape(2000, 0, 1, 500, ("T4",)),
    Shape(8000, 1 << 14, 1, 1000),
    Shape(16_000, 0, 4, 1000, ("A100",)),
    Shape(3000, 0, 0, 0),
    Shape(2000, 0, 2, 400),
)
REQUESTS = requests_of(SHAPES, models_of(NODES))
EXPECTED = tuple(Expected(request, float(number + 1)) for number, request in enumerate(REQUESTS))
ORDER = [int(draw * len(REQUESTS)) for draw in np.random.Generator(np.random.PCG64(3)).random(60)]


def places(policy):
    session = policy.begin(Problem(snapshot_of(NODES), (), expected=EXPECTED, explain=False))
    found = [session.place(workload_of(number, "t", REQUESTS[kind])) for number, kind in enumerate(ORDER)]
    return [(one.node, one.grants) if isinstance(one, Allocation) else None for one in found]


def by(gpu, cpu=0.0):
    return Evolved().with_profile(Profile("x", "evolved", expressions={"gpu": gpu, "cpu": cpu}))


def test_without_a_profile_it_decides_as_pack_does():
    assert places(Evolved()) == places(Pack())
    assert sum(place is None for place in places(Pack())) > 5


@pytest.mark.parametrize("feature", FEATURES)
def test_every_feature_can_decide(feature):
    assert len(places(by(feature, feature))) == len(ORDER)
    assert places(by(feature, feature)) == places(by(feature, feature))


def test_expressions_decide():
    assert places(by("opens")) != places(by(["*", -1, "opens"]))
    assert places(by("whole", "cores")) != places(by("whole", ["-", 0, "cores"]))


def values(feature, kind, taken=()):
    """What the feature says of each option of a request on the board after others were placed."""
    problem = Problem(snapshot_of(NODES), (), expected=EXPECTED, explain=False)
    profile = Profile("x", "evolved", expressions={"gpu": feature, "cpu": feature})
    session = Evolved().begin(problem)
    for number, other in enumerate(taken):
        session.place(workload_of(number, "t", REQUESTS[other]))
    scorer = ExpressionScorer(session.board, demand_of(problem), expressions_of(profile))
    rows = np.arange(session.board.nodes)
    ask = session.ask(REQUESTS[kind])
    usable = ask.usable(session.board, rows)
    fits = ask.fits(session.board, rows, usable)
    options = Options(session.board, ask, rows[fits], usable[fits])
    return [(session.board.names[row], value) for row, value in zip(options.rows, scorer(options), strict=True)]


@pytest.mark.parametrize(
    ("feature", "kind", "wanted"),
    [
        ("whole", 2, {"a": 7 / 8, "b": 7 / 8, "c": 3 / 8, "d": 1 / 8}),
        ("whole", 4, {"a": 1.0, "b": 1.0, "c": 4 / 8, "d": 2 / 8, "e": 0.0}),
        ("idle", 0, {"a": 7.7 / 8, "b": 7.7 / 8, "c": 3.7 / 8, "d": 1.7 / 8}),
        ("device", 0, {"a": 0.7, "b": 0.7, "c": 0.7, "d": 0.7}),
        ("device", 3, {"a": 0.0, "b": 0.0}),
        ("opens", 3, {"a": 1.0, "b": 1.0}),
        ("opens", 4, {"a": 0.0, "b": 0.0, "c": 0.0, "d": 0.0, "e": 0.0}),
        ("gpus", 3, {"a": 4.0, "b": 4.0}),
        ("gpus", 1, {"c": 0.5, "d": 0.5}),
        ("regret", 3, {"a": 0.0, "b": 0.0}),
        ("assort", 4, {"a": 0.0, "b": 0.0, "c": 0.0, "d": 0.0, "e": 0.0}),
    ],
)
def test_what_features_are(feature, kind, wanted):
    assert dict(values(feature, kind)) == pytest.approx(wanted)


def test_a_device_in_use_is_not_opened_again():
    found = values("opens", 0, taken=(0,))
    assert sorted(value for _, value in found) == [0.0, 1.0, 1.0, 1.0, 1.0]
