"""Moves of running work and changes ahead of demand, and what was held back."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from gpualloc.model.assessment import Sized
from gpualloc.model.rebalancing import HeldBack, Move
from gpualloc.views.look import Look, Role
from gpualloc.views.text import escape, plural

_INDENT = "    "
_SHOWN = 8
"""Moves held back that are shown; the rest is counted."""


def better_data(moves: Sequence[Move], held_back: Sequence[HeldBack], *, cut: bool) -> dict[str, object]:
    """The part of `data` that tells of moves."""
    return {
        "moves": [_data(move) for move in moves],
        "held_back": [{**_data(held.move), "guard": held.guard, "guard_detail": held.why} for held in held_back],
        "cut": cut,
    }


def better_text(moves: Sequence[Move], held_back: Sequence[HeldBack], names: Mapping[str, str], look: Look) -> str:
    """What is moved and what is not, each with why; empty when there is neither."""
    lines = []
    if moves:
        lines += ["", f"{plural(len(moves), 'move')} beyond places for waiting work:"]
        for move in moves:
            lines += _lines(move, move.why, names, look, Role.GOOD)
    if held_back:
        lines += ["", f"{plural(len(held_back), 'move')} held back:"]
        for held in held_back[:_SHOWN]:
            lines += _lines(held.move, f"{held.guard}: {held.why}", names, look, Role.WARN)
        if len(held_back) > _SHOWN:
            lines.append(f"  and {len(held_back) - _SHOWN} more")
    return "\n".join(lines)


def sizes_text(sizes: Sequence[Sized], look: Look) -> str:
    """Running work that asked for more than it uses, as a proposal; empty when there is none."""
    if not sizes:
        return ""
    lines = ["", "could do with less (nothing is changed; `gpualloc assess` tells more):"]
    for one in sizes[:_SHOWN]:
        lines.append(f"  {escape(one.id)} ({escape(one.name)}) of {escape(one.owner)}: {one.asked} -> {one.proposed}")
        why = escape("; ".join(one.why))
        lines += textwrap.wrap(why, look.width, initial_indent=_INDENT, subsequent_indent=_INDENT)
    if len(sizes) > _SHOWN:
        lines.append(f"  and {len(sizes) - _SHOWN} more")
    return "\n".join(lines)


def move_line(move: Move) -> str:
    """A move that was made, as one line."""
    return f"{move.kind.value} {escape(move.workload or move.device or '')} on {escape(move.node)}: {escape(move.why)}"


def _lines(move: Move, why: str, names: Mapping[str, str], look: Look, role: Role) -> list[str]:
    what = move.workload or move.device or ""
    name = f" ({escape(names[what])})" if what in names else ""
    goes = "" if move.to is None or move.to.node == move.node else f" to {escape(move.to.node)}"
    price = f"gains {move.gain_gpu_s:.0f} GPU-seconds, costs {move.cost_gpu_s:.0f}"
    head = f"  {look.paint(move.kind.value, role)} {escape(what)}{name} on {escape(move.node)}{goes}; {price}"
    return [head, *textwrap.wrap(escape(why), look.width, initial_indent=_INDENT, subsequent_indent=_INDENT)]


def _data(move: Move) -> dict[str, object]:
    return {
        "kind": move.kind.value,
        "node": move.node,
        "workload": move.workload,
        "device": move.device,
        "to_node": None if move.to is None else move.to.node,
        "to_devices": None if move.to is None else [grant.visible_uuid for grant in move.to.grants],
        "watts": move.watts,
        "gain_gpu_s": move.gain_gpu_s,
        "cost_gpu_s": move.cost_gpu_s,
        "bundle": move.bundle,
        "rests_on": list(move.rests_on),
        "why": move.why,
    }
