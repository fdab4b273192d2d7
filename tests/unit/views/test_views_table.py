"""Tables that are too wide: what may be cut, and what goes below its row instead."""

from gpualloc.views.look import Look
from gpualloc.views.table import Column, table

COLUMNS = (Column("id"), Column("name", least=4), Column("why", least=4, below=True))
ROWS = [["w1", "train", "no node has room for it"], ["w2", "serve", ""]]


def test_a_last_column_that_fits_stays_beside_the_others():
    assert table(COLUMNS, ROWS, Look(40)).splitlines()[1] == "w1  train  no node has room for it"


def test_a_last_column_that_does_not_fit_goes_below_whole_and_with_its_title():
    assert table(COLUMNS, ROWS, Look(20)).splitlines() == [
        "id  name",
        "w1  train",
        "  why: no node has",
        "  room for it",
        "w2  serve",
    ]


def test_long_names_send_nothing_below():
    rows = [["w1", "x" * 60, "no room"]]
    assert table(COLUMNS, rows, Look(40)).splitlines()[1].endswith("…  no room")
