"""Searches: they find what is to be found, and take the same course each time."""

import numpy as np
import pytest

from gpualloc.policies.evolved import AS_PACK, FEATURES, content_of_expressions, expressions_of
from gpualloc.policies.expression import expression_of, levels, parts, value_of
from gpualloc.policies.expression_search import ELITE, ExpressionSearch
from gpualloc.policies.pack import Pack
from gpualloc.policies.profile import Profile
from gpualloc.policies.weight_search import FIXED, Strategy, WeightSearch
from gpualloc.policies.weights import DEFAULT, weights_of

START = Profile("night", "pack", weights_of(DEFAULT))
ODD = Profile("odd", "evolved", expressions=content_of_expressions(AS_PACK))


def best_of(size, seed, target, generations):
    """The best value that the strategy finds of an ellipsoid around the target."""
    strategy, best = Strategy(size, 0.3, seed), np.inf
    stretch = 10.0 ** (2 * np.arange(size) / size)
    for _ in range(generations):
        scores = [float((stretch * (vector - target) ** 2).sum()) for vector in strategy.ask()]
        strategy.tell(scores)
        best = min(best, *scores)
    return best


@pytest.mark.parametrize("seed", range(5))
def test_the_strategy_finds_the_optimum_of_an_ellipsoid(seed):
    target = np.array([1.0, -2.0, 0.5, 3.0, 0.0])
    far = best_of(5, seed, target, 1)
    assert best_of(5, seed, target, 150) < 1e-8 < far


def test_the_strategy_works_in_one_dimension():
    assert best_of(1, 3, np.array([2.0]), 60) < 1e-6


def test_the_strategy_stands_scores_without_difference():
    strategy = Strategy(3, 0.3, 1)
    for _ in range(200):
        strategy.tell([0.0] * len(strategy.ask()))
    assert np.isfinite(strategy.ask()).all()


def course(search, generations=4):
    """What a search proposes when scores are made up."""
    asked = []
    for _ in range(generations):
        generation = search.ask()
        asked.append([profile.content for profile in generation])
        search.tell([float(len(profile.content) % 7) for profile in generation])
    return asked


@pytest.mark.parametrize(("kind", "start"), [(WeightSearch, START), (ExpressionSearch, ODD)])
def test_a_search_takes_the_same_course_by_the_same_seed(kind, start):
    assert course(kind(start, 5)) == course(kind(start, 5)) != course(kind(start, 6))


def test_weights_that_mean_nothing_stay_and_the_others_move():
    for profile in WeightSearch(START, 1).ask():
        moved = {name for name, value in profile.weights.items() if value != START.weights[name]}
        assert moved == set(START.weights) - FIXED


def test_pack_can_decide_by_whatever_is_proposed():
    search = WeightSearch(START, 2)
    for _ in range(60):
        asked = search.ask()
        for profile in asked:
            Pack().with_profile(profile)
        # Always further away, so that steps grow.
        search.tell([-abs(profile.weights["gpu.regret"]) for profile in asked])


def test_expressions_get_near_what_is_asked_of_them():
    draws = np.random.Generator(np.random.PCG64(1)).normal(size=(len(FEATURES), 40))
    features = dict(zip(FEATURES, draws, strict=True))
    wanted = value_of(expression_of(["+", "idle", ["*", 2, "device"]], FEATURES, "wanted"), features)

    def error(profile):
        return float(np.abs(value_of(expressions_of(profile).gpu, features) - wanted).mean())

    search = ExpressionSearch(ODD, 7, population=40)
    best = [error(ODD)]
    for _ in range(40):
        asked = search.ask()
        scores = [error(profile) for profile in asked]
        search.tell(scores)
        best.append(min(scores, default=best[-1]))
    assert min(best) < best[0] / 10


def test_expressions_stay_small_and_new():
    search = ExpressionSearch(ODD, 3)
    seen = set()
    for generation in range(15):
        asked = search.ask()
        assert 0 < len(asked) <= 24 - (ELITE if generation else 0)
        for profile in asked:
            found = expressions_of(profile)
            assert max(len(parts(found.gpu)), len(parts(found.cpu))) <= 60
            assert max(levels(found.gpu), levels(found.cpu)) <= 12
        assert len({profile.content for profile in asked}) == len(asked)
        seen |= {profile.content for profile in asked}
        search.tell([-float(len(profile.content)) for profile in asked])
    assert len(seen) > 100


def test_the_first_generation_begins_with_what_there_is():
    assert ExpressionSearch(ODD, 1).ask()[0].expressions == ODD.expressions
