"""Demand files: what is read, what is refused and where, and the referee."""

import numpy as np
import pytest

from gpualloc.errors import BrokenInputError
from gpualloc.sim.traces.demand import read_demand
from gpualloc.sim.traces.demand_referee import check_plan

HEADER = "time_s,item,compute_ratio,memory_gib\n"


def read(*rows):
    return read_demand(iter([HEADER, *(row + "\n" for row in rows)]), "d.csv")


def test_items_are_there_at_the_times_of_their_rows():
    demand = read("600,b,0.5,20", "0,a,0.25,10", "300,a,1e-1,12", "0,b,.5,20", "900,a,0,10")
    assert demand.items == ("a", "b")
    assert demand.times_s.tolist() == [0, 300, 600, 900]
    assert demand.lasts_s.tolist() == [300, 300, 300, 300]
    assert demand.alive.tolist() == [[True, True, False, True], [True, False, True, False]]
    assert demand.compute[0, [0, 1, 3]].tolist() == [0.25, 0.1, 0]
    assert np.isnan(demand.compute[0, 2])
    assert demand.memory[1, [0, 2]].tolist() == [20, 20]
    assert demand.messages == ()


def test_times_may_lie_at_uneven_distances():
    demand = read("0,a,0.1,1", "60,a,0.1,1", "3600,a,0.1,1", "3660,a,0.1,1")
    assert demand.lasts_s.tolist() == [60, 3540, 60, 60]


def test_one_time_has_no_length():
    assert np.isnan(read("5,a,0.1,1").lasts_s).all()


def test_items_with_times_of_their_own_are_put_into_common_intervals():
    rows = [f"{300 * step + 17 * item},i{item},{0.1 * item + 0.01 * step},4" for item in range(4) for step in range(5)]
    demand = read(*rows)
    assert demand.times_s.tolist() == [0, 300, 600, 900, 1200]
    assert demand.alive.all()
    assert demand.compute[3].tolist() == pytest.approx([0.3, 0.31, 0.32, 0.33, 0.34])
    assert "of their own" in demand.messages[0]
    assert "300 s" in demand.messages[0]


def test_items_that_are_there_in_turns_are_not_put_together():
    demand = read("0,a,0.1,4", "600,a,0.1,4", "300,b,0.1,4", "900,b,0.1,4")
    assert demand.times_s.tolist() == [0, 300, 600, 900]
    assert demand.alive.sum(axis=0).tolist() == [1, 1, 1, 1]


def test_an_empty_cell_is_unknown_and_no_zero():
    demand = read("0,a,,10", "300,a,0.5,")
    assert np.isnan(demand.compute[0, 0])
    assert np.isnan(demand.memory[0, 1])
    assert demand.messages == ("d.csv: 2 rows have an empty cell, which counts as the item's highest",)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (["0,a,0.1,10", "0,a,0.2,10"], r'd.csv, row 1 \(line 3\): "a" has a row for time_s 0 already'),
        (["0,a,-1,10"], r'row 0 \(line 2\): compute_ratio is "-1", not a number from 0'),
        (["0,a,nan,10"], r'compute_ratio is "nan"'),
        (["0,a,0.1,10", "", "1,a,0.1,ten"], r'row 1 \(line 4\): memory_gib is "ten"'),
        (["yesterday,a,0.1,10"], r'time_s is "yesterday"'),
        (["0,,0.1,10"], r'item is ""'),
        (["0,a,0.1"], "3 cells, and the header names 4 columns"),
        (["0,a,,10", "1,a,,10"], 'no row of "a" has a compute_ratio'),
        ([], "no rows"),
    ],
)
def test_what_is_wrong_is_refused_with_its_line(rows, told):
    with pytest.raises(BrokenInputError, match=told):
        read(*rows)


def test_a_missing_column_is_named():
    with pytest.raises(BrokenInputError, match="there is no column memory_gib"):
        read_demand(iter(["time_s,item,compute_ratio\n", "0,a,1\n"]), "d.csv")


def test_json_lines_say_the_same():
    line = '{"time_s": 0, "item": "a", "compute_ratio": 0.5, "memory_gib": 8}\n'
    assert read_demand(iter([line]), "d.jsonl").compute.tolist() == [[0.5]]


TWO = ("0,a,0.6,30", "0,b,0.6,30", "3600,a,0.3,50", "3600,b,0.3,20")


def test_the_referee_counts_gpus_hours_moves_and_overload():
    verdict = check_plan(read(*TWO), np.array([[0, 0], [1, 0]]), 80)
    assert verdict.on.tolist() == [2, 1]
    assert (verdict.needed, verdict.gpu_hours, verdict.moves) == (2, 3, 1)
    assert (verdict.overload_ratio, verdict.violations) == (0, ())
    together = check_plan(read(*TWO), np.array([[0, 0], [0, 0]]), 80)
    assert together.overload_ratio == pytest.approx(0.2 / 1.8)
    assert together.overload_time_ratio == pytest.approx(0.5)


def test_the_referee_holds_memory_at_its_peak_and_misses_nobody():
    verdict = check_plan(read(*TWO), np.array([[0, 0], [0, -1]]), 79)
    assert verdict.violations == ("GPU 0 has 80 GiB on it at 0 s", "b has no GPU at 3600 s")
