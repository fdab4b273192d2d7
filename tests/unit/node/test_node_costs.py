"""What groups of readings cost, as counted."""

import pytest

from gpualloc.adapters.decode_readings import decode_cost
from gpualloc.node import costs
from gpualloc.node.costs import Costs


@pytest.fixture
def taking(monkeypatch):
    """Costs whose calls take as long as they are told to."""
    now = [0.0]

    class Clock:
        def perf_counter(self):
            return now[0]

    monkeypatch.setattr(costs, "time", Clock())
    counted = Costs()

    def take(group, seconds):
        with counted.measured(group):
            now[0] += seconds

    take.rows = counted.rows
    return take


def test_calls_mean_and_longest_of_each_group(taking):
    taking("host", 1.0)
    taking("claims", 0.5)
    taking("host", 3.0)
    host, claims = decode_cost({"groups": taking.rows()})
    assert (host.group, host.every_s, host.calls, host.mean_s, host.max_s) == ("host", None, 2, 2.0, 3.0)
    assert (claims.group, claims.calls, claims.max_s) == ("claims", 1, 0.5)


def test_what_fails_costs_too():
    counted = Costs()
    with pytest.raises(ValueError, match="told"), counted.measured("host"):
        raise ValueError("told")
    assert [row["calls"] for row in counted.rows()] == [1]


def test_what_was_never_read_has_no_cost():
    assert Costs().rows() == []
