"""What a search for a better profile found."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from msgspec import Struct, to_builtins

from gpualloc.policies.profile import Profile
from gpualloc.policies.tuned import Pair, Standing, Tuned
from gpualloc.views.look import Look
from gpualloc.views.table import Column, table
from gpualloc.views.text import escape, plural

_ENDED = {
    "budget": "the budget was used up",
    "patience": "nothing better on the validation orders for a while",
    "time": "the time was used up",
    "interrupted": "it was interrupted",
    "exhausted": "there was nothing new to try",
}


class Searched(Struct, frozen=True):
    """What was searched for."""

    name: str
    """Of the profile."""
    policy: str
    reference: str
    """The policy that scores are relative to."""
    saved: str | None
    """Where the profile lies; None when it was not saved."""


def tuning_data(tuned: Tuned, search: Searched) -> dict[str, object]:
    """`data` of `tune --json`."""
    return {
        "profile": search.name,
        "policy": search.policy,
        "reference": search.reference,
        "better": tuned.better,
        "saved": search.saved,
        "ended": tuned.ended,
        "generations": tuned.generations,
        "candidates": tuned.candidates,
        "scores": scores_of(tuned),
        "content": None if tuned.profile is None else content_of(tuned.profile),
    }


def scores_of(tuned: Tuned) -> dict[str, object]:
    """How the reference, what there was before and what was found did, on both kinds of orders."""
    pairs = {"reference": tuned.reference, "before": tuned.before, "after": tuned.after}
    return {who: None if pair is None else to_builtins(pair) for who, pair in pairs.items()}


def content_of(profile: Profile) -> dict[str, object]:
    """What the profile decides by."""
    return dict(profile.weights) if profile.weights else dict(profile.expressions)


def tuning_text(tuned: Tuned, search: Searched, look: Look) -> str:
    """Both kinds of orders in one table, and how to use what was saved."""
    name, policy, reference = search.name, search.policy, search.reference
    loads = list(tuned.reference.training.unallocated_pct)
    columns = [Column("orders"), Column("policy", least=12)]
    columns += [Column(f"{load}%", right=True) for load in loads]
    columns += [Column("gangs", right=True), Column("CPU-only", right=True), Column("score", right=True)]
    labels = {reference: tuned.reference, f"{policy} as it is": tuned.before, f"{policy} by {name}": tuned.after}
    rows = [
        [kind, escape(label), *(_points(standing.unallocated_pct.get(load)) for load in loads), *_failed(standing)]
        for kind in ("training", "validation")
        for label, standing in _standings(labels, kind)
    ]
    head = (
        f"{plural(tuned.candidates, 'candidate')} in {plural(tuned.generations, 'generation')}; {_ENDED[tuned.ended]}"
    )
    legend = (
        f"% of GPUs unallocated at each load, % of gangs and of CPU-only tasks refused, and the score: points above "
        f"{reference}, starving included. Lower is better."
    )
    lines = [head, "", table(columns, rows, look), "", *textwrap.wrap(escape(legend), look.width)]
    if search.saved is not None:
        lines += ["", f"saved: {escape(search.saved)}", "nothing uses it until the configuration says so:"]
        lines += [f'  policy = "{policy}"', f'  policy_profile = "{name}"']
        lines.append(f"or, for one command: --policy {policy} --policy-profile {name}")
    return "\n".join(lines)


def _standings(labels: dict[str, Pair | None], kind: str) -> Iterator[tuple[str, Standing]]:
    for label, pair in labels.items():
        if pair is not None:
            yield label, pair.training if kind == "training" else pair.validation


def _failed(standing: Standing) -> list[str]:
    return [_points(standing.failed_gangs_pct), _points(standing.failed_cpu_only_pct), f"{standing.score:+.3f}"]


def _points(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
