"""What is sent of transitions: one document for each channel, however many alerts it is about."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

from gpualloc.model.alert import LOG, AlertRule, AlertState, Notice, Transition

FORMAT = 1
"""Version of the document; raised when something in it is renamed or taken away."""
MAX_ALERTS = 200
"""Most alerts of one document; more are sent in several."""
MAX_TEXT_CHARS = 1000


def notices_of(
    transitions: Sequence[Transition], rules: Mapping[str, AlertRule], *, simulated: bool, test: bool = False
) -> tuple[Notice, ...]:
    """What goes to the channels of the rules; nothing of what a silence keeps back, or of a rule that is gone."""
    by_channel: dict[str, list[Transition]] = {}
    for transition in transitions:
        rule = rules.get(transition.rule)
        for channel in rule.deliver if rule is not None and not transition.silenced else ():
            if channel != LOG:
                by_channel.setdefault(channel, []).append(transition)
    return tuple(
        _notice(channel, told[at : at + MAX_ALERTS], simulated=simulated, test=test)
        for channel, told in sorted(by_channel.items())
        for at in range(0, len(told), MAX_ALERTS)
    )


def transition_data(transition: Transition) -> dict[str, object]:
    """A transition as programs read it."""
    return {
        "id": transition.id,
        "at_s": transition.at_s,
        "rule": transition.rule,
        "state": transition.state.value,
        "severity": transition.severity.value,
        "node": transition.node,
        "device": transition.device,
        "what": transition.what[:MAX_TEXT_CHARS],
        "value": transition.value,
        "since_s": transition.since_s,
        "reminder": transition.reminder,
    }


def _notice(channel: str, told: Sequence[Transition], *, simulated: bool, test: bool) -> Notice:
    names = "\n".join([channel, *(each.id for each in told)])
    identity = hashlib.sha256(names.encode()).hexdigest()[:32]
    at_s = max(each.at_s for each in told)
    document = {
        "format": FORMAT,
        "id": identity,
        "at_s": at_s,
        "simulated": simulated,
        "test": test,
        "firing": sum(each.state is AlertState.FIRING for each in told),
        "alerts": [transition_data(each) for each in told],
    }
    return Notice(identity, channel, at_s, json.dumps(document, allow_nan=False))
