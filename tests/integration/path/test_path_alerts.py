"""Alerts from a simulated cluster through real channels: told once, delivered at least once, shown by the verbs."""

import json

import pytest
from fakes.command import Command, wait_until
from fakes.webhook_receiver import receiver, status

from gpualloc.engine.alerting import alerting, raise_alerts
from gpualloc.engine.observe import observe
from gpualloc.model.health import Condition, Severity, Trouble
from gpualloc.wiring import Options, open_context

CONFIG = """
[pools.gpu]
nodes = "n1"

[alerts.warm]
metric = "temperature_c"
above = 1
nodes = "n1"
deliver = ["hook", "log"]

[alerts.lost]
trouble = "gpu missing"
deliver = ["hook"]

[channels.hook]
webhook = "{url}"
secret_env = "HOOK_SECRET"
"""
CLUSTER = """
[[nodes]]
name = "n1"
gpus = ["2xH100-80GB"]
"""


@pytest.fixture
def site(tmp_path, monkeypatch):
    """What opens the world again and again, and the command in the same one."""
    monkeypatch.setenv("HOOK_SECRET", "s3cret")
    (tmp_path / "cluster.toml").write_text(CLUSTER)
    options = Options(tmp_path / "config.toml", str(tmp_path / "cluster.toml"), tmp_path / "state")
    command = Command(tmp_path, {"GPUALLOC_SIM": str(options.sim), "GPUALLOC_CONFIG": str(options.config)})

    def configure(url):
        options.config.write_text(CONFIG.format(url=url))

    command.configure = configure
    return options, command


def look(options, conditions=(), rest_s=60.0):
    """One run of a sampler: it looks, tells, and waits for what it has to deliver."""
    with open_context(options) as ctx, alerting(ctx, rest_s):
        return raise_alerts(ctx, observe(ctx).nodes, conditions, ())


def documents(got):
    return [json.loads(each.body) for each in got.got]


def test_what_changes_is_delivered_once_and_shown(site):
    options, command = site
    missing = Condition(Trouble.GPU_MISSING, Severity.CRITICAL, "n1", "GPU-9", "seen 2 h ago, and not now", None, 1.0)
    with receiver() as got:
        command.configure(got.url)
        assert len(look(options, [missing])) == 3
        assert look(options, [missing]) == ()
        (told,) = documents(got)
        assert (told["firing"], told["simulated"], len(told["alerts"])) == (3, True, 3)
        assert "X-Gpualloc-Signature" in got.got[0].headers
        shown = command.json("alerts")
        assert [(each["rule"], each["state"]) for each in shown["alerts"]].count(("warm", "firing")) == 2
        assert [each.rule for each in look(options)] == ["lost"]
        assert documents(got)[-1]["alerts"][0]["state"] == "resolved"
        states = [
            each["state"]
            for each in json.loads(command.run("alerts", "history", "lost", "--json").stdout)["data"]["transitions"]
        ]
        assert states == ["firing", "resolved"]
        test = command.run("alerts", "test", "warm")
        assert "hook: ok: HTTP 200" in test.stdout
        assert "this is a test" in test.stderr
        assert "s3cret" not in command.run("config", "show").stdout + test.stdout + test.stderr


def test_what_did_not_arrive_is_delivered_by_the_next_run_under_the_same_name(site):
    options, command = site
    with receiver(status(500), status(503)) as got:
        command.configure(got.url)
        look(options)
        wait_until(lambda: got.got, "a try was made")
        first = got.got[0].headers["Idempotency-Key"]
        got.answers = [status(200)]
        assert look(options) == ()
        assert got.got[-1].headers["Idempotency-Key"] == first
        tries = len(got.got)
        look(options)
        assert len(got.got) == tries


def test_a_silence_holds_over_runs(site):
    options, command = site
    with receiver() as got:
        command.configure(got.url)
        command.run("alerts", "silence", "warm", "--for", "1h", "--reason", "test")
        assert all(each.silenced for each in look(options))
        assert got.got == []
        command.run("alerts", "unsilence", "warm")
        assert all(each.reminder for each in look(options))
        assert documents(got)[0]["firing"] == 2


def test_a_channel_that_hangs_holds_the_end_of_a_run_only_for_a_while(site):
    options, command = site

    def hang(handler):
        got.leave.wait(60)

    with receiver(hang) as got:
        command.configure(got.url)
        look(options, rest_s=0.2)
        wait_until(lambda: got.got, "a try was made")
        got.answers = [status(200)]
        look(options)
        assert len({each.headers["Idempotency-Key"] for each in got.got}) == 1
