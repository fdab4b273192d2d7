"""Rules and channels of the configuration: where they look, kept as JSON, and shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gpualloc.config.nodeset import expand
from gpualloc.errors import UsageError
from gpualloc.model.alert import AlertSettings, MetricTest, TroubleTest

if TYPE_CHECKING:
    from gpualloc.config.alerts_table import AlertTable, ChannelTable

Wrong = tuple[str, str, str | None]
"""A dotted key, what is wrong with it, and a hint."""


def alert_settings(
    alerts: Mapping[str, AlertTable], channels: Mapping[str, ChannelTable], pools: Mapping[str, Sequence[str]]
) -> tuple[AlertSettings, list[Wrong]]:
    """The rules and channels that the tables describe, and what is wrong with where the rules look.

    Args:
        alerts: the tables of rules, each right by itself.
        channels: those of channels.
        pools: what `@name` in a rule's nodes stands for.
    """
    wrong: list[Wrong] = []
    rules = {}
    for name in sorted(alerts):
        table, nodes = alerts[name], None
        try:
            nodes = None if table.nodes is None else expand(table.nodes, pools)
        except UsageError as error:
            wrong.append((f"alerts.{name}.nodes", error.message, error.hint))
        wrong += [
            (f"alerts.{name}.pools", f"no pool is called {pool[:80]!r}", f"pools: {', '.join(sorted(pools))}")
            for pool in table.pools or ()
            if pool not in pools
        ]
        rules[name] = table.rule(name, nodes)
    return AlertSettings(rules, {name: channels[name].channel(name) for name in sorted(channels)}), wrong


def alert_entries(settings: AlertSettings) -> Iterator[tuple[str, object, str | None]]:
    """Key, value and unit of all that rules and channels say, for `config show`."""
    for name, rule in settings.rules.items():
        table = f"alerts.{name}."
        yield from ((table + key, value, None) for key, value in _test_entries(rule.test))
        yield table + "for", rule.for_s, "s"
        yield table + "clear_for", rule.clear_for_s, "s"
        yield table + "pools", list(rule.pools), None
        yield table + "nodes", None if rule.nodes is None else sorted(rule.nodes), None
        yield table + "model", rule.model, None
        yield table + "severity", rule.severity.value, None
        yield table + "deliver", list(rule.deliver), None
        yield table + "repeat", rule.repeat_s, "s"
    for name, channel in settings.channels.items():
        table = f"channels.{name}."
        if channel.command:
            yield table + "exec", list(channel.command), None
        else:
            yield table + "webhook", shown_url(channel.url), None
            yield table + "secret_file", channel.secret_file, None
            yield table + "secret_env", channel.secret_variable, None
        yield table + "timeout", channel.timeout_s, "s"


def shown_url(url: str) -> str:
    """Where a webhook goes, without its path: whoever knows that may often write there."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/…" if parts.path.strip("/") or parts.query else url


def _test_entries(test: MetricTest | TroubleTest) -> Iterator[tuple[str, object]]:
    if isinstance(test, MetricTest):
        yield "metric", test.metric
        yield "below" if test.below else "above", test.limit
        yield "clear", test.clear
    else:
        yield "trouble", test.trouble.value
        yield "code", test.code
        yield "least", test.least.value
