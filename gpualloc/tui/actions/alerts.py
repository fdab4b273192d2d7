"""Keep alerts from their channels for a time."""

from __future__ import annotations

from functools import partial

from gpualloc.engine.alerting import silence as silence_alerts
from gpualloc.engine.alerting import unsilence as unsilence_alerts
from gpualloc.engine.chain import OnStep
from gpualloc.model.units import parse_duration_s
from gpualloc.tui.actions.action import AlertTarget, Answers, Ask, Change, Scene, Targets
from gpualloc.tui.actions.told import answered, one_by_one, text_lines
from gpualloc.tui.cells import cell
from gpualloc.tui.state import State
from gpualloc.tui.text import plain
from gpualloc.views.alerts import silence_text
from gpualloc.views.text import plural

_HERE, _RULE, _NODE = "this rule on this node", "this rule everywhere", "everything on this node"
_About = tuple[str | None, str | None]
"""A rule, and a node; None is any."""


def silence_asks(_: State, __: Targets) -> tuple[Ask, ...]:
    """For how long, how much, and why."""
    return (
        Ask("for", "for", "1h", "such as 30m, 2h, 1d"),
        Ask("about", "about", _HERE, choices=(_HERE, _RULE, _NODE)),
        Ask("reason", "reason", placeholder="as others read it"),
    )


def silence(scene: Scene, targets: Targets, answers: Answers) -> Change:
    """Silence alerts; they are watched all the same.

    Raises:
        UsageError: the time is none.
    """
    ctx = scene.ctx
    for_text, reason = answers["for"].strip(), answers.get("reason", "").strip() or None
    for_s = answered("for", parse_duration_s, for_text)
    abouts = _abouts(targets, answers.get("about", _HERE))

    def do(_: OnStep) -> tuple[str, ...]:
        def one(about: _About) -> str:
            return silence_text(silence_alerts(ctx, *about, for_s, reason))

        return one_by_one("silenced", [(_told(about), partial(one, about)) for about in abouts])

    flags = ("--for", for_text, *(("--reason", reason) if reason else ()))
    return Change(
        f"Silence {plural(len(abouts), 'alert')}",
        tuple(cell(f"{_told(about)}: told to nobody for {plain(for_text)}") for about in abouts),
        tuple(("alerts", "silence", *_words(about), *flags) for about in abouts),
        do,
        "Whoever is paged for these is not.",
    )


def unsilence(scene: Scene, targets: Targets, _: Answers) -> Change:
    """End the silences that are about these alerts."""
    ctx = scene.ctx
    keys = [target for target in targets if isinstance(target, AlertTarget)]
    found = [
        each
        for each in ctx.alerts.silences(ctx.clock.now_s())
        if any(each.rule in (None, key.rule) and each.node in (None, key.node) for key in keys)
    ]
    # Without any, the engine says so in its own words.
    abouts = list(dict.fromkeys((each.rule, each.node) for each in found)) or _abouts(targets, _HERE)

    def do(_: OnStep) -> tuple[str, ...]:
        def one(about: _About) -> str:
            unsilence_alerts(ctx, *about)
            return f"{_told(about)}: told again"

        return one_by_one("told again", [(_told(about), partial(one, about)) for about in abouts])

    lines = [line for each in found for line in text_lines(silence_text(each))]
    return Change(
        f"End {plural(len(found), 'silence')}",
        tuple(lines) or (cell("nothing like that is silenced"),),
        tuple(("alerts", "unsilence", *_words(about)) for about in abouts),
        do,
    )


def _abouts(targets: Targets, about: str) -> list[_About]:
    keys = [target for target in targets if isinstance(target, AlertTarget)]
    found = [(None if about == _NODE else key.rule, None if about == _RULE else key.node) for key in keys]
    return list(dict.fromkeys(found))


def _told(about: _About) -> str:
    rule, node = about
    parts = [f"rule {plain(rule, 60)}" if rule else "", f"node {plain(node)}" if node else ""]
    return ", ".join(part for part in parts if part)


def _words(about: _About) -> tuple[str, ...]:
    rule, node = about
    return (*((rule,) if rule else ()), *(("--node", node) if node else ()))
