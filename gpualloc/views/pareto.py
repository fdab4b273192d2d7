"""Plans side by side: what differs between them as columns, what does not as one line."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence

from msgspec import Struct, to_builtins

from gpualloc.model.plan import Plan
from gpualloc.planning.figures import Figures
from gpualloc.planning.pareto import Choice
from gpualloc.views.look import Look, Role
from gpualloc.views.plan import plan_data
from gpualloc.views.table import Column, table
from gpualloc.views.text import duration, escape, plural

UNKNOWN = "unknown"


class Comparison(Struct, frozen=True):
    """Plans of which none is better than another."""

    choices: tuple[Choice, ...]
    tried: int
    """How many plans were made."""
    waiting: int
    """How many workloads are to be placed."""
    simulated: bool
    own: str = ""
    """Name of the policy that decides when none is named."""
    own_flags: str = ""
    """What the command line said of it, such as `--policy-profile night`; empty when it is as configured."""


_Shown = tuple[str, Callable[[Figures], str]]
"""The title of a figure, and how it reads."""
SHOWN: tuple[_Shown, ...] = (
    ("placed", lambda found: str(found.placed)),
    ("GPUs on", lambda found: str(found.gpus_on)),
    ("nodes on", lambda found: str(found.nodes_on)),
    ("cost/h", lambda found: _number(found.cost_per_hour, ".2f")),
    ("watts", lambda found: _number(found.watts, ".0f")),
    ("wait", lambda found: UNKNOWN if found.start_delay_s is None else duration(found.start_delay_s)),
    ("speed", lambda found: _number(found.speed, ".3g")),
    ("disturbed", lambda found: str(found.disturbed)),
)
"""Every figure of a plan, in the order in which they are told."""
_MOST_COLUMNS = 5
"""Figures that have a column of their own."""


def comparison_data(comparison: Comparison) -> dict[str, object]:
    """`data` of `plan --pareto --json`."""
    return {
        "simulated": comparison.simulated,
        "tried": comparison.tried,
        "waiting": comparison.waiting,
        "plans": [_choice_data(choice) for choice in comparison.choices],
    }


def _choice_data(choice: Choice) -> dict[str, object]:
    return {
        "objective": choice.plan.objective.value,
        "policy": choice.plan.policy,
        "figures": to_builtins(choice.figures),
        "also": [{"objective": objective.value, "policy": policy} for objective, policy in choice.also],
        "plan": plan_data(choice.plan),
    }


def comparison_text(comparison: Comparison, look: Look) -> str:
    """The plans for a person, and how to take one."""
    choices = comparison.choices
    mark = f", {look.paint('simulated', Role.WARN)}" if comparison.simulated else ""
    made, waiting = plural(comparison.tried, "plan"), plural(comparison.waiting, "waiting workload")
    head = f"the best of {made} for {waiting}{mark}"
    apart = [(title, read) for title, read in SHOWN if len({read(choice.figures) for choice in choices}) > 1]
    lines = [head, _table(choices, apart, look)]
    alike = [f"{title} {read(choices[0].figures)}" for title, read in SHOWN if (title, read) not in apart]
    if alike:
        lines += _wrapped(f"{'each' if len(choices) > 1 else 'it'}: {', '.join(alike)}", look)
    for choice in choices:
        if choice.also:
            same = ", ".join(f"{objective.value} {escape(policy)}" for objective, policy in choice.also)
            lines += _wrapped(f"as {_name(choice)}: {same}", look)
    return "\n".join([*lines, "", f"take one with: {_command(choices[-1].plan, comparison)}"])


def _command(plan: Plan, comparison: Comparison) -> str:
    """What makes the plan again; a policy that is named decides without the profile that is configured."""
    policy = comparison.own_flags if plan.policy == comparison.own else f"--policy {plan.policy}"
    parts = ["gpualloc plan", f"--objective {plan.objective.value}", policy, "-o FILE"]
    return escape(" ".join(part for part in parts if part))


def _table(choices: Sequence[Choice], apart: Sequence[_Shown], look: Look) -> str:
    """What differs; what does not find room as a column comes last in words, below its row where it must."""
    columns = [Column("objective"), Column("policy", least=8)]
    columns += [Column(title, right=True) for title, _ in apart[:_MOST_COLUMNS]]
    rest = apart[_MOST_COLUMNS:]
    if rest:
        columns.append(Column("besides", below=True))
    body = []
    for choice in choices:
        cells = [choice.plan.objective.value, escape(choice.plan.policy)]
        cells += [read(choice.figures) for _, read in apart[:_MOST_COLUMNS]]
        body.append(cells + ([", ".join(f"{title} {read(choice.figures)}" for title, read in rest)] if rest else []))
    return table(columns, body, look)


def _name(choice: Choice) -> str:
    return f"{choice.plan.objective.value} {escape(choice.plan.policy)}"


def _number(value: float | None, form: str) -> str:
    return UNKNOWN if value is None else format(value, form)


def _wrapped(text: str, look: Look) -> list[str]:
    return textwrap.wrap(text, look.width, subsequent_indent="  ", break_on_hyphens=False)
