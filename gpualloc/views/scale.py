"""What is to be done, or was done, about the size of pools."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from gpualloc.model.scaling import ScaleAnswer, ScaleOrder
from gpualloc.model.spot import Lot
from gpualloc.policies.scaling.pool import Move, Standing
from gpualloc.views.look import Look, Role
from gpualloc.views.text import UNKNOWN, escape, percent, plural


class PoolSize(Struct, frozen=True):
    """A pool, and what is to be done about its size."""

    pool: str
    policy: str
    standing: Standing
    move: Move
    min_nodes: int
    max_nodes: int
    ordered: int
    unknown: tuple[str, ...]
    """Why the reading is not complete."""
    lots: tuple[Lot, ...]
    drained: tuple[str, ...]
    """Nodes to be given back now."""
    held: tuple[tuple[str, str], ...]
    """Nodes that take no work for another reason, and the reason: they count as not there."""
    leaving: tuple[str, ...]
    """Nodes that are given back already."""
    empty: tuple[str, ...]
    """Of these, on which nothing runs any more."""
    applied: bool
    answers: tuple[tuple[ScaleOrder, ScaleAnswer], ...] = ()


def size_data(size: PoolSize) -> dict[str, object]:
    """One pool as scripts read it."""
    standing = size.standing
    return {
        "pool": size.pool,
        "policy": size.policy,
        "nodes": standing.nodes,
        "ordered": size.ordered,
        "min_nodes": size.min_nodes,
        "max_nodes": size.max_nodes,
        "gpus_per_node": standing.gpus_per_node,
        "demand_gpus": standing.demand_gpus,
        "complete": standing.complete,
        "unknown": list(size.unknown),
        "cpu_ratio": standing.cpu_ratio,
        "load": standing.load(),
        "soon_gpus": standing.soon_gpus,
        "later_gpus": standing.later_gpus,
        "change": size.move.nodes,
        "wished": size.move.wished,
        "why": size.move.why,
        "offers": [_lot_data(lot) for lot in size.lots],
        "drained": list(size.drained),
        "held": [{"node": node, "reason": reason} for node, reason in size.held],
        "leaving": list(size.leaving),
        "empty": list(size.empty),
        "applied": size.applied,
        "orders": [_order_data(order, answer) for order, answer in size.answers],
    }


def sizes_text(sizes: Sequence[PoolSize], look: Look, *, simulated: bool) -> str:
    """Some lines for each pool."""
    head = [look.paint("simulated", Role.WARN)] if simulated else []
    return "\n".join([*head, *(line for size in sizes for line in _lines(size, look))])


def _lines(size: PoolSize, look: Look) -> list[str]:
    standing = size.standing
    coming = f", {size.ordered} of them on their way" if size.ordered else ""
    demand = UNKNOWN if standing.demand_gpus is None else f"{standing.demand_gpus:g}"
    least = "" if standing.complete else "at least "
    lines = [
        f"{look.paint(escape(size.pool), Role.STRONG)}: {plural(standing.nodes, 'node')}{coming} "
        f"({size.min_nodes} to {size.max_nodes}), {least}{demand} GPUs wanted, load {percent(standing.load())}",
        f"  {size.policy}: {_change(size, look)}: {escape(size.move.why)}",
    ]
    lines += [f"  not read: {escape(why)}" for why in size.unknown]
    lines += [f"  takes no work: {escape(node)}: {escape(reason)}" for node, reason in size.held]
    lines += [f"  {_lot(lot)}" for lot in size.lots]
    if size.drained:
        lines.append(f"  drained: {escape(', '.join(size.drained))}")
    waiting = [node for node in size.leaving if node not in size.empty]
    if waiting:
        lines.append(f"  given back once nothing runs there: {escape(', '.join(waiting))}")
    if size.empty:
        lines.append(f"  can be taken away: {escape(', '.join(size.empty))}")
    return lines + [f"  {_answer(order, answer, look)}" for order, answer in size.answers]


def _change(size: PoolSize, look: Look) -> str:
    count = plural(abs(size.move.nodes), "node")
    if not size.move.nodes:
        return "no change"
    if size.move.nodes > 0:
        return look.paint(f"add {count}", Role.WARN)
    return look.paint(f"give {count} back", Role.WARN)


def _lot(lot: Lot) -> str:
    offer = lot.offer
    price = UNKNOWN if offer.per_gpu_hour is None else f"{offer.per_gpu_hour:g}"
    zone = "" if offer.zone is None else f" in {escape(offer.zone)}"
    count = plural(lot.nodes, "node") if lot.nodes else "what is not to be had"
    often = offer.interruptions_per_hour
    risk = "" if often is None else f", {often:g} interruptions per hour"
    return f"{count}: {offer.purchase.value}{zone} at {price} per GPU and hour{risk}"


def _answer(order: ScaleOrder, answer: ScaleAnswer, look: Look) -> str:
    done = "added" if order.up else "taken away"
    names = f": {escape(', '.join(answer.nodes))}" if answer.nodes else ""
    line = f"order {order.id}: {len(answer.nodes)} of {plural(order.count, 'node')} {done}{names}"
    return line if answer.problem is None else f"{line}; {look.paint(escape(answer.problem), Role.BAD)}"


def _lot_data(lot: Lot) -> dict[str, object]:
    return {
        "purchase": lot.offer.purchase.value,
        "zone": lot.offer.zone,
        "nodes": lot.nodes,
        "price_per_gpu_hour": lot.offer.per_gpu_hour,
        "interruptions_per_hour": lot.offer.interruptions_per_hour,
    }


def _order_data(order: ScaleOrder, answer: ScaleAnswer) -> dict[str, object]:
    return {
        "order": order.id,
        "direction": "up" if order.up else "down",
        "count": order.count,
        "nodes": list(answer.nodes),
        "problem": answer.problem,
        "seconds": round(answer.seconds, 3),
    }
