"""The hook of a burn-in: read, kept and shown, with a time of its own."""

from gpualloc.config.load import load
from gpualloc.config.show import entries

TEXT = """
[pools.a]
nodes = "n1"

[hooks]
exit = ["/bin/true"]
timeout = "5s"
burnin = ["/usr/local/sbin/accept", "--level", "2"]
burnin_timeout = "2h"
"""


def test_it_has_a_command_and_a_time_of_its_own(tmp_path):
    file = tmp_path / "config.toml"
    file.write_text(TEXT)
    for _ in ("validated", "from the cache"):
        loaded = load(file, {}, {}, tmp_path / "cache", host="head")
        hooks = loaded.config.hooks
        assert hooks.commands()["burnin"] == ("/usr/local/sbin/accept", "--level", "2")
        assert (hooks.timeout_of("burnin"), hooks.timeout_of("exit")) == (7200.0, 5.0)
    shown = {entry.key: entry.value for entry in entries(loaded)}
    assert shown["hooks.burnin"] == ["/usr/local/sbin/accept", "--level", "2"]
    assert shown["hooks.burnin_timeout"] == 7200.0
