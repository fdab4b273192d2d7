"""Let the size of pools follow their demand: decide, drain what goes, and have the operator's programs do the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.engine.chain import OnStep
from gpualloc.engine.context import Context
from gpualloc.engine.cordon import put
from gpualloc.engine.drain import Drain, drain
from gpualloc.engine.observe import observe
from gpualloc.engine.recover import check_going, recover
from gpualloc.engine.scale_measure import ENTRY, LEAVING, STEP_S, PoolView, is_empty, view
from gpualloc.engine.settle import catch_up, catch_up_locked
from gpualloc.errors import GpuallocError, HookError, NotFoundError, UsageError
from gpualloc.model.audit import AuditEntry
from gpualloc.model.inventory import Node, Snapshot
from gpualloc.model.scaling import ScaleAnswer, ScaleOrder, ScalingSettings
from gpualloc.model.spot import Lot, Offer, PriceHistory, Purchase
from gpualloc.model.workload import Workload
from gpualloc.planning.giving_way import Way
from gpualloc.policies.scaling.offers import lots, spot_offers
from gpualloc.policies.scaling.pool import Move, decide
from gpualloc.policies.scaling.registry import policy_of, rules_of
from gpualloc.ports import JournalWriter

ANSWER_WAIT_S = 60.0
"""How long to wait at least for the lock, to put in the audit trail what a program did."""
ZONE_LABEL = "zone"
"""Label of a node that says in which zone it lies."""


class Proposal(Struct, frozen=True):
    """What is to be done about the size of a pool."""

    pool: str
    settings: ScalingSettings
    view: PoolView
    move: Move
    lots: tuple[Lot, ...] = ()
    """From which offers nodes are to be bought; empty unless nodes are added."""
    drained: tuple[str, ...] = ()
    """Nodes to be given back now: they take no new work, and what runs there ends or gives way."""
    empty: tuple[str, ...] = ()
    """Nodes that are given back already and on which nothing runs any more: they can be taken away."""

    @property
    def changes(self) -> bool:
        """Whether anything is to be done."""
        return self.move.nodes > 0 or bool(self.drained or self.empty)


class Scaled(Struct, frozen=True):
    """What was done about it."""

    proposal: Proposal
    answers: tuple[tuple[ScaleOrder, ScaleAnswer], ...] = ()
    """Orders that were given, and what became of them."""
    drain: Drain | None = None
    """How work was made to give way; None where none was."""

    @property
    def error(self) -> GpuallocError | None:
        """What the command exits with; None when everything went well."""
        for order, answer in self.answers:
            if answer.problem is not None:
                done = "added to" if order.up else "taken away from"
                return HookError(
                    f"{len(answer.nodes)} of {order.count} nodes were {done} pool {order.pool}: {answer.problem}",
                    hint="gpualloc audit shows what the program said",
                )
        return self.drain.error if self.drain is not None else None


def propose(ctx: Context, pool: str, prices: PriceHistory) -> Proposal:
    """Look at a pool and say what is to be done; nothing is changed.

    Args:
        ctx: the ports.
        pool: its name.
        prices: history of spot prices; empty when there is none.

    Raises:
        NotFoundError: there is no such pool, or its size does not follow its demand.
        UnreachableError: none of its nodes answers.
    """
    names = _nodes_of(ctx, pool)
    snapshot = observe(ctx, names)
    return _proposal(ctx, pool, prices, snapshot, catch_up(ctx, snapshot))


def scale(
    ctx: Context, pool: str, prices: PriceHistory, *, wait_s: float = 0.0, on_step: OnStep | None = None
) -> Scaled:
    """Do what `propose` would say now, decided under the apply lock.

    Nodes are added by the operator's program. A node that is given back is drained first, and taken away by the
    program once nothing runs there: in this call, or in a later one.

    Args:
        ctx: the ports.
        pool: its name.
        prices: history of spot prices; empty when there is none.
        wait_s: how long to wait for the apply lock.
        on_step: told of each step as it moves.

    Raises:
        As `propose`, and
        LockedError: another gpualloc is at work.
        UsageError: no program is configured for what is to be done, or the nodes are simulated.
    """
    _need_real(ctx)
    answers = []
    with ctx.journal.write("scale", wait_s) as writer:
        recover(ctx, writer, on_step)
        proposal = _look_again(ctx, writer, pool, prices)
        order = _asked(ctx, writer, _up(ctx, proposal)) if proposal.move.nodes > 0 else None
        if proposal.drained:
            _need_program(proposal.settings.down_hook, pool, "down")
            put(ctx, writer, [(name, None) for name in proposal.drained], LEAVING + pool, drain=True)
            writer.save((), (_entry(ctx, pool, "down", "drained", nodes=list(proposal.drained)),))
    if order is not None:
        answers.append((order, _carried_out(ctx, order, wait_s)))
    check_going(ctx)
    emptied = _evicted(ctx, proposal, wait_s, on_step)
    with ctx.journal.write("scale", wait_s) as writer:
        latest = _look_again(ctx, writer, pool, prices)
        order = _asked(ctx, writer, _down(ctx, latest)) if latest.empty else None
    if order is not None:
        answers.append((order, _carried_out(ctx, order, wait_s)))
    return Scaled(proposal, tuple(answers), emptied)


def interrupted(
    ctx: Context, node: str, in_s: float | None, *, wait_s: float = 0.0, on_step: OnStep | None = None
) -> Drain:
    """A node is going to be taken away by the one who sold it: save the work there while there is time.

    Args:
        ctx: the ports.
        node: its name.
        in_s: seconds until it is gone; None is unknown.
        wait_s: how long to wait for the apply lock.
        on_step: told of each step as it moves.

    Raises:
        As `drain`.
    """
    told = "soon" if in_s is None else f"in {in_s:g}s"
    done = drain(ctx, [node], None, f"taken away {told}", evict=True, wait_s=wait_s, on_step=on_step)
    with ctx.journal.write("scale", wait_s) as writer:
        detail = {"state": "interrupted", "in_s": in_s, "staying": list(done.staying)}
        writer.save((), (AuditEntry(ctx.clock.now_s(), ENTRY, ctx.actor, None, node, detail),))
    return done


def too_slow(done: Drain, in_s: float) -> tuple[str, ...]:
    """Ids of the work that saves itself by its checkpoint hook and may take longer for it than there is time."""
    by_hook = [each.workload for each in done.concerned if each.way_out and each.way_out.way is Way.CHECKPOINT]
    return tuple(work.id for work in by_hook if work.request.checkpoint_grace_s > in_s)


def scaled_pools(ctx: Context, named: Sequence[str]) -> tuple[str, ...]:
    """The pools to look at: those named, or all whose size follows their demand.

    Raises:
        NotFoundError: a pool that is named has no `[pools.NAME.scaling]`.
        UsageError: no pool has.
    """
    for pool in named:
        _settings_of(ctx, pool)
    pools = tuple(dict.fromkeys(named)) or tuple(sorted(ctx.settings.scaling))
    if not pools:
        raise UsageError("no pool is scaled", hint="docs/scaling.md: [pools.NAME.scaling] in the configuration")
    return pools


def _look_again(ctx: Context, writer: JournalWriter, pool: str, prices: PriceHistory) -> Proposal:
    snapshot = observe(ctx, _nodes_of(ctx, pool))
    catch_up_locked(ctx, writer, snapshot)
    work = ctx.journal.workloads(ended_since_s=ctx.clock.now_s() - STEP_S)
    return _proposal(ctx, pool, prices, snapshot, work)


def _proposal(ctx: Context, pool: str, prices: PriceHistory, snapshot: Snapshot, work: Sequence[Workload]) -> Proposal:
    settings = _settings_of(ctx, pool)
    seen = view(ctx, pool, settings, snapshot, work)
    move = decide(seen.standing, rules_of(settings), policy_of(settings))
    gone = seen.taken
    empty = tuple(node.name for node in seen.leaving if node.name not in gone and is_empty(node, work))
    proposal = Proposal(pool, settings, seen, move, empty=empty)
    if move.nodes > 0:
        return replace(proposal, lots=_lots(ctx, proposal, prices))
    if move.nodes < 0:
        return _with_drained(proposal, work)
    return proposal


def _lots(ctx: Context, proposal: Proposal, prices: PriceHistory) -> tuple[Lot, ...]:
    nodes = proposal.view.serving
    zones = Counter(node.spec.labels.get(ZONE_LABEL, "") for node in nodes)
    known = [node.spec.price_per_gpu_hour for node in nodes if node.spec.price_per_gpu_hour is not None]
    stays = Offer(Purchase.ON_DEMAND, None, known[0] if known else None)
    offers = spot_offers(prices, ctx.clock.now_s())
    return lots(proposal.move.nodes, offers, stays, proposal.settings.spot, zones)


def _with_drained(proposal: Proposal, work: Sequence[Workload]) -> Proposal:
    """Which nodes go: those on which nothing runs, then, where work may be made to give way, those with the least."""
    count, evict = -proposal.move.nodes, proposal.settings.evict
    able = [node for node in proposal.view.serving if node.manageable]
    empty = [node for node in able if is_empty(node, work)]
    busy = [node for node in able if node not in empty and not _has_strangers(node)] if evict else []
    chosen = (empty + sorted(busy, key=lambda node: (len(_busy_devices(node)), node.name)))[:count]
    why = proposal.move.why
    if len(chosen) < count:
        why += f"; {count - len(chosen)} more would go, and work runs on all others"
    move = replace(proposal.move, nodes=-len(chosen), why=why)
    return replace(proposal, move=move, drained=tuple(node.name for node in chosen))


def _has_strangers(node: Node) -> bool:
    return any(process.workload is None for process in node.processes)


def _busy_devices(node: Node) -> set[str]:
    return {process.device for process in node.processes} | {claim.device for claim in node.claims}


def _evicted(ctx: Context, proposal: Proposal, wait_s: float, on_step: OnStep | None) -> Drain | None:
    """Make the work on nodes that are given back give way, where that is wanted."""
    if not proposal.settings.evict:
        return None
    leaving = [node.name for node in proposal.view.leaving if node.name not in proposal.empty]
    nodes = [*proposal.drained, *leaving]
    reason = LEAVING + proposal.pool
    return drain(ctx, nodes, None, reason, evict=True, wait_s=wait_s, on_step=on_step) if nodes else None


def _up(ctx: Context, proposal: Proposal) -> ScaleOrder:
    return ScaleOrder(
        id=ctx.fresh_id("s"),
        pool=proposal.pool,
        up=True,
        count=proposal.move.nodes,
        why=proposal.move.why,
        lots=proposal.lots,
    )


def _down(ctx: Context, proposal: Proposal) -> ScaleOrder:
    return ScaleOrder(
        id=ctx.fresh_id("s"),
        pool=proposal.pool,
        up=False,
        count=len(proposal.empty),
        why="they were given back, and nothing runs there",
        nodes=proposal.empty,
    )


def _asked(ctx: Context, writer: JournalWriter, order: ScaleOrder) -> ScaleOrder:
    """Put an order in the audit trail before its program runs: from now on no other command gives it."""
    _need_program(_command(ctx, order), order.pool, _direction(order))
    writer.save((), (_entry(ctx, order.pool, _direction(order), "asked", **_told(order), nodes=list(order.nodes)),))
    return order


def _carried_out(ctx: Context, order: ScaleOrder, wait_s: float) -> ScaleAnswer:
    """Have the program carry the order out, without the apply lock, since that may take minutes."""
    answer = ctx.scale_hook.run(_command(ctx, order), _settings_of(ctx, order.pool).hook_timeout_s, order)
    state = "done" if answer.problem is None else "failed"
    outcome = {"problem": answer.problem, "output": answer.output, "seconds": round(answer.seconds, 3)}
    entry = _entry(ctx, order.pool, _direction(order), state, **_told(order), nodes=list(answer.nodes), **outcome)
    with ctx.journal.write("scale", max(wait_s, ANSWER_WAIT_S)) as writer:
        writer.save((), (entry,))
    return answer


def _command(ctx: Context, order: ScaleOrder) -> tuple[str, ...]:
    settings = _settings_of(ctx, order.pool)
    return settings.up_hook if order.up else settings.down_hook


def _direction(order: ScaleOrder) -> str:
    return "up" if order.up else "down"


def _told(order: ScaleOrder) -> Mapping[str, object]:
    return {"order": order.id, "count": order.count, "why": order.why}


def _entry(ctx: Context, pool: str, direction: str, state: str, **more: object) -> AuditEntry:
    detail = {"pool": pool, "direction": direction, "state": state, **more}
    return AuditEntry(ctx.clock.now_s(), ENTRY, ctx.actor, None, None, detail)


def _need_real(ctx: Context) -> None:
    if ctx.simulated:
        raise UsageError(
            "the nodes are simulated, and the programs of a pool would buy real ones",
            hint="without --apply it is told what would be done; gpualloc simulate scale plays recorded demand",
        )


def _need_program(command: Sequence[str], pool: str, direction: str) -> None:
    if not command:
        raise UsageError(
            f"pool {pool} has no program that could do this",
            hint=f"docs/scaling.md: pools.{pool}.scaling.{direction}_hook in the configuration",
        )


def _settings_of(ctx: Context, pool: str) -> ScalingSettings:
    if pool not in ctx.settings.scaling:
        known = ", ".join(sorted(ctx.settings.scaling)) or "none"
        raise NotFoundError(
            f"pool {pool!r} is not scaled", hint=f"scaled are: {known}; docs/scaling.md tells how to set it up"
        )
    return ctx.settings.scaling[pool]


def _nodes_of(ctx: Context, pool: str) -> list[str]:
    return [spec.name for spec in ctx.fleet.specs() if spec.pool == pool]
