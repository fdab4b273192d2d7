"""Alerts on the command line: what fires now, what fired, tests, silences; and the receiver of the documentation."""

import json
import re
from pathlib import Path

import pytest
from fakes.sample_world import HOSTILE, NOW_S
from fakes.webhook_receiver import receiver, status
from msgspec.structs import replace

from gpualloc.adapters.alert_channels import ChannelMessenger
from gpualloc.adapters.webhook import sign
from gpualloc.engine.context import Settings
from gpualloc.model.alert import (
    Alert,
    AlertKey,
    AlertRule,
    AlertSettings,
    AlertState,
    Channel,
    MetricTest,
    Transition,
)
from gpualloc.model.health import Severity
from gpualloc.ports import AlertChanges, Standing
from gpualloc.store.alerts import SqliteAlerts
from gpualloc.store.paths import StatePaths

HOT = AlertRule("hot", MetricTest("temperature_c", 85, below=False, clear=80), Severity.ERROR, deliver=("log", "pager"))
FIRING = Alert(AlertKey("hot", "gpu01", "GPU-1"), AlertState.FIRING, NOW_S - 125, f"hot {HOSTILE}", 91.0, NOW_S - 5)
PENDING = Alert(AlertKey("old", "gpu02", ""), AlertState.PENDING, NOW_S - 9, "it waits", unknown_since_s=NOW_S - 1)
TOLD = Transition(NOW_S - 5, "hot", "gpu01", "GPU-1", AlertState.FIRING, Severity.ERROR, FIRING.what, 91.0, NOW_S - 125)


@pytest.fixture
def alerts(world, tmp_path):
    """A world with two alerts and a channel that answers; returns the receiver."""
    kept = SqliteAlerts(StatePaths(tmp_path / "state"))
    with receiver() as got:
        channels = {"pager": Channel("pager", url=got.url)}
        messenger = ChannelMessenger(channels)
        world.context = replace(
            world.context,
            alerts=kept,
            messenger=messenger,
            settings=Settings(alerts=AlertSettings({"hot": HOT}, channels)),
        )
        kept.keep(Standing(), NOW_S - 3, AlertChanges([FIRING, PENDING], (), [TOLD]))
        yield got
        messenger.close()
        kept.close()


def test_alone_it_lists_what_is_there_the_worst_first(run, alerts):
    shown = run("alerts")
    assert shown.code == 0
    assert shown.out.index("firing") < shown.out.index("pending (unknown)")
    assert "2m05s" in shown.out
    assert "last look 3s ago" in shown.out
    assert "\x1b" not in shown.out
    data = json.loads(run("alerts", "--json").out)["data"]
    assert data == json.loads(run("alerts", "list", "--json").out)["data"]
    assert [(each["rule"], each["state"], each["severity"]) for each in data["alerts"]] == [
        ("hot", "firing", "error"),
        ("old", "pending", None),
    ]
    assert data["looked_s"] == NOW_S - 3


def test_where_nobody_ever_looked_it_says_so(run):
    assert "never: gpualloc sample looks" in run("alerts").out


def test_the_history_is_told_with_what_was_asked_for(run, alerts):
    shown = run("alerts", "history", "hot", "--since", "1h", "--node", "gpu01")
    assert "firing" in shown.out
    assert "\x1b" not in shown.out
    (told,) = json.loads(run("alerts", "history", "--json").out)["data"]["transitions"]
    assert (told["rule"], told["state"], told["value"], told["silenced"]) == ("hot", "firing", 91.0, False)
    assert json.loads(run("alerts", "history", "cold", "--json").out)["data"]["transitions"] == []
    assert "no alert fired" in run("alerts", "history", "cold").out


def test_a_test_says_what_each_channel_answered(run, alerts):
    alerts.answers = [status(200, b"thanks")]
    shown = run("alerts", "test", "hot")
    assert shown.code == 0
    assert "pager: ok: HTTP 200: thanks" in shown.out
    document = json.loads(alerts.got[0].body)
    assert document["test"] is True
    assert "this is a test" in document["alerts"][0]["what"]


def test_a_test_that_fails_is_exit_code_1(run, alerts):
    alerts.answers = [status(500, b"\x1b[31mno")]
    shown = run("alerts", "test", "hot", "--json")
    assert shown.code == 1
    answer = json.loads(shown.out)
    assert answer["data"]["channels"][0]["problem"] == "answered 500"
    assert answer["errors"][0]["message"] == "the test did not arrive through pager"
    assert len(alerts.got) == 1
    assert "\x1b" not in run("alerts", "test", "hot").out
    assert run("alerts", "test", "cold").code == 2


def test_silences_are_made_shown_and_ended(run, alerts):
    shown = run("alerts", "silence", "hot", "--for", "2h", "--reason", "new fans")
    assert shown.code == 0
    assert "rule hot: new fans" in shown.out
    data = json.loads(run("alerts", "--json").out)["data"]
    assert data["silences"][0]["until_s"] == NOW_S + 7200
    assert data["alerts"][0]["silenced_until_s"] == NOW_S + 7200
    assert "firing (silenced)" in run("alerts").out
    assert run("alerts", "unsilence", "--node", "gpu01").code == 2
    assert "no longer silenced" in run("alerts", "unsilence", "hot").out
    assert json.loads(run("alerts", "--json").out)["data"]["silences"] == []


@pytest.mark.parametrize(
    "words", [("silence",), ("silence", "cold"), ("silence", "--node", "gpu99"), ("silence", "hot", "--for", "soon")]
)
def test_silences_want_something_that_is_there(run, alerts, words):
    assert run("alerts", *words).code == 2


def test_the_receiver_of_the_documentation_knows_what_is_genuine():
    text = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names = {}
    exec(block, names)
    body, secret = b'{"format": 1}', b"s3cret"
    header = sign(secret, 1_800_000_000, body)
    assert names["genuine"](header, body, secret, 1_800_000_100.0)
    assert not names["genuine"](header, body + b" ", secret, 1_800_000_100.0)
    assert not names["genuine"](header, body, b"other", 1_800_000_100.0)
    assert not names["genuine"](header, body, secret, 1_800_001_000.0)
    assert not names["genuine"]("v1=x", body, secret)


def test_the_configuration_of_the_documentation_is_accepted(tmp_path):
    from gpualloc.config.load import load

    text = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text()
    (block,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    file = tmp_path / "config.toml"
    file.write_text('[pools.train]\nnodes = "gpu[01-16]"\n' + block)
    settings = load(file, {}, {}, tmp_path / "cache", host="head").config.alerts
    assert sorted(settings.rules) == ["fallen-off-the-bus", "hot", "idle", "unreachable"]
    assert sorted(settings.channels) == ["chat", "pager"]
