"""The way from a wish to what came of it: menus, names, refusals, live steps, leaving, and what is hostile."""

from __future__ import annotations

import shlex
import threading
from pathlib import Path

import pytest
from msgspec.structs import replace
from tui.hands_world import (
    asked,
    comes,
    demo,
    dialog_text,
    failed,
    fill,
    notice,
    on_top,
    program,
    running,
    seen_once,
    top,
    typed,
)
from tui.steering import plain_text, screen_text, until

from gpualloc.cli.app import main, root_command
from gpualloc.engine.submit import submit
from gpualloc.errors import NotFoundError, StepError
from gpualloc.model.plan import Step, StepKind, StepReason, StepState
from gpualloc.model.workload import Request, WorkloadState
from gpualloc.tui.actions.action import (
    Action,
    AlertTarget,
    Change,
    DeviceTarget,
    NodeTarget,
    ProcessTarget,
    WorkloadTarget,
)
from gpualloc.tui.actions.catalog import ACTIONS, action_named
from gpualloc.tui.actions.naming import named, names
from gpualloc.tui.app import TopApp
from gpualloc.tui.keys import bindings_of, key_name
from gpualloc.tui.screens.confirm import ConfirmScreen
from gpualloc.tui.screens.doing import DoingScreen
from gpualloc.tui.screens.form import FormScreen
from gpualloc.tui.screens.menu import ActionTable, MenuScreen
from gpualloc.tui.screens.view import View
from gpualloc.tui.widgets.lines import Lines
from gpualloc.tui.widgets.list_table import ListTable
from gpualloc.tui.widgets.press import Press
from gpualloc.tui.widgets.table import Table

WIDE = (120, 40)
HOSTILE = "a\x1b[31m\u202eb\nc\u200b"


def test_no_key_of_an_action_is_a_key_of_a_list() -> None:
    lists = {key for kind in (ListTable, Table) for one in bindings_of(kind) for key in one.key.split(",")}
    app = [key for one in bindings_of(TopApp) for key in one.key.split(",")]
    assert not lists & {one.key for one in ACTIONS}
    assert len(app) == len(set(app))


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.name)
def test_every_action_is_documented(action: Action) -> None:
    text = (Path(__file__).parents[2] / "docs" / "top-actions.md").read_text()
    assert f"| `{key_name(action.key)}` | `{action.name}` |" in text


async def test_what_can_be_done_fits_what_is_there(tmp_path: Path) -> None:
    with demo(tmp_path) as ctx:
        work = running(ctx)
        app = top(ctx, tmp_path)
        async with app.run_test(size=WIDE) as pilot:
            await seen_once(pilot)
            state = app.shell.state
            uuid = state.nodes["birch01"].devices[0].uuid
            targets = {
                "node": NodeTarget("birch01"),
                "device": DeviceTarget("birch01", uuid, 0, state.nodes["birch01"].devices[0].model),
                "process": ProcessTarget("birch01", 4001, None, "ann", "python", None),
                "workload": WorkloadTarget(work.id, "train", "root"),
                "alert": AlertTarget("hot", "birch01"),
            }
            fitting = {
                kind: {one.name for one in ACTIONS if one.takes and one.fits((target,), state)}
                for kind, target in targets.items()
            }
            assert fitting == {
                "node": {"cordon", "uncordon", "drain", "power"},
                "device": {"cordon", "uncordon", "drain", "power", "mig"},
                "process": {"signal"},
                "workload": {"release", "suspend"},
                "alert": {"silence", "unsilence"},
            }
            two = (targets["device"], DeviceTarget("birch01", "other", 1, "H100"))
            assert not action_named("mig").fits(two, state)
            assert action_named("power").fits(two, state)
            assert named(action_named("mig"), "birch01:0", state) == (targets["device"],)
            assert named(action_named("cordon"), f"birch01 {uuid[:12]}", state) == (targets["node"], targets["device"])
            assert [one.id for one in named(action_named("release"), "train", state)] == [work.id]
            assert named(action_named("signal"), "birch01:4001", state)[0].user == "ann"
            with pytest.raises(NotFoundError, match="several things"):
                named(action_named("cordon"), "b", state)
            with pytest.raises(NotFoundError, match="nothing it takes"):
                named(action_named("mig"), "nowhere:0", state)
            assert set(names(action_named("release"), state)) == {work.id, "train"}
            assert names(action_named("resume"), state) == []
            found = app.shell.commands().complete("cordon birch01:1 fir01:")
            assert found == tuple(f"cordon birch01:1 fir01:{index}" for index in range(4))


async def test_the_menu_offers_what_fits(tmp_path: Path) -> None:
    with demo(tmp_path) as ctx:
        app = top(ctx, tmp_path)
        async with app.run_test(size=WIDE) as pilot:
            await seen_once(pilot)
            await pilot.press("a")
            await on_top(pilot, MenuScreen)
            offered = [row.action.name for row in app.screen.query_one(ActionTable).rows]
            assert offered == ["submit", "cordon", "uncordon", "drain", "power", "rebalance"]
            await pilot.press("down", "enter")
            await on_top(pilot, FormScreen)
            assert app.screen.title_text() == "cordon node birch01: take no new work; what runs runs on"
            await pilot.press("escape", "a")
            await on_top(pilot, MenuScreen)
            await pilot.press("D")
            await on_top(pilot, FormScreen)
            assert app.screen.title_text() == "drain node birch01: take no new work, and let what is there go"


async def test_several_rows_are_acted_upon_at_once(tmp_path: Path) -> None:
    with demo(tmp_path) as ctx:
        app = top(ctx, tmp_path)
        async with app.run_test(size=WIDE) as pilot:
            await seen_once(pilot)
            await pilot.press("down", "space", "space", "u")
            await asked(pilot)
            assert dialog_text(pilot).count("takes new work again") == 2
            await pilot.press("y")
            await until(pilot, lambda: "was not cordoned" in dialog_text(pilot))
            await pilot.press("escape")
            await pilot.press("m")
            await comes(pilot, lambda: "mig takes one GPU; selected: birch01 GPU 0, 1" in notice(pilot))


async def test_nothing_is_done_where_nothing_may_be_changed(tmp_path: Path) -> None:
    with demo(tmp_path) as ctx:
        app = top(ctx, tmp_path)
        app.shell.read_only = "the state belongs to somebody else"
        async with app.run_test(size=WIDE) as pilot:
            await seen_once(pilot)
            for one in ACTIONS:
                await pilot.press(one.key)
                assert isinstance(app.screen, View)
                assert "the state belongs to somebody else" in notice(pilot)
            await pilot.press("a")
            await on_top(pilot, MenuScreen)
            assert "somebody else" in plain_text(app.screen.query_one("#menu-refusal", Lines).lines)
            await pilot.press("enter")
            await comes(pilot, lambda: True)


async def test_nothing_is_done_in_the_past(tmp_path: Path) -> None:
    with demo(tmp_path) as ctx:
        app = top(ctx, tmp_path)
        async with app.run_test(size=WIDE) as pilot:
            await seen_once(pilot)
            app.shell.state = replace(app.shell.state, live=False)
            app._hands.take("rebalance")
            assert isinstance(app.screen, View)
            assert "nothing can be changed in the past" in notice(pilot)


def parse(words: list[str]) -> None:
    """Let the real command line read the words; it raises when it does not know one of them."""
    command, context = root_command(), None
    while True:
        context = command.make_context(words[0], words[1:], parent=context)
        if not hasattr(command, "commands"):
            return
        words = [*context._protected_args, *context.args]
        _, command, rest = command.resolve_command(context, words)
        words = [words[0], *rest]


@pytest.mark.parametrize(
    ("command", "answers"),
    [
        ("submit", {"command": "a --gpus 'b c'", "share": "mig", "profile": "1g.6gb", "cwd": "/tmp"}),
        ("release WORK", None),
        ("suspend WORK", None),
        ("signal birch01:4001", {"signal": "HUP"}),
        ("cordon birch01 fir01:1", {"reason": "--odd 'one'"}),
        ("uncordon birch01 fir01:1", None),
        ("drain fir01:1", {"evict": "gives way now", "reason": "x"}),
        ("mig yew01:1", {"layout": "off", "drain": "gives way"}),
        ("power fir01 yew01:2", {"power": "default"}),
        ("silence hot@birch01", {"for": "1h", "about": "everything on this node"}),
        ("unsilence hot@birch01", None),
        ("rebalance", None),
    ],
)
async def test_the_command_that_is_shown_is_one(tmp_path: Path, command: str, answers) -> None:
    with demo(tmp_path) as ctx:
        work = running(ctx)
        app = top(ctx, tmp_path)
        async with app.run_test(size=WIDE) as pilot:
            await seen_once(pilot)
            await typed(pilot, command.replace("WORK", work.id))
            if answers is not None:
                await fill(pilot, **answers)
            screen = await asked(pilot)
            assert screen._question.commands
            for words in screen._question.commands:
                assert words[:7] == program(tmp_path)
                assert " ".join(shlex.join(words).split()) in " ".join(dialog_text(pilot).split())
                parse(list(words))


async def test_the_command_that_is_shown_does_the_same(tmp_path: Path) -> None:
    with demo(tmp_path) as ctx:
        work = running(ctx)
        app = top(ctx, tmp_path)
        async with app.run_test(size=WIDE) as pilot:
            await seen_once(pilot)
            await typed(pilot, "release train")
            (words,) = (await asked(pilot))._question.commands
            await pilot.press("c")
            assert app.clipboard == shlex.join(words)
            await pilot.press("n")
            await comes(pilot, lambda: True)
        assert ctx.journal.find(work.id).state is WorkloadState.RUNNING
    assert main(list(words[1:])) == 0
    with demo(tmp_path) as ctx:
        assert ctx.journal.find(work.id).state is WorkloadState.RELEASED


async def test_hostile_names_are_drawn_harmless(tmp_path: Path) -> None:
    with demo(tmp_path) as ctx:
        work = submit(ctx, HOSTILE, Request((HOSTILE, "$(reboot)"), gpus=0)).workload
        app = top(ctx, tmp_path)
        async with app.run_test(size=WIDE) as pilot:
            await seen_once(pilot)
            await typed(pilot, f"release {work.id}")
            await asked(pilot)
            shown = "\n".join(screen_text(pilot))
            assert "a\\x1b[31m\\u202eb\\x0ac\\u200b" in shown
            assert [line for line in screen_text(pilot) if not line.isprintable()] == []
            await pilot.press("escape")
            await typed(pilot, "submit")
            await fill(pilot, command=f"'{HOSTILE}'", name="\x07b")
            await asked(pilot)
            assert "b: waits for" in dialog_text(pilot)
            assert [line for line in screen_text(pilot) if not line.isprintable()] == []


@pytest.mark.parametrize("size", [(80, 24), (20, 5)])
async def test_dialogs_fit_small_terminals(tmp_path: Path, size: tuple[int, int]) -> None:
    with demo(tmp_path) as ctx:
        work = running(ctx)
        app = top(ctx, tmp_path)
        async with app.run_test(size=size) as pilot:
            await seen_once(pilot)
            await typed(pilot, f"release {work.id}")
            await asked(pilot)
            shown = "\n".join(screen_text(pilot))
            assert "Release 1 workload" in shown
            assert "y release" in shown
            assert work.id in shown or size[1] == 5
            await pilot.press("n", "plus")
            await on_top(pilot, FormScreen)
            shown = "\n".join(screen_text(pilot))
            assert "submit" in shown
            assert "command" in shown
            assert "go on" in shown
            await pilot.press("escape", "a")
            await on_top(pilot, MenuScreen)
            await until(pilot, lambda: "submit" in "\n".join(screen_text(pilot)))


STEP = Step(
    seq=1,
    kind=StepKind.STOP,
    node="birch01",
    workload="w12345678",
    target="w12345678",
    reason=StepReason.OPERATOR,
    detail="",
    allocation=None,
    attempt=0,
    revision=0,
)


class Slow:
    """A change that goes on until the test lets it end."""

    def __init__(self, *, fails: bool = False) -> None:
        self.go_on = threading.Event()
        self.fails = fails
        self.change = Change("Release 1 workload", (), (), self.do)

    def do(self, on_step) -> tuple[str, ...]:
        on_step(STEP, StepState.INTENT, None, 2)
        assert self.go_on.wait(60)
        if self.fails:
            raise StepError("it would not go", reason="busy", hint="try again later")
        on_step(STEP, StepState.DONE, None, 2)
        return ("1 workload released",)


async def test_steps_are_told_live_and_a_success_closes_by_itself(tmp_path: Path) -> None:
    slow = Slow()
    with demo(tmp_path) as ctx:
        app = top(ctx, tmp_path)
        async with app.run_test(size=WIDE) as pilot:
            await seen_once(pilot)
            app._hands._do(action_named("release"), slow.change)
            await until(pilot, lambda: "[1/2] - stop w12345678 on birch01: …" in dialog_text(pilot))
            assert "0 of 2 steps done" in dialog_text(pilot)
            slow.go_on.set()
            await comes(pilot, lambda: "1 workload released" in notice(pilot))


@pytest.mark.parametrize("fails", [False, True])
async def test_what_is_going_on_can_be_left(tmp_path: Path, *, fails: bool) -> None:
    slow = Slow(fails=fails)
    with demo(tmp_path) as ctx:
        app = top(ctx, tmp_path)
        async with app.run_test(size=WIDE) as pilot:
            await seen_once(pilot)
            app._hands._do(action_named("release"), slow.change)
            await on_top(pilot, DoingScreen)
            await pilot.press("escape")
            await comes(pilot, lambda: True)
            await typed(pilot, "uncordon fir01")
            await asked(pilot)
            await pilot.press("y")
            await comes(pilot, lambda: "was not cordoned" in notice(pilot))
            slow.go_on.set()
            await comes(pilot, lambda: ("it would not go" if fails else "1 workload released") in notice(pilot))


async def test_a_failure_stays_until_it_was_read(tmp_path: Path) -> None:
    slow = Slow(fails=True)
    slow.go_on.set()
    with demo(tmp_path) as ctx:
        app = top(ctx, tmp_path)
        async with app.run_test(size=WIDE) as pilot:
            await seen_once(pilot)
            app._hands._do(action_named("release"), slow.change)
            text = await failed(pilot)
            assert "it would not go" in text
            assert "try again later" in text
            await pilot.press("enter")
            await comes(pilot, lambda: True)


@pytest.mark.parametrize("key", ["q", "ctrl+c"])
async def test_quitting_asks_once_while_something_is_done(tmp_path: Path, key: str) -> None:
    slow = Slow()
    with demo(tmp_path) as ctx:
        app = top(ctx, tmp_path)
        async with app.run_test(size=WIDE) as pilot:
            await seen_once(pilot)
            app._hands._do(action_named("release"), slow.change)
            await on_top(pilot, DoingScreen)
            await pilot.press("escape", key)
            await on_top(pilot, ConfirmScreen)
            assert "Release 1 workload is being carried out" in dialog_text(pilot)
            await pilot.press("enter")
            await comes(pilot, lambda: True)
            assert not app._hands._world().stopped()
            await pilot.press(key)
            await on_top(pilot, ConfirmScreen)
            await pilot.press("y")
            await comes(pilot, lambda: "ends when the steps under way are finished" in notice(pilot))
            assert app._hands._world().stopped()
            assert app.is_running
            slow.go_on.set()
            await until(pilot, lambda: app._exit)


async def test_quitting_asks_while_a_plan_is_carried_out(tmp_path: Path) -> None:
    with demo(tmp_path) as ctx:
        app = top(ctx, tmp_path)
        async with app.run_test(size=WIDE) as pilot:
            await seen_once(pilot)
            app.shell.under_way.append("apply of p1")
            await pilot.press("q")
            await on_top(pilot, ConfirmScreen)
            assert "apply of p1 is being carried out" in dialog_text(pilot)
            await pilot.press("y")
            await until(pilot, app.shell.ctx.stopped)
            assert app.is_running
            app.shell.under_way.clear()
            await until(pilot, lambda: app._exit)


async def test_quitting_again_does_not_wait(tmp_path: Path) -> None:
    slow = Slow()
    with demo(tmp_path) as ctx:
        app = top(ctx, tmp_path)
        async with app.run_test(size=WIDE) as pilot:
            await seen_once(pilot)
            app._hands._do(action_named("release"), slow.change)
            await on_top(pilot, DoingScreen)
            await pilot.press("ctrl+c")
            await on_top(pilot, ConfirmScreen)
            await pilot.press("y")
            await until(pilot, lambda: not isinstance(app.screen, ConfirmScreen))
            await pilot.press("ctrl+c")
            await until(pilot, lambda: app._exit)
        slow.go_on.set()


async def test_the_mouse_answers_too(tmp_path: Path) -> None:
    with demo(tmp_path) as ctx:
        app = top(ctx, tmp_path)
        async with app.run_test(size=WIDE) as pilot:
            await seen_once(pilot)
            await typed(pilot, "cordon fir01")
            await on_top(pilot, FormScreen)
            await pilot.click("#press-accept")
            await asked(pilot)
            assert app.focused is app.screen.query_one("#press-yes", Press)
            await pilot.click("#press-yes")
            await comes(pilot, lambda: len(ctx.journal.cordons()) == 1)


async def test_who_does_not_wait_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with demo(tmp_path) as ctx:
        app = top(ctx, tmp_path)
        async with app.run_test(size=WIDE) as pilot:
            await seen_once(pilot)
            here, known = threading.Event(), ctx.journal.cordons
            monkeypatch.setattr(ctx.journal, "cordons", lambda: (here.wait(60), known())[1])
            await typed(pilot, "uncordon fir01")
            await on_top(pilot, FormScreen)
            assert "looking what that would touch" in dialog_text(pilot)
            await pilot.press("y", "escape")
            await comes(pilot, lambda: True)
            here.set()
            await until(pilot, lambda: not app.shell.desk.busy("hands"))
            await pilot.pause()
            assert isinstance(app.screen, View)


async def test_what_cannot_be_worked_out_is_told(tmp_path: Path) -> None:
    with demo(tmp_path) as ctx:
        work = running(ctx)
        app = top(ctx, tmp_path)
        async with app.run_test(size=WIDE) as pilot:
            await seen_once(pilot)
            gone = WorkloadTarget("w00000000", work.name, work.owner)
            app._hands._begin(action_named("release"), (gone,))
            await on_top(pilot, FormScreen)
            await until(pilot, lambda: "w00000000" in dialog_text(pilot))
            await pilot.press("escape")
            await comes(pilot, lambda: True)
