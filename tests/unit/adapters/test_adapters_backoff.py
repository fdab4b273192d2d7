from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gpualloc.adapters.backoff import BackOff
from gpualloc.adapters.link import Failure
from gpualloc.model.inventory import NodeState

FAILURE = Failure(NodeState.FAILED, "broken")


def pause_of(back_off: BackOff, now_s: float) -> float:
    """How long the node is left alone from `now_s` on, to a hundredth."""
    step = 0
    while back_off.pending(now_s + step / 100) is not None:
        step += 1
    return step / 100


def test_a_node_that_never_failed_may_be_tried():
    assert BackOff().pending(0.0) is None


def test_pauses_double_up_to_the_ceiling_and_start_anew_after_an_answer():
    back_off = BackOff(first_s=0.5, ceiling_s=3.0)
    pauses = []
    for attempt in range(5):
        back_off.failed(FAILURE, 100.0 * attempt)
        pauses.append(pause_of(back_off, 100.0 * attempt))
    assert pauses == [0.5, 1.0, 2.0, 3.0, 3.0]
    back_off.succeeded()
    assert back_off.pending(400.0) is None
    back_off.failed(FAILURE, 500.0)
    assert back_off.pending(500.0) is None
    back_off.failed(FAILURE, 500.0)
    assert pause_of(back_off, 500.0) == 0.5


@given(st.lists(st.floats(0, 1000), max_size=50))
def test_a_pause_never_exceeds_the_ceiling(times):
    back_off = BackOff(first_s=0.5, ceiling_s=30.0)
    for now_s in sorted(times):
        back_off.failed(FAILURE, now_s)
        assert back_off.pending(now_s) == FAILURE
        assert back_off.pending(now_s + 30.0) is None
