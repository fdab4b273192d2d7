"""Nodes that flap, a thousand that come at once, clocks that jump, and looks without an end in number."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from collections.abc import Iterator

from msgspec import structs
from textual.pilot import Pilot
from tui.fleet_fixture import A100, EVERY_S, NOW_S, FrozenMeter, FrozenWorld, device, fleet, large_fleet, node
from tui.steering import fleet_table, go, no_defect, screen_text, text_of, until, until_drawn, whole_text

from gpualloc.engine.context import Context
from gpualloc.engine.judging import MOST_EVENTS, Judge
from gpualloc.model.inventory import Node, NodeState
from gpualloc.tui.app import TopApp
from gpualloc.tui.options import TopOptions
from gpualloc.tui.recent import Recent
from gpualloc.tui.rows import Moment
from gpualloc.tui.state import State
from gpualloc.tui.watcher import Watcher

DAY_S = 86_400.0
FLAPS = 50
MOST_GROWTH_BYTES = 2_000_000
LOOKS = 2000


class Paced:
    """A world that is looked at once each time it is told to, a period later than before."""

    def __init__(self, world: FrozenWorld) -> None:
        self.world = world
        self.ctx: Context = world.context()
        self._begin = threading.Semaphore(0)
        self._judge = Judge(self.ctx)

    def look(self) -> Iterator[Node]:
        self._begin.acquire()
        yield from (structs.replace(one, at_s=self.world.now_s) for one in self.world.nodes)
        self.world.looks += 1

    def app(self) -> TopApp:
        source = structs.replace(self.world.source(), look=self.look, judge=self._judge.judge)
        return TopApp(self.ctx, source, TopOptions(every_s=0.001), title="gpualloc top", meter=FrozenMeter())

    async def looked(self, pilot: Pilot[None], times: int = 1) -> None:
        """Let it be looked at, and wait until that is drawn."""
        app = pilot.app
        assert isinstance(app, TopApp)
        for _ in range(times):
            before = app.watcher.seen().looks
            self.world.ticks_s += EVERY_S
            self.world.now_s += EVERY_S
            self._begin.release()
            await until(pilot, lambda before=before: app.watcher.seen().looks > before)  # type: ignore[misc]
        app.show_live()
        await pilot.pause()
        assert no_defect(pilot)

    def end(self) -> None:
        self._begin.release(1000)


def _aged(pilot: Pilot[None], age: str, *words: str) -> bool:
    """Whether a row that begins with these words ends with that age."""
    return any(line.split()[: len(words)] == list(words) and line.split()[-1] == age for line in screen_text(pilot))


async def test_a_node_that_flaps_at_every_look_piles_up_nothing() -> None:
    well = node("gpu01", (device("gpu01", 0, A100),))
    other = node("gpu02", (device("gpu02", 0, A100),))
    gone = Node(well.spec, NodeState.UNREACHABLE, NOW_S, reason="connection reset")
    paced = Paced(FrozenWorld((well, other), specs=(well.spec, other.spec)))
    app = paced.app()
    async with app.run_test(size=(160, 30)) as pilot:
        await paced.looked(pilot, 4)
        threads = threading.active_count()
        for flap in range(FLAPS):
            paced.world.nodes = ((gone, well)[flap % 2], other)
            await paced.looked(pilot)
            # It was heard in this look, or in the one before.
            age = "2s" if flap % 2 == 0 else "<1s"
            await until(pilot, lambda age=age: _aged(pilot, age, "gpu01"))  # type: ignore[misc]
            assert _aged(pilot, "<1s", "gpu02")
        assert threading.active_count() <= threads + 2
        judged = app.watcher.seen().judged
        assert len(judged.events) <= FLAPS
        assert len({event.key for event in judged.events}) == len(judged.events) <= MOST_EVENTS
        view = await go(pilot, "events")
        assert "Wrong now" in whole_text(pilot)
        assert view.is_on_top
    paced.end()


async def test_a_thousand_nodes_at_once_are_few_drawings_and_keys_go_on() -> None:
    world = large_fleet(1000, 8)
    half, go_on = threading.Event(), threading.Event()

    def look() -> Iterator[Node]:
        for place, one in enumerate(world.nodes):
            if place == 500:
                half.set()
                go_on.wait()
            yield one

    source = structs.replace(world.source(), look=look)
    app = TopApp(world.context(), source, TopOptions(every_s=3600.0), title="gpualloc top", meter=FrozenMeter())
    drawn = 0
    show_live = app.show_live

    def counted() -> None:
        nonlocal drawn
        drawn += 1
        show_live()

    app.show_live = counted  # type: ignore[method-assign]
    async with app.run_test(size=(160, 48)) as pilot:
        await until(pilot, half.is_set)
        await until(pilot, lambda: len(fleet_table(pilot).rows) > 1000)
        table = fleet_table(pilot)
        await pilot.press("j", "j")
        assert table.current is table.rows[2]
        go_on.set()
        await until(pilot, lambda: "1000/1000 nodes ok" in text_of(pilot, "#summary").replace(",", ""))
        await until(pilot, lambda: app.watcher.seen().looks == 1)
        # One word for all that came since it was asked: not one drawing for each node.
        assert drawn < 100
        await pilot.press("G")
        await until(pilot, lambda: table.current is table.rows[-1])
    go_on.set()


async def test_a_clock_that_jumps_leaves_ages_and_views_right() -> None:
    world = fleet()
    paced = Paced(world)
    async with paced.app().run_test(size=(160, 48)) as pilot:
        await paced.looked(pilot, 3)
        await until_drawn(pilot)
        for jump_s in (DAY_S, -2 * DAY_S, DAY_S):
            world.now_s += jump_s
            await paced.looked(pilot)
            await until(pilot, lambda: _aged(pilot, "<1s", "a100-01", "0"))
            pilot.app.say("told")  # type: ignore[attr-defined]
            await until(pilot, lambda: "told" in whole_text(pilot))
            for name, of in (("device", "a100-01/GPU-a100-01-0"), ("node", "a100-01"), ("events", ""), ("alerts", "")):
                await go(pilot, name, of)
                await paced.looked(pilot)
                await pilot.press("j", "k")
                assert no_defect(pilot)
            await pilot.press("1", "left_square_bracket", "right_square_bracket", "L")
            await pilot.pause()
            await paced.looked(pilot)
            assert no_defect(pilot)
    paced.end()


async def test_a_node_whose_own_clock_is_an_hour_off_is_as_old_as_its_answer() -> None:
    made = [(name, node(name, (device(name, 0, A100),))) for name in ("early", "late")]
    nodes = tuple(structs.replace(one, clock_offset_s=3600.0 if name == "early" else -3600.0) for name, one in made)
    world = FrozenWorld(nodes, specs=tuple(one.spec for one in nodes))
    async with world.app(options=TopOptions(every_s=0.05)).run_test(size=(160, 30)) as pilot:
        await until(pilot, lambda: "2/2 nodes ok" in text_of(pilot, "#summary"))
        for name in ("early", "late"):
            await until(pilot, lambda name=name: _aged(pilot, "<1s", name, "0"))  # type: ignore[misc]
        for name in ("early", "late"):
            await go(pilot, "device", f"{name}/GPU-{name}-0")


def test_two_thousand_looks_keep_little_more_than_two_hundred() -> None:
    one = node("gpu01", tuple(device("gpu01", index, A100, ratio=0.5) for index in range(8)))
    world = FrozenWorld((one,), specs=(one.spec,))
    source = structs.replace(world.source(), judge=Judge(world.context()).judge)
    watcher, recent = Watcher(source, EVERY_S, lambda _: None), Recent()
    state = State.of(watcher.seen(), Moment(world.ticks_s, world.now_s, EVERY_S))

    def look(times: int) -> int:
        nonlocal state
        for _ in range(times):
            world.ticks_s += EVERY_S
            world.now_s += EVERY_S
            world.nodes = (structs.replace(one, at_s=world.now_s),)
            watcher._look(world.ticks_s)
            state = state.then(watcher.seen(), Moment(world.ticks_s, world.now_s, EVERY_S))
            recent.take([seen.node for seen in state.seen.nodes if seen.node is not None])
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = look(LOOKS // 10)
        assert look(LOOKS) - before < MOST_GROWTH_BYTES
    finally:
        tracemalloc.stop()
    assert watcher.seen().looks == LOOKS * 11 // 10
