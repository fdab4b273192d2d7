"""`gpualloc top` up to where the dashboard begins, and where there is no terminal for it."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import pytest
from fakes.sample_world import SNAPSHOT
from msgspec.structs import replace

from gpualloc.cli.completions import described
from gpualloc.model.health import Condition, Severity, Trouble
from gpualloc.model.inventory import NodeState
from gpualloc.tui.options import THEME_NAMES, TopOptions, usual_every_s
from gpualloc.views.look import Look
from gpualloc.views.top import MAX_CONDITIONS, top_text

PATIENCE_S = 60


@pytest.mark.parametrize(
    ("arguments", "complaint", "hint"),
    [
        (["--theme", "solarized"], "--theme 'solarized' is not known", "colour-blind"),
        (["--view", "moon"], "--view 'moon' is not known", "processes"),
        (["--once", "--watch"], "--once and --watch exclude each other", "interrupted"),
        (["--every", "soon"], "soon", ""),
    ],
)
def test_wrong_options_are_refused_before_anything_is_opened(run, world, arguments, complaint, hint):
    ran = run("top", *arguments)
    assert (ran.code, ran.out, world.options) == (2, "", [])
    assert complaint in ran.err
    assert hint in ran.err


def test_a_usage_error_does_not_wait_for_textual():
    script = (
        "import sys; from gpualloc.cli.app import main; code = main(['top', '--theme', 'x']);"
        "print(code, 'textual' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=PATIENCE_S)
    assert ran.stdout == "2 False\n"


@pytest.mark.parametrize("arguments", [[], ["--once"]])
def test_without_a_terminal_one_look_is_told_whole(run, arguments):
    ran = run("top", *arguments)
    nodes, ps = run("nodes"), run("ps")
    assert (ran.code, ran.err) == (nodes.code, nodes.err)
    assert nodes.out.strip() in ran.out
    assert ps.out.strip() in ran.out
    assert "SIMULATED" not in ran.out


def test_what_is_simulated_says_so_first(run, world):
    world.context = replace(world.context, simulated=True)
    assert run("top").out.startswith("SIMULATED: nothing here is real\n\n")


def test_where_no_node_answers_the_exit_code_is_that_of_nodes(run, world, monkeypatch):
    observe = world.context.fleet.observe

    def unreachable(names=None, near=()):
        for node in observe(names, near):
            yield replace(node, state=NodeState.UNREACHABLE, reason="no route", devices=())

    monkeypatch.setattr(world.context.fleet, "observe", unreachable)
    ran, nodes = run("top"), run("nodes")
    assert (ran.code, nodes.code) == (3, 3)
    assert "no route" in ran.out
    assert ran.err == nodes.err


def test_only_some_of_what_is_wrong_is_told_and_the_rest_is_counted():
    wrong = [
        Condition(
            trouble=next(iter(Trouble)),
            severity=Severity.ERROR,
            node="gpu01",
            device=None,
            what=f"trouble number {number}",
            advice="mend it",
            since_s=SNAPSHOT.at_s,
        )
        for number in range(MAX_CONDITIONS + 2)
    ]
    text = top_text(SNAPSHOT, (), Look(80), progress={}, conditions=wrong, indices={}, recent=0, simulated=False)
    assert text.count("trouble number") == MAX_CONDITIONS
    assert "and 2 more (`gpualloc health`)" in text
    assert f"error: {MAX_CONDITIONS + 2}" in text


def test_text_can_be_had_in_ascii(run):
    plain, drawn = run("top", "--ascii").out, run("top").out
    assert not any(char in plain for char in "█░└…·")
    assert len(plain.splitlines()) == len(drawn.splitlines())


def top_of_demo(state: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "gpualloc", "--sim", "demo", "--state-dir", str(state), "top", *arguments]


def environment(**changes: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GPUALLOC_")}
    return {**kept, "PYTHONUNBUFFERED": "1", **changes}


@contextmanager
def watching(state: Path) -> Iterator[subprocess.Popen[str]]:
    """`top --watch` over the demo; nothing is left of it."""
    with subprocess.Popen(
        top_of_demo(state, "--watch", "--every", "200ms"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def test_watching_prints_until_it_is_interrupted_and_ends_quietly(tmp_path):
    with watching(tmp_path) as child:
        times = 0
        lines = []
        for line in child.stdout:
            lines.append(line)
            times += line.startswith("20") and line.endswith("Z\n")
            if times == 2:
                break
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=PATIENCE_S)
    assert (child.returncode, err) == (130, "")
    assert lines[-2:-1] == ["\n"]
    assert lines[1] == "SIMULATED: nothing here is real\n"


def test_watching_ends_quietly_when_nobody_reads(tmp_path):
    with watching(tmp_path) as child:
        child.stdout.readline()
        child.stdout.close()
        err = child.stderr.read()
        child.wait(timeout=PATIENCE_S)
    assert (child.returncode, err) == (128 + signal.SIGPIPE, "")


def test_a_dumb_terminal_gets_text_without_one_escape(tmp_path):
    leader, follower = pty.openpty()
    try:
        with subprocess.Popen(
            top_of_demo(tmp_path), stdin=follower, stdout=follower, stderr=follower, env=environment(TERM="dumb")
        ) as child:
            os.close(follower)
            seen = read_all(leader)
            assert child.wait(timeout=PATIENCE_S) == 0
    finally:
        os.close(leader)
    assert b"SIMULATED" in seen
    assert b"\x1b" not in seen


def read_all(leader: int) -> bytes:
    """What comes out of a terminal until its other end is closed."""
    seen = b""
    while select.select([leader], [], [], PATIENCE_S)[0]:
        try:
            seen += os.read(leader, 65536)
        except OSError:
            break
    return seen


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ([], TopOptions()),
        (
            ["--theme", "mono", "--ascii", "--read-only", "--view", "users", "--every", "3s"],
            TopOptions(every_s=3.0, theme="mono", ascii=True, read_only="--read-only was given", view="users"),
        ),
    ],
)
def test_the_dashboard_begins_as_it_was_asked_to(run, world, monkeypatch, tmp_path, arguments, options):
    begun = []
    # Whatever can be closed: nobody listens to it here.
    monkeypatch.setattr(world.context.fleet, "watch", lambda _: StringIO(), raising=False)
    monkeypatch.setattr("gpualloc.cli.top._can_draw", lambda: True)
    monkeypatch.setattr("gpualloc.tui.app.run_top", lambda _, source, options: begun.append((source, options)))
    assert run("top", *arguments).code == 0
    ((source, told),) = begun
    assert told == replace(options, remembered=tmp_path / "state" / "top.json")
    assert source.specs == tuple(world.context.fleet.specs())


@pytest.mark.parametrize(("nodes", "every_s"), [(1, 2), (64, 2), (65, 5), (256, 5), (257, 10), (1000, 10)])
def test_a_large_fleet_is_looked_at_less_often(nodes, every_s):
    assert usual_every_s(nodes) == every_s


def test_shells_complete_the_themes():
    (top,) = (each for each in described() if each.words == ("top",))
    (theme,) = (option for option in top.options if "--theme" in option.names)
    assert theme.takes == f"one of {' '.join(THEME_NAMES)}"
