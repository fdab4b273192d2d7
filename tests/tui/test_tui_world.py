"""Views over a simulated world: work that waits and runs, who uses what, what was done and what is wrong."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace
from textual.pilot import Pilot
from tui.steering import screen_text, text_of, until
from tui.world_fixture import list_of, simulated, until_looked, until_view

from gpualloc.model.workload import WorkloadState
from gpualloc.tui.listings.processes import ProcessRow
from gpualloc.tui.listings.troubles import TroubleRow
from gpualloc.tui.listings.users import UserRow
from gpualloc.tui.listings.workloads import WorkRow, start_text
from gpualloc.tui.screens.told import ToldScreen

SICK = str(Path(__file__).parents[2] / "docs" / "examples" / "sick.toml")


def work_rows_of(pilot: Pilot[None]) -> dict[str, WorkRow]:
    return {row.workload.name: row for row in list_of(pilot).rows if isinstance(row, WorkRow)}


async def test_waiting_work_is_listed_with_when_it_starts(tmp_path: Path) -> None:
    with simulated(tmp_path) as world:
        world.submit("small")
        world.submit("whole-node", gpus=8)
        async with world.app().run_test(size=(160, 30)) as pilot:
            await until_looked(pilot)
            await pilot.press("4")
            await until_view(pilot, "workloads")
            moment = pilot.app.shell.state.moment  # type: ignore[attr-defined]
            await until(pilot, lambda: work_rows_of(pilot) and work_rows_of(pilot)["small"].start_s is not None)
            rows = work_rows_of(pilot)
            assert start_text(rows["small"], moment) == "now"
            # Its node is taken by a stranger, of whom nobody can tell when he ends.
            assert start_text(rows["whole-node"], moment) == "n/a"
            assert "2 waiting" in text_of(pilot, "#crumb")
            drawn = "\n".join(screen_text(pilot))
            assert "want 8" in drawn
            assert " now " in drawn


async def test_a_workload_tells_why_it_waits_and_what_it_got(tmp_path: Path) -> None:
    with simulated(tmp_path) as world:
        runs = world.submit("runs")
        world.start_waiting()
        waits = world.submit("waits", gpus=8)
        async with world.app().run_test(size=(160, 40)) as pilot:
            await until_looked(pilot)
            await pilot.press("4")
            await until_view(pilot, "workloads")
            await until(pilot, lambda: len(list_of(pilot).rows) == 2)
            assert work_rows_of(pilot)["runs"].workload.state is WorkloadState.RUNNING
            list_of(pilot).move_to(waits.id)
            await pilot.press("enter")
            await until_view(pilot, "workload")
            await until(pilot, lambda: "8 GPUs" in text_of(pilot, "#why"))
            assert waits.id in text_of(pilot, "#crumb")
            await pilot.press("escape")
            await until_view(pilot, "workloads")
            list_of(pilot).move_to(runs.id)
            await pilot.press("enter")
            await until_view(pilot, "workload")
            await until(pilot, lambda: "running" in "\n".join(screen_text(pilot)))
            await pilot.press("o")
            await until_view(pilot, "device")


async def test_a_workload_that_is_gone_is_said_to_be(tmp_path: Path) -> None:
    with simulated(tmp_path) as world:
        async with world.app().run_test(size=(100, 24)) as pilot:
            await until_looked(pilot)
            await pilot.press("colon", *"workload", "space", *"w0", "enter")
            await until_view(pilot, "workload")
            await until(pilot, lambda: "no such work" in text_of(pilot, "#why"))


async def test_a_user_opens_the_processes_of_their_work(tmp_path: Path) -> None:
    with simulated(tmp_path) as world:
        world.ctx = replace(world.ctx, actor="grace")
        world.submit("mine", gpus=2)
        world.start_waiting()
        async with world.app().run_test(size=(120, 30)) as pilot:
            await until_looked(pilot)
            await pilot.press("5")
            await until_view(pilot, "users")
            users = list_of(pilot)
            await until(pilot, lambda: any(users.key_of(row) == "grace" for row in users.rows))
            grace = next(row for row in users.rows if isinstance(row, UserRow) and row.user == "grace")
            await until(pilot, lambda: len(grace.gpus) == 2)
            assert (grace.running, grace.waiting, len(grace.strangers)) == (1, 0, 0)
            users.move_to("grace")
            await pilot.press("enter")
            await until_view(pilot, "processes")
            found = list_of(pilot)
            await until(pilot, lambda: found.rows)
            assert {row.owner for row in found.rows if isinstance(row, ProcessRow)} == {"grace"}
            assert {row.workload for row in found.rows if isinstance(row, ProcessRow)} == {"mine"}
            assert len(found.all_rows) > len(found.rows)
            await pilot.press("escape")
            await until(pilot, lambda: found.rows == tuple(found.rows) and len(found.rows) == len(found.all_rows))


async def test_audit_tells_what_was_done_while_it_is_open(tmp_path: Path) -> None:
    with simulated(tmp_path) as world:
        async with world.app().run_test(size=(140, 24)) as pilot:
            await until_looked(pilot)
            await pilot.press("0")
            await until_view(pilot, "audit")
            assert "nothing was done yet" in "\n".join(screen_text(pilot))
            waits = world.submit("first")
            await until(pilot, lambda: list_of(pilot).rows)
            line = "\n".join(screen_text(pilot))
            assert waits.id in line
            assert "submit" in line
            world.start_waiting()
            await until(pilot, lambda: len(list_of(pilot).rows) > 1)
            newest = [list_of(pilot).key_of(row) for row in list_of(pilot).rows]
            assert newest == sorted(newest, key=int, reverse=True)


async def test_what_is_wrong_is_told_worst_first_and_opened(tmp_path: Path) -> None:
    with simulated(tmp_path, SICK) as world:
        async with world.app().run_test(size=(140, 40)) as pilot:
            await until_looked(pilot)
            await pilot.press("8")
            await until_view(pilot, "events")
            wrong = list_of(pilot, "#conditions")
            await until(pilot, lambda: len(wrong.rows) > 2)
            rows = [row for row in wrong.rows if isinstance(row, TroubleRow)]
            ranks = [row.about.severity.rank for row in rows]
            assert ranks == sorted(ranks, reverse=True)
            await until(pilot, lambda: len(list_of(pilot, "#events").rows) >= len(rows))
            assert pilot.app.focused is wrong
            about = rows[0].about
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(pilot.app.screen, ToldScreen))
            await until(pilot, lambda: about.what[:20] in "\n".join(screen_text(pilot)))
            await pilot.press("escape")
            await until_view(pilot, "events")
            wrong.move_to(next(row.key for row in rows if row.about.device is not None))
            await pilot.press("o")
            await until(pilot, lambda: pilot.app.view.NAME in ("device", "node"))  # type: ignore[attr-defined]


async def test_events_are_looked_for_as_far_back_as_is_wanted(tmp_path: Path) -> None:
    with simulated(tmp_path, SICK) as world:
        async with world.app().run_test(size=(120, 30)) as pilot:
            await until_looked(pilot)
            await pilot.press("8")
            await until_view(pilot, "events")
            for span in ("week", "month", "hour", "day"):
                await pilot.press("d")
                await until(pilot, lambda span=span: f"the last {span}" in "\n".join(screen_text(pilot)))


async def test_alerts_say_that_nobody_looks() -> None:
    from tui.fleet_fixture import fleet

    async with fleet().app().run_test(size=(120, 24)) as pilot:
        await until_looked(pilot)
        await pilot.press("9")
        await until_view(pilot, "alerts")
        await until(pilot, lambda: "nobody has looked yet" in text_of(pilot, "#crumb"))
