"""Alert rules and channels in the configuration: what is accepted, what is refused, and what is never shown."""

import json

import pytest

from gpualloc.config.load import load
from gpualloc.config.show import entries
from gpualloc.errors import ConfigError
from gpualloc.model.alert import AlertRule, Channel, MetricTest, TroubleTest
from gpualloc.model.health import Severity, Trouble

HEAD = '[pools.train]\nnodes = "n[1-4]"\n'
WHOLE = (
    HEAD
    + """
[alerts.hot]
metric = "temperature_c"
above = 85
clear = 80
for = "2m"
clear_for = "5m"
severity = "error"
pools = ["train"]
nodes = "@train!n4"
model = "*H100*"
deliver = ["log", "pager", "script"]
repeat = "4h"

[alerts.fallen]
trouble = "xid"
code = 79
least = "error"

[channels.pager]
webhook = "https://hooks.example.org/services/T0/s3cret?key=s3cret"
secret_file = "/etc/gpualloc/pager"
timeout = "5s"

[channels.script]
exec = ["/usr/local/bin/tell", "team"]
"""
)


@pytest.fixture
def read(tmp_path):
    def read(text):
        file = tmp_path / "config.toml"
        file.write_text(text)
        return load(file, {"HOME": str(tmp_path)}, {}, tmp_path / "cache", host="head")

    return read


def test_rules_and_channels_are_read_and_kept(read):
    for _ in ("validated", "from the cache"):
        alerts = read(WHOLE).config.alerts
        assert alerts.rules == {
            "hot": AlertRule(
                "hot",
                MetricTest("temperature_c", 85.0, below=False, clear=80.0),
                Severity.ERROR,
                for_s=120.0,
                clear_for_s=300.0,
                pools=("train",),
                nodes=frozenset({"n1", "n2", "n3"}),
                model="*H100*",
                deliver=("log", "pager", "script"),
                repeat_s=14400.0,
            ),
            "fallen": AlertRule("fallen", TroubleTest(Trouble.XID, 79, Severity.ERROR)),
        }
        assert alerts.channels == {
            "pager": Channel(
                "pager",
                url="https://hooks.example.org/services/T0/s3cret?key=s3cret",
                secret_file="/etc/gpualloc/pager",
                timeout_s=5.0,
            ),
            "script": Channel("script", command=("/usr/local/bin/tell", "team")),
        }


def test_what_is_left_out_has_a_meaning(read):
    (rule,) = read(
        HEAD + '[alerts.idle]\nmetric = "gpu_utilization_ratio"\nbelow = 0.05\n'
    ).config.alerts.rules.values()
    assert rule == AlertRule("idle", MetricTest("gpu_utilization_ratio", 0.05, below=True, clear=0.05))
    assert rule.deliver == ("log",)


def test_it_is_shown_without_what_may_be_a_secret(read):
    shown = {entry.key: entry.value for entry in entries(read(WHOLE))}
    assert "s3cret" not in json.dumps(shown)
    assert shown["channels.pager.webhook"] == "https://hooks.example.org/…"
    assert shown["channels.pager.secret_file"] == "/etc/gpualloc/pager"
    assert shown["channels.script.exec"] == ["/usr/local/bin/tell", "team"]
    assert shown["alerts.hot.above"] == 85
    assert shown["alerts.hot.for"] == 120
    assert shown["alerts.fallen.code"] == 79


METRIC = 'metric = "temperature_c"\nabove = 85\n'
TROUBLE = 'trouble = "xid"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[alerts.a]\n", "either metric or trouble"),
        ("[alerts.a]\n" + METRIC + TROUBLE, "either metric or trouble"),
        ('[alerts.a]\nmetric = "heat"\nabove = 1', "alerts.a.metric: expected the name of a metric"),
        ('[alerts.a]\nmetric = "temperature_c"', "either above or below"),
        ("[alerts.a]\n" + METRIC + "below = 3", "either above or below"),
        ("[alerts.a]\n" + METRIC + "clear = 86", "good side"),
        ('[alerts.a]\nmetric = "power_w"\nbelow = 10\nclear = 9', "good side"),
        ("[alerts.a]\n" + METRIC + "code = 79", "of rules about a trouble"),
        ('[alerts.a]\nmetric = "disk_used_mib"\nabove = 1\nmodel = "x"', "metric of nodes"),
        ('[alerts.a]\nmetric = "temperature_c"\nabove = nan', "alerts.a.above: expected a number"),
        ("[alerts.a]\n" + METRIC + 'for = "8d"', "alerts.a.for: expected a duration of up to 7d"),
        ("[alerts.a]\n" + METRIC + "fro = 3", "did you mean alerts.a.for"),
        ("[alerts.a]\n" + METRIC + 'deliver = ["pager"]', "no channel 'pager'"),
        ("[alerts.a]\n" + METRIC + 'pools = ["desk"]', "no pool is called 'desk'"),
        ("[alerts.a]\n" + METRIC + 'nodes = "@desk"', "no pool is called 'desk'"),
        ("[alerts.a]\n" + METRIC + 'repeat = "1s"', "alerts.a.repeat: expected a duration of 1m"),
        ('[alerts."a b"]\n' + METRIC, "'a b' is no name"),
        ('[alerts.a]\ntrouble = "fire"', "alerts.a.trouble: expected a kind of trouble"),
        ("[alerts.a]\n" + TROUBLE + "above = 3", "of rules about a metric"),
        ("[alerts.a]\n" + TROUBLE + 'for = "1m"', "cannot hold for a time"),
        ('[alerts.a]\ntrouble = "gpu missing"\ncode = 3', "only xid and sxid have a code"),
        ("[channels.a]\n", "either exec or webhook"),
        ('[channels.a]\nexec = ["/x"]\nwebhook = "http://h/"', "either exec or webhook"),
        ('[channels.a]\nexec = ["tell"]', "whole path"),
        ("[channels.a]\nexec = []", "whole path"),
        ('[channels.a]\nwebhook = "ftp://h/"', "channels.a.webhook: expected an http or https address"),
        ('[channels.a]\nwebhook = "http://h:x/"', "channels.a.webhook: expected an http or https address"),
        ('[channels.a]\nwebhook = "https://ann:pw@h/"', "sign with secret_file"),
        ('[channels.a]\nwebhook = "http://h/a b"', "printable ASCII"),
        ('[channels.a]\nwebhook = "http://h/\\r\\nX: y"', "printable ASCII"),
        ('[channels.a]\nwebhook = "http://h/"\nsecret_file = "s"', "a whole path"),
        ('[channels.a]\nwebhook = "http://h/"\nsecret_env = "GPUALLOC_X"', "without GPUALLOC_"),
        ('[channels.a]\nwebhook = "http://h/"\nsecret_env = "X"\nsecret_file = "/x"', "one secret"),
        ('[channels.a]\nexec = ["/x"]\nsecret_env = "X"', "a webhook has one secret"),
        ('[channels.log]\nexec = ["/x"]', "'log' is no name"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(read, text, said):
    with pytest.raises(ConfigError) as caught:
        read(HEAD + text)
    assert said in f"{caught.value.message} {caught.value.hint}"
    assert "config.toml, line" in caught.value.message


def test_an_address_with_a_secret_is_not_told_when_it_is_wrong(read):
    with pytest.raises(ConfigError) as caught:
        read(HEAD + '[channels.a]\nwebhook = "https://ann:s3cret@h/"')
    assert "s3cret" not in caught.value.message
