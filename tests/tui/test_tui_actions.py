"""Every action over a simulated world: what it asks, what it names, what it does, and its trace in the audit."""

from __future__ import annotations

from pathlib import Path

import pytest
from tui.hands_world import asked, comes, demo, dialog_text, failed, fill, notice, running, seen_once, top, typed
from tui.steering import plain_text, until

from gpualloc.engine.context import Context
from gpualloc.engine.observe import observe
from gpualloc.model.allocation import Share
from gpualloc.model.workload import WorkloadState
from gpualloc.tui.screens.form import FormScreen

WIDE = (120, 40)


def audited(ctx: Context, kind: str) -> bool:
    return any(entry.kind == kind for entry in ctx.journal.audit())


def state_of(ctx: Context, identity: str) -> WorkloadState:
    return ctx.journal.find(identity).state


async def test_work_is_asked_for_and_placed(tmp_path: Path) -> None:
    with demo(tmp_path) as ctx:
        app = top(ctx, tmp_path)
        async with app.run_test(size=WIDE) as pilot:
            await seen_once(pilot)
            await pilot.press("plus")
            await fill(pilot, command="python 'my train.py'", gpus="2", nodes="birch01", priority="7")
            await asked(pilot)
            assert "submit --gpus 2 --priority 7 --nodes birch01 -- python 'my train.py'" in dialog_text(pilot)
            await pilot.press("y")
            await until(pilot, ctx.journal.workloads)
            (work,) = ctx.journal.workloads()
            assert (work.request.command, work.request.gpus, work.request.priority) == (("python", "my train.py"), 2, 7)
            assert work.request.share is Share.EXCLUSIVE
            assert audited(ctx, "submit")
            await until(pilot, lambda: "nobody will start it by itself" in dialog_text(pilot))
            await pilot.press("escape")
            await typed(pilot, "rebalance")
            await asked(pilot)
            assert "start" in dialog_text(pilot)
            await pilot.press("y")
            await comes(pilot, lambda: state_of(ctx, work.id) is WorkloadState.RUNNING)
            await until(pilot, lambda: "done" in notice(pilot))
            assert audited(ctx, "apply")


@pytest.mark.parametrize("no", ["n", "enter", "escape"])
async def test_what_is_not_confirmed_is_not_done(tmp_path: Path, no: str) -> None:
    with demo(tmp_path) as ctx:
        work = running(ctx)
        before = list(ctx.journal.audit())
        app = top(ctx, tmp_path)
        async with app.run_test(size=WIDE) as pilot:
            await seen_once(pilot)
            await typed(pilot, f"release {work.id}")
            await asked(pilot)
            await pilot.press(no)
            await comes(pilot, lambda: "nothing was done" in notice(pilot))
            assert state_of(ctx, work.id) is WorkloadState.RUNNING
            assert list(ctx.journal.audit()) == before


async def test_work_is_released(tmp_path: Path) -> None:
    with demo(tmp_path) as ctx:
        first, second = running(ctx), running(ctx, "other")
        app = top(ctx, tmp_path)
        async with app.run_test(size=WIDE) as pilot:
            await seen_once(pilot)
            await typed(pilot, f"release train {second.id}")
            await asked(pilot)
            text = dialog_text(pilot)
            assert f"{first.id} train of {first.owner}, running on birch01 GPU" in text
            assert "lost" in text
            assert f"release {first.id} {second.id}" in text
            await pilot.press("y")
            await until(pilot, lambda: state_of(ctx, second.id) is WorkloadState.RELEASED)
            assert state_of(ctx, first.id) is WorkloadState.RELEASED
            await until(pilot, lambda: "2 workloads released (simulated)" in notice(pilot))


async def test_work_is_suspended_and_resumed(tmp_path: Path) -> None:
    with demo(tmp_path) as ctx:
        work = running(ctx)
        app = top(ctx, tmp_path)
        async with app.run_test(size=WIDE) as pilot:
            await seen_once(pilot)
            await typed(pilot, f"suspend {work.id}")
            await asked(pilot)
            await pilot.press("enter")
            await comes(pilot, lambda: state_of(ctx, work.id) is WorkloadState.SUSPENDED)
            await until(pilot, lambda: app.shell.state.workloads[0].state is WorkloadState.SUSPENDED)
            await typed(pilot, f"resume {work.id}")
            await fill(pilot, device="7")
            await asked(pilot)
            assert f"resume {work.id} --device 7" in dialog_text(pilot)
            await pilot.press("y")
            assert "driver >= 580 needed to resume on another device" in await failed(pilot)
            assert state_of(ctx, work.id) is WorkloadState.SUSPENDED
            await pilot.press("escape")
            await typed(pilot, f"resume {work.id}")
            await fill(pilot)
            await asked(pilot)
            assert "claims the GPUs it was on" in dialog_text(pilot)
            await pilot.press("y")
            await comes(pilot, lambda: state_of(ctx, work.id) is WorkloadState.RUNNING)


async def test_nodes_and_devices_are_cordoned_and_let_back(tmp_path: Path) -> None:
    with demo(tmp_path) as ctx:
        running(ctx)
        app = top(ctx, tmp_path)
        async with app.run_test(size=WIDE) as pilot:
            await seen_once(pilot)
            await typed(pilot, "cordon birch01 fir01:2")
            await fill(pilot, reason="fan is 'loud'")
            await asked(pilot)
            text = dialog_text(pilot)
            assert "runs on" in text
            assert "cordon birch01 --reason" in text
            assert "cordon fir01 --device GPU-" in text
            await pilot.press("y")
            await until(pilot, lambda: len(ctx.journal.cordons()) == 2)
            assert {(each.node, each.reason) for each in ctx.journal.cordons()} == {
                ("birch01", "fan is 'loud'"),
                ("fir01", "fan is 'loud'"),
            }
            await until(pilot, lambda: "2 cordoned" in dialog_text(pilot))
            await pilot.press("escape")
            await typed(pilot, "uncordon birch01 fir01:2")
            await asked(pilot)
            assert "cordoned: fan is 'loud'" in dialog_text(pilot)
            await pilot.press("y")
            await until(pilot, lambda: not ctx.journal.cordons())
            assert audited(ctx, "uncordon")


async def test_a_node_is_emptied(tmp_path: Path) -> None:
    with demo(tmp_path) as ctx:
        work = running(ctx)
        app = top(ctx, tmp_path)
        async with app.run_test(size=WIDE) as pilot:
            await seen_once(pilot)
            await typed(pilot, "drain birch01")
            await fill(pilot, evict="gives way now")
            await asked(pilot)
            text = dialog_text(pilot)
            assert "1 workload must give way now" in text
            assert "is suspended" in text
            assert "of ann on birch01" in text
            assert "drain birch01 --evict" in text
            await pilot.press("y")
            await comes(pilot, lambda: state_of(ctx, work.id) is WorkloadState.SUSPENDED)
            assert [each.drain for each in ctx.journal.cordons()] == [True]
            assert audited(ctx, "drain")


async def test_a_device_gets_other_instances(tmp_path: Path) -> None:
    with demo(tmp_path) as ctx:
        app = top(ctx, tmp_path)
        async with app.run_test(size=WIDE) as pilot:
            await seen_once(pilot)
            await typed(pilot, "mig yew01:1")
            await fill(pilot, layout="2g.12gb@0,1g.6gb@2")
            await asked(pilot)
            assert "--layout 2g.12gb@0,1g.6gb@2" in dialog_text(pilot)
            await pilot.press("y")
            await comes(pilot, lambda: "has its instances" in notice(pilot))
            (node,) = observe(ctx, ["yew01"]).nodes
            assert sorted(one.profile for one in node.devices[1].mig_instances) == ["1g.6gb", "2g.12gb"]
            assert audited(ctx, "apply")


async def test_a_device_gets_another_power_limit(tmp_path: Path) -> None:
    with demo(tmp_path) as ctx:
        app = top(ctx, tmp_path)
        async with app.run_test(size=WIDE) as pilot:
            await seen_once(pilot)
            await typed(pilot, "power fir01:0 fir01:1")
            await fill(pilot, power="250W")
            await asked(pilot)
            assert "--power 250W" in dialog_text(pilot)
            await pilot.press("y")
            await comes(pilot, lambda: "power limit set" in notice(pilot))
            (node,) = observe(ctx, ["fir01"]).nodes
            assert [device.power_limit_w for device in node.devices] == [250.0, 250.0, 400.0, 400.0]


async def test_processes_get_a_signal(tmp_path: Path) -> None:
    with demo(tmp_path) as ctx:
        app = top(ctx, tmp_path)
        async with app.run_test(size=WIDE) as pilot:
            await seen_once(pilot)
            await typed(pilot, "signal birch01:4001 cedar01:4001")
            await fill(pilot, signal="KILL")
            await asked(pilot)
            text = dialog_text(pilot)
            assert "birch01 pid 4001 of ann on GPU 0,1,2,3: python train.py --config llama.yaml" in text
            assert "They end at once" in text
            assert "signal birch01 4001 --signal KILL" in text
            assert "signal cedar01 4001 --signal KILL" in text
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(app.screen, FormScreen))
            assert [len(node.processes) for node in observe(ctx, ["birch01", "cedar01"]).nodes] == [4, 1]
            await pilot.press("enter")
            await asked(pilot)
            await pilot.press("y")
            await until(pilot, lambda: "KILL sent to 2 processes" in dialog_text(pilot))
            assert [len(node.processes) for node in observe(ctx, ["birch01", "cedar01"]).nodes] == [0, 0]
            assert audited(ctx, "apply")


async def test_alerts_are_silenced_and_told_again(tmp_path: Path) -> None:
    with demo(tmp_path) as ctx:
        app = top(ctx, tmp_path)
        async with app.run_test(size=WIDE) as pilot:
            await seen_once(pilot)
            await typed(pilot, "silence hot@birch01")
            await fill(pilot, **{"for": "2h", "about": "this rule everywhere"})
            await asked(pilot)
            assert "alerts silence hot --for 2h" in dialog_text(pilot)
            await pilot.press("y")
            await comes(pilot, lambda: ctx.alerts.silences(ctx.clock.now_s()))
            (silence,) = ctx.alerts.silences(ctx.clock.now_s())
            assert (silence.rule, silence.node) == ("hot", None)
            await typed(pilot, "unsilence hot@birch01")
            await asked(pilot)
            assert "alerts unsilence hot" in dialog_text(pilot)
            await pilot.press("y")
            await comes(pilot, lambda: not ctx.alerts.silences(ctx.clock.now_s()))


@pytest.mark.parametrize(
    ("command", "answers", "field", "problem"),
    [
        ("submit", {"command": "a", "gpus": "many"}, "gpus", "'many' is not a whole number"),
        ("submit", {"command": "a 'b"}, "command", "No closing quotation"),
        ("submit", {"command": ""}, "command", "nothing is there"),
        ("power fir01:0", {"power": "9000W"}, None, "takes a power limit of 100 to 400 W"),
        ("power fir01:0", {"power": "much"}, "power", "much"),
        ("silence hot@birch01", {"for": "long"}, "for", "long"),
        ("mig yew01:1", {"layout": "9g.1gb@0"}, None, "9g.1gb"),
        ("mig yew01:0", {"layout": "1g.6gb@0"}, None, "in use would have to go"),
        ("mig yew01:1", {"layout": ""}, "layout", "has it already"),
    ],
)
async def test_what_is_wrong_is_told_in_the_form(tmp_path: Path, command, answers, field, problem) -> None:
    with demo(tmp_path) as ctx:
        app = top(ctx, tmp_path)
        async with app.run_test(size=WIDE) as pilot:
            await seen_once(pilot)
            await typed(pilot, command)
            await fill(pilot, **answers)

            def told() -> str:
                form = app.screen
                assert isinstance(form, FormScreen)
                at_field = [one for one in form._fields if one._problem.display]
                assert [one.ask.name for one in at_field] in ([], [field])
                return plain_text(at_field[0]._problem.lines) if at_field else "" if field else dialog_text(pilot)

            await until(pilot, lambda: problem in told())
            await pilot.press("escape")
            await comes(pilot, lambda: True)
            assert not list(ctx.journal.audit())


async def test_a_form_keeps_what_was_typed_until_it_is_done(tmp_path: Path) -> None:
    with demo(tmp_path) as ctx:
        app = top(ctx, tmp_path)
        async with app.run_test(size=WIDE) as pilot:
            await seen_once(pilot)
            await pilot.press("plus")
            await fill(pilot, **{"command": "train", "gpu-memory": "900GiB"})
            await asked(pilot)
            await pilot.press("n")
            await until(pilot, lambda: isinstance(app.screen, FormScreen))
            await pilot.press("enter")
            await asked(pilot)
            await pilot.press("y")
            assert "could ever hold" in await failed(pilot)
            assert not ctx.journal.workloads()
            await pilot.press("escape", "plus")
            await until(pilot, lambda: isinstance(app.screen, FormScreen))
            assert app.screen.answers["gpu-memory"] == "900GiB"


async def test_whoever_holds_the_lock_is_named(tmp_path: Path) -> None:
    with demo(tmp_path) as ctx:
        app = top(ctx, tmp_path)
        async with app.run_test(size=WIDE) as pilot:
            await seen_once(pilot)
            with ctx.journal.write("reconcile"):
                await typed(pilot, "cordon fir01")
                await fill(pilot)
                await asked(pilot)
                await pilot.press("y")
                text = await failed(pilot)
            assert "the state is being changed by" in text
            assert "reconcile" in text
            assert not ctx.journal.cordons()
