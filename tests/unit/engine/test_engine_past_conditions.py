"""What was wrong at a moment, out of events: begun, worse and over; what only happened is no condition."""

import pytest
from msgspec.structs import replace

from gpualloc.engine.past_conditions import PastConditions
from gpualloc.model.health import Condition, Event, Severity, Trouble

BEGUN = Event(100.0, Trouble.ECC_ERRORS, Severity.WARNING, "n1", "GPU-1", "two errors", "swap it", "a")
WORSE = replace(BEGUN, at_s=150.0, severity=Severity.CRITICAL, what="nine errors", key="b")
OVER = replace(BEGUN, at_s=200.0, what="over: nine errors", over=True, key="c")
NOW = Condition(Trouble.ECC_ERRORS, Severity.CRITICAL, "n1", "GPU-1", "nine errors", "swap it", 100.0)


def told(past, at_s, current=()):
    return [(one.what, one.severity, one.since_s) for one in past.at(at_s, current)]


@pytest.mark.parametrize(
    ("at_s", "what"),
    [(99.9, []), (100.0, ["two errors"]), (149.0, ["two errors"]), (150.0, ["nine errors"]), (200.0, [])],
)
@pytest.mark.parametrize("over", [True, False])
def test_it_held_from_its_beginning_to_its_end(at_s, what, over):
    past = PastConditions()
    past.take([BEGUN])
    past.take([WORSE, *([OVER] if over else [])])
    found = past.at(at_s, [] if over else [NOW])
    if not over and at_s >= 200:
        what = ["nine errors"]
    assert [one.what for one in found] == what
    assert all(one.since_s == 100.0 and one.device == "GPU-1" for one in found)


def test_it_may_come_again():
    past = PastConditions()
    past.take([BEGUN, OVER, replace(BEGUN, at_s=300.0), replace(OVER, at_s=400.0)])
    assert told(past, 250.0) == []
    assert told(past, 300.0) == [("two errors", Severity.WARNING, 300.0)]


def test_one_whose_beginning_is_no_longer_kept_is_known_while_it_holds():
    past = PastConditions()
    assert past.at(120.0, [NOW]) == (NOW,)
    assert past.at(99.0, [NOW]) == ()
    past.take([OVER])
    assert past.at(120.0, []) == ()


@pytest.mark.parametrize(
    "event",
    [
        replace(BEGUN, trouble=Trouble.XID, code=79),
        replace(BEGUN, trouble=Trouble.RESTARTED),
        replace(BEGUN, trouble=Trouble.DRIVER, severity=Severity.INFO, what="the driver is 580, it was 570"),
    ],
)
def test_what_happened_once_is_no_condition(event):
    past = PastConditions()
    past.take([event, replace(event, over=True, at_s=500.0)])
    assert past.at(150.0, []) == ()


def test_of_what_no_event_ends_and_no_condition_holds_nothing_is_known():
    past = PastConditions()
    past.take([BEGUN])
    assert past.at(150.0, []) == ()
