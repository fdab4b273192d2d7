"""`gpualloc scale`: let the size of pools follow their demand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from msgspec.structs import replace

from gpualloc.cli import shared
from gpualloc.cli.drain import drained
from gpualloc.cli.outcome import CHANGES, Answer
from gpualloc.cli.reporting import tell_step
from gpualloc.cli.stopping import stoppable
from gpualloc.cli.trace_files import opened
from gpualloc.engine.context import Context
from gpualloc.engine.scale import Proposal, Scaled, interrupted, propose, scaled_pools, too_slow
from gpualloc.engine.scale import scale as scale_pool
from gpualloc.errors import UnreachableError, UsageError
from gpualloc.model.scaling import ScalingSettings
from gpualloc.model.spot import PriceHistory
from gpualloc.model.units import parse_duration_s
from gpualloc.views.scale import PoolSize, size_data, sizes_text

app = shared.verb_app()


@app.command()
def scale(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[POOL]...", help="Pools; all that are scaled if none.")
    ] = None,
    *,
    apply: Annotated[bool, typer.Option("--apply", help="Do it; without it nothing is changed.")] = False,
    node: Annotated[
        str | None, typer.Option("--interrupted", metavar="NODE", help="This node is going to be taken away: empty it.")
    ] = None,
    within: Annotated[
        str | None, typer.Option("--in", metavar="DURATION", help="With --interrupted: until it is gone.")
    ] = None,
    wait: shared.Wait = None,
    detailed: shared.DetailedExitCode = False,
) -> Answer:
    """Tell how many nodes pools should have, and with --apply have your programs add them or take them away."""
    wait_s = shared.wait_s(wait)
    if node is not None:
        return _interrupted(ctx, names, node, within, wait_s, apply=apply)
    if within is not None:
        raise UsageError("--in says when a node is gone", hint="name it: --interrupted NODE")
    with shared.open_world(ctx, looks=True) as world:
        pools = scaled_pools(world, names or ())
        with stoppable(world) as going:
            done, unreached = _each(going, pools, wait_s, apply=apply)
        simulated = world.simulated
    sizes = [_size(each, applied=apply) for each in done]
    errors = (*(error for each in done if (error := each.error) is not None), *unreached)
    changes = detailed and any(each.proposal.changes for each in done)
    return Answer(
        {"simulated": simulated, "pools": [size_data(size) for size in sizes]},
        lambda look: sizes_text(sizes, look, simulated=simulated),
        errors=errors,
        exit_code=errors[0].exit_code if errors else CHANGES if changes else 0,
    )


def _each(
    world: Context, pools: Sequence[str], wait_s: float, *, apply: bool
) -> tuple[list[Scaled], list[UnreachableError]]:
    """What became of each pool, and what is wrong with those of which no node answers; raises when that is all."""
    done, unreached = [], []
    for pool in pools:
        try:
            done.append(_one(world, pool, wait_s, apply=apply))
        except UnreachableError as error:
            unreached.append(error)
    if not done:
        raise unreached[0]
    return done, unreached


def _one(world: Context, pool: str, wait_s: float, *, apply: bool) -> Scaled:
    prices = _prices(world.settings.scaling[pool])
    if not apply:
        return Scaled(propose(world, pool, prices))
    return scale_pool(world, pool, prices, wait_s=wait_s, on_step=tell_step)


def _prices(settings: ScalingSettings) -> PriceHistory:
    if settings.prices is None:
        return PriceHistory()
    from gpualloc.sim.traces.lines import text_lines
    from gpualloc.sim.traces.prices import read_prices

    with opened(settings.prices) as stream:
        return read_prices(text_lines(stream, settings.prices), settings.prices)


def _interrupted(
    ctx: typer.Context, names: list[str] | None, node: str, within: str | None, wait_s: float, *, apply: bool
) -> Answer:
    if names or apply:
        raise UsageError("--interrupted is about one node, and acts at once", hint="leave pools and --apply out")
    in_s = None if within is None else parse_duration_s(within)
    with shared.open_world(ctx) as world:
        with stoppable(world) as going:
            done = interrupted(going, node, in_s, wait_s=wait_s, on_step=tell_step)
        answer = drained(done, evict=True, simulated=world.simulated)
    late = () if in_s is None else too_slow(done, in_s)
    return replace(answer, messages=tuple(f"{work} asks for longer than {in_s:g}s to save itself" for work in late))


def _size(done: Scaled, *, applied: bool) -> PoolSize:
    proposal: Proposal = done.proposal
    return PoolSize(
        pool=proposal.pool,
        policy=proposal.settings.policy.value,
        standing=proposal.view.standing,
        move=proposal.move,
        min_nodes=proposal.settings.min_nodes,
        max_nodes=proposal.settings.max_nodes,
        ordered=proposal.view.ordered,
        unknown=proposal.view.unknown,
        lots=proposal.lots,
        drained=proposal.drained,
        held=tuple((node.name, node.cordon or "") for node in proposal.view.held),
        leaving=tuple(node.name for node in proposal.view.leaving),
        empty=proposal.empty,
        applied=applied,
        answers=done.answers,
    )
