"""The line that tells how far something is: on a terminal, after a second, and wiped away."""

import io
import sys

import pytest

from gpualloc.cli import progress
from gpualloc.cli.progress import counted, drawn
from gpualloc.cli.tune_progress import watched

WIPE = "\r\x1b[K"


class Terminal(io.StringIO):
    """A terminal that keeps what it is sent."""

    def isatty(self) -> bool:
        return True


def watching(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Stderr of somebody who watches; a fixture cannot put it there, since pytest puts its own back."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    return terminal


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is too short to be shown."""
    monkeypatch.setattr(progress, "QUIET_S", -1.0)


@pytest.mark.usefixtures("at_once")
def test_it_is_drawn_and_wiped_away(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watching(monkeypatch)
    with counted(4, "tasks") as tell:
        assert tell is not None
        tell(1)
    assert terminal.getvalue() == f"{WIPE}{'█' * 5}{'░' * 15} 1/4 tasks{WIPE}"


@pytest.mark.usefixtures("at_once")
def test_it_is_wiped_away_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watching(monkeypatch)

    def fail() -> None:
        with drawn() as line:
            line.draw("half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert terminal.getvalue() == f"{WIPE}half{WIPE}"


@pytest.mark.usefixtures("at_once")
def test_a_search_draws_the_same_line(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watching(monkeypatch)
    with watched(10) as watch:
        assert len(list(watch.spread(lambda runs: iter([(0, None), (1, None)]))([]))) == 2  # type: ignore[arg-type,list-item]
    line = f"{'░' * 20} {{}} runs, what there is already is measured"
    assert terminal.getvalue() == WIPE + line.format(1) + WIPE + line.format(2) + WIPE


def test_what_is_short_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watching(monkeypatch)
    monkeypatch.setattr(progress, "QUIET_S", 1e9)
    with drawn() as line:
        line.draw("soon")
    assert terminal.getvalue() == ""


@pytest.mark.usefixtures("at_once")
def test_a_script_is_told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with counted(4, "tasks") as tell:
        assert tell is None
    with drawn() as line:
        line.draw("half")
    assert stream.getvalue() == ""
