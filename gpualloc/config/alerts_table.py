"""`[alerts.NAME]` and `[channels.NAME]`, as pydantic models."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from gpualloc.config.table import HOUR_S, Duration, Table
from gpualloc.model.alert import EVENTS_ONLY, LOG, AlertRule, Channel, MetricTest, TroubleTest
from gpualloc.model.health import Severity, Trouble
from gpualloc.model.sample import METRICS, SeriesKind

DAY_S = 24 * HOUR_S
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""What a rule or a channel may be called: one part of a dotted configuration key."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_HOST = re.compile(r"[A-Za-z0-9:][A-Za-z0-9.:_-]{0,252}")
_WATCHED = (SeriesKind.DEVICE, SeriesKind.NODE)


def _metric(name: str) -> str:
    known = [metric.name for metric in METRICS.values() if metric.kinds.intersection(_WATCHED)]
    if name not in known:
        raise ValueError("docs/metrics.md lists them")
    return name


def _trouble(text: str) -> str:
    known = [trouble.value for trouble in Trouble]
    if text not in known:
        raise ValueError(f"there are: {', '.join(known)}")
    return text


def _named(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ValueError("letters, digits, and then also _ and -, at most 64 characters")
    return name


def _url(text: str) -> str:
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("printable ASCII only")
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError as error:
        raise ValueError("as in: https://alerts.example.org/gpualloc") from error
    if url.scheme not in ("http", "https") or not _HOST.fullmatch(url.hostname or ""):
        raise ValueError("as in: https://alerts.example.org/gpualloc")
    if url.username is not None or url.password is not None:
        raise ValueError("no account in it: sign with secret_file or secret_env")
    return text


def _program(words: list[str]) -> list[str]:
    if not words or not words[0].startswith("/"):
        raise ValueError("a program by its whole path, and its arguments")
    if not all(word.isprintable() for word in words):
        raise ValueError("printable characters only")
    return words


def _whole_path(path: str) -> str:
    if not path.startswith("/") or not path.isprintable():
        raise ValueError("a whole path")
    return path


def _variable(name: str) -> str:
    if not _VARIABLE.fullmatch(name) or name.startswith("GPUALLOC_"):
        raise ValueError("the name of a variable, without GPUALLOC_ in front")
    return name


Limit = Annotated[float, Field(allow_inf_nan=False)]
Name = Annotated[str, AfterValidator(_named)]


class AlertTable(Table):
    """`[alerts.NAME]`."""

    metric: Annotated[str, AfterValidator(_metric)] | None = None
    above: Limit | None = None
    below: Limit | None = None
    clear: Limit | None = None
    trouble: Annotated[str, AfterValidator(_trouble)] | None = None
    code: Annotated[int, Field(ge=0, le=99_999)] | None = None
    least: Literal["info", "warning", "error", "critical"] = "info"
    for_: Annotated[Duration, Field(alias="for", le=7 * DAY_S)] = 0.0
    clear_for: Annotated[Duration, Field(le=7 * DAY_S)] | None = None
    pools: list[str] | None = None
    nodes: str | None = None
    model: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    severity: Literal["info", "warning", "error", "critical"] = "warning"
    deliver: list[Name] = [LOG]
    repeat: Annotated[Duration, Field(ge=60, le=366 * DAY_S)] | None = None

    @model_validator(mode="after")
    def _fits(self) -> AlertTable:
        """Refuse keys that contradict each other."""
        if (self.metric is None) is (self.trouble is None):
            raise ValueError("a rule has either metric or trouble")
        return self._fits_metric() if self.metric is not None else self._fits_trouble()

    def _fits_metric(self) -> AlertTable:
        if (self.above is None) is (self.below is None):
            raise ValueError("a rule about a metric has either above or below")
        if self.code is not None or self.least != "info":
            raise ValueError("code and least are of rules about a trouble")
        if self.clear is not None and (
            (self.above is not None and self.clear > self.above) or (self.below is not None and self.clear < self.below)
        ):
            raise ValueError("clear lies on the good side of the limit")
        if self.model is not None and SeriesKind.DEVICE not in METRICS[self.metric or ""].kinds:
            raise ValueError(f"{self.metric} is a metric of nodes, which have no model")
        return self

    def _fits_trouble(self) -> AlertTable:
        if (self.above, self.below, self.clear) != (None, None, None):
            raise ValueError("above, below and clear are of rules about a metric")
        trouble = Trouble(self.trouble or "")
        if self.code is not None and trouble not in (Trouble.XID, Trouble.SXID):
            raise ValueError("only xid and sxid have a code")
        if self.for_ and trouble in EVENTS_ONLY:
            raise ValueError(f"{trouble.value} happens at a moment, so that it cannot hold for a time")
        return self

    def rule(self, name: str, nodes: Sequence[str] | None) -> AlertRule:
        """The rule these keys describe, on nodes that were expanded already."""
        return AlertRule(
            name=name,
            test=self._test(),
            severity=Severity(self.severity),
            for_s=self.for_,
            clear_for_s=self.clear_for,
            pools=tuple(self.pools or ()),
            nodes=None if nodes is None else frozenset(nodes),
            model=self.model,
            deliver=tuple(dict.fromkeys(self.deliver)),
            repeat_s=self.repeat,
        )

    def _test(self) -> MetricTest | TroubleTest:
        if self.metric is None:
            return TroubleTest(Trouble(self.trouble or ""), self.code, Severity(self.least))
        limit = self.above if self.above is not None else self.below
        assert limit is not None
        return MetricTest(self.metric, limit, self.above is None, limit if self.clear is None else self.clear)


class ChannelTable(Table):
    """`[channels.NAME]`."""

    exec: Annotated[list[str], AfterValidator(_program)] | None = None
    webhook: Annotated[str, AfterValidator(_url)] | None = None
    secret_file: Annotated[str, AfterValidator(_whole_path)] | None = None
    secret_env: Annotated[str, AfterValidator(_variable)] | None = None
    timeout: Annotated[Duration, Field(ge=0.1, le=300)] = 10.0

    @model_validator(mode="after")
    def _fits(self) -> ChannelTable:
        """Refuse keys that contradict each other."""
        if (self.exec is None) is (self.webhook is None):
            raise ValueError("a channel has either exec or webhook")
        secrets = [each for each in (self.secret_file, self.secret_env) if each is not None]
        if secrets and (self.webhook is None or len(secrets) > 1):
            raise ValueError("a webhook has one secret: secret_file or secret_env")
        return self

    def channel(self, name: str) -> Channel:
        """The channel these keys describe."""
        return Channel(
            name=name,
            command=tuple(self.exec or ()),
            url=self.webhook or "",
            secret_file=self.secret_file,
            secret_variable=self.secret_env,
            timeout_s=self.timeout,
        )


def unknown_names(alerts: Mapping[str, AlertTable], channels: Mapping[str, object]) -> list[tuple[str, str, str]]:
    """What is wrong with the names in these tables, as (dotted key, what, hint)."""
    hint = "letters, digits, and then also _ and -, at most 64 characters"
    found = [
        (f"{table}.{name}", f"{name[:80]!r} is no name", hint)
        for table, names in (("alerts", alerts), ("channels", channels))
        for name in names
        if not NAME.fullmatch(name) or (table == "channels" and name == LOG)
    ]
    known = ", ".join([LOG, *sorted(channels)])
    return found + [
        (f"alerts.{name}.deliver", f"there is no channel {channel!r}", f"channels: {known}")
        for name, table in alerts.items()
        for channel in table.deliver
        if channel != LOG and channel not in channels
    ]
