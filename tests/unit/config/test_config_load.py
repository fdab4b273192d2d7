"""Loading the configuration: who wins, what is told about wrong input, and what the cache spares."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpualloc.config import cache
from gpualloc.config.keys import KEYS, RESERVED_VARIABLES
from gpualloc.config.load import load
from gpualloc.config.settings import ApplySettings, Source, SshSettings
from gpualloc.errors import ConfigError

HOST = "head.example.org"


@pytest.fixture
def write(tmp_path):
    def write(text: str) -> Path:
        file = tmp_path / "config.toml"
        file.write_text(text)
        return file

    return write


@pytest.fixture
def read(tmp_path):
    def read(file=None, env=None, flags=None, host=HOST):
        return load(file, {"HOME": str(tmp_path), **(env or {})}, flags or {}, tmp_path / "cache", host=host)

    return read


def refused(read, *args, **kwargs) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        read(*args, **kwargs)
    assert caught.value.exit_code == 2
    return caught.value


@pytest.mark.parametrize(
    ("host", "name"), [("gpu01", "gpu01"), ("a.b.example", "a.b.example"), ("--x y!", "xy"), ("日本", "localhost")]
)
def test_without_a_file_this_machine_is_the_fleet(read, host, name):
    loaded = read(host=host)
    (node,) = loaded.config.nodes
    assert (node.name, node.pool, node.transport, node.reserved_cpus) == (name, "default", "local", 0.0)
    assert (loaded.file, loaded.origins) == (None, {})


def test_every_key_is_read(read, write):
    file = write(
        """
        policy = "first-fit"
        [sampling]
        every = "30s"
        [history]
        retention = "7d"
        [apply]
        grace = 5
        step_timeout = "2m"
        [pools.gpu]
        nodes = "gpu[01-02],head"
        labels = { room = "b2", gpu = "h100" }
        price_per_gpu_hour = 2
        reserved = { cpus = 1.5, memory = "8GiB" }
        manage = false
        [pools.gpu.ssh]
        user = "ops"
        port = 2222
        options = ["ProxyJump=bastion", "ServerAliveInterval=5"]
        """
    )
    config = read(file).config
    assert (config.policy, config.sample_every_s, config.history_retention_s) == ("first-fit", 30.0, 7 * 86400.0)
    assert config.apply == ApplySettings(grace_s=5.0, step_timeout_s=120.0)
    assert config.pool("gpu").ssh == SshSettings("ops", 2222, (("ProxyJump", "bastion"), ("ServerAliveInterval", "5")))
    assert [(node.name, node.transport) for node in config.nodes] == [
        ("gpu01", "ssh"),
        ("gpu02", "ssh"),
        ("head", "local"),
    ]
    node = config.nodes[0]
    assert (node.labels, node.price_per_gpu_hour, node.reserved_cpus) == ({"room": "b2", "gpu": "h100"}, 2.0, 1.5)
    assert (node.reserved_memory_mib, node.manage) == (8192, False)
    assert config.groups() == {"gpu": ("gpu01", "gpu02", "head")}


def test_a_flag_wins_over_the_environment_over_the_file_over_the_default(read, write):
    file = write('[history]\nretention = "3d"\n[sampling]\nevery = "20s"\n[pools.p]\nnodes = "n"\n')
    env = {"GPUALLOC_HISTORY__RETENTION": "4d", "GPUALLOC_APPLY__GRACE": "7s"}
    loaded = read(file, env, {"history.retention": "5d"})
    assert loaded.config.history_retention_s == 5 * 86400
    assert loaded.config.apply.grace_s == 7
    assert loaded.config.sample_every_s == 20
    origins = {key: loaded.origins.get(key) for key in ("history.retention", "apply.grace", "sampling.every")}
    assert [origin.source for origin in origins.values()] == [Source.FLAG, Source.ENVIRONMENT, Source.FILE]
    assert [str(origin) for origin in origins.values()] == [
        "--retention",
        "environment variable GPUALLOC_APPLY__GRACE",
        f"{file}, line 4",
    ]
    assert "apply.step_timeout" not in loaded.origins


def test_the_environment_counts_without_a_file(read):
    assert read(env={"GPUALLOC_POLICY": "spread"}).config.policy == "spread"


def test_which_file_is_read(read, write, tmp_path):
    named = write('[pools.named]\nnodes = "a"\n')
    account = tmp_path / ".config" / "gpualloc" / "config.toml"
    account.parent.mkdir(parents=True)
    account.write_text('[pools.account]\nnodes = "b"\n')
    moved = tmp_path / "xdg" / "gpualloc" / "config.toml"
    moved.parent.mkdir(parents=True)
    moved.write_text('[pools.moved]\nnodes = "c"\n')
    assert [*read().config.groups()] == ["account"]
    assert [*read(env={"XDG_CONFIG_HOME": str(tmp_path / "xdg")}).config.groups()] == ["moved"]
    assert [*read(env={"GPUALLOC_CONFIG": str(named)}).config.groups()] == ["named"]
    assert [*read(named, {"GPUALLOC_CONFIG": "/nowhere"}).config.groups()] == ["named"]


def test_everything_wrong_is_told_at_once(read, write):
    file = write(
        """\
polcy = "x"
policy = "best-fitt"
[history]
retention = "10s"
[pools.a]
nodes = "gpu[01-04]"
ssh = { user = "-bad", port = 70000, opts = [] }
reserved = { cpus = -2, memory = 8 }
manage = "yes"
[pools.b]
nodes = "gpu02"
transport = "telnet"
[pools.c]
node = "x"
[pools."d.e"]
nodes = "x[1-"
"""
    )
    error = refused(read, file, {"GPUALLOC_POLCY": "x", "GPUALLOC_APPLY__GRACE": "-4"})
    for told in (
        f"{file}, line 1: polcy: no such key (did you mean policy?)",
        f'{file}, line 2: policy: expected the name of an installed policy, found "best-fitt" (installed: ',
        f'{file}, line 4: history.retention: expected a duration of 1h to 366d, found "10s"',
        f'{file}, line 7: pools.a.ssh.user: expected an account name, found "-bad"',
        f"{file}, line 7: pools.a.ssh.port: expected a port, 1 to 65535, found 70000",
        f"{file}, line 7: pools.a.ssh.opts: no such key (did you mean pools.a.ssh.options?)",
        f"{file}, line 8: pools.a.reserved.cpus: expected a number of cores, 0 or more, found -2",
        f"{file}, line 8: pools.a.reserved.memory: expected a size with its unit, such as 8GiB, found 8",
        f'{file}, line 9: pools.a.manage: expected true or false, found "yes"',
        f"{file}, line 11: pools.b.nodes: node gpu02 is in pool a already",
        f'{file}, line 12: pools.b.transport: expected "ssh" or "local", found "telnet"',
        f'{file}, line 13: pools.c.nodes: expected node names, such as "gpu[01-04],login1", found nothing',
        f"{file}, line 14: pools.c.node: no such key (did you mean pools.c.nodes?)",
        f"{file}, line 15: pools.d.e: 'd.e' is not a pool name",
        f"{file}, line 16: pools.d.e.nodes: 'x[1-' is not a set of nodes",
        "environment variable GPUALLOC_POLCY: sets no configuration key (did you mean GPUALLOC_POLICY?)",
        'environment variable GPUALLOC_APPLY__GRACE: apply.grace: expected a duration of up to 1h, found "-4"',
    ):
        assert told in error.message
    assert error.message.startswith("17 wrong keys or values")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("retention = 5", "line 1: retention: no such key", "did you mean history.retention?"),
        ("[histroy]", "line 1: histroy: no such key", "did you mean history?"),
        (
            "zzz = 1",
            "line 1: zzz: no such key",
            "keys here: alerts, apply, channels, enforce, forecaster, gangs, health, history, hooks, mig, objective, "
            "policy, policy_profile, pools, rebalance, sampling",
        ),
        ("a = [1,\n2\n", "line 2: not valid TOML", None),
        ("policy = " + "9" * 5000, "not valid TOML", None),
        ("policy = 0x" + "f" * 5000, "found a number too large to show", None),
        ("policy = 2026-11-21", "found 2026-11-21", None),
        ("policy = " + "[" * 3000, "not valid TOML", None),
        ('a = "\\x"', "line 1: not valid TOML", None),
        ("[pools]\na = 5", "line 2: pools.a: expected a table, found 5", None),
        ("pools = 5", "line 1: pools: expected a table, found 5", None),
        ("history = 5", "line 1: history: expected a table, found 5", None),
        ('[pools.a]\nnodes = "localhost,head"', "head is this machine, and so is localhost", "name it once"),
        ('[pools.a]\nnodes = "a,b"\ntransport = "local"', "b is this machine, and so is a", "name it once"),
        ('[pools.a]\nnodes = "@b"', "no pool is called 'b'", None),
        ('[pools.a]\nnodes = "gpu[1-9999999]"', "stands for more than 100000 names", None),
        ('[pools.a]\nnodes = "n"\nprice_per_gpu_hour = inf', "price_per_gpu_hour: expected a number", None),
        ('[pools.a]\nnodes = "n"\nssh.options = ["a=b\\nc"]', 'found "a=b\\nc"', "ServerAliveInterval"),
        (
            '[gangs]\nports = "80-90"',
            'gangs.ports: expected a range of ports, such as "29000-29499", found "80-90"',
            None,
        ),
        ('[gangs]\nports = "30000-29999"', "gangs.ports: expected a range of ports", "from 1024 on"),
        ('[pools.a]\nnodes = "n"\ninterface = "a b"', "pools.a.interface: expected the name of a network", None),
        ('[pools.a]\nnodes = "n"\naddresses = { n = "x;y" }', "pools.a.addresses.n: expected", "IP address"),
        ('[pools.a]\nnodes = "n"\nssh.port = true', "expected a port, 1 to 65535, found true", None),
        (
            '[pools.a]\nnodes = "n"\nnode_labels = { m = { a = "b" } }',
            "line 3: pools.a.node_labels.m: node m is not in pool a",
            None,
        ),
        ('[pools.a]\nnodes = "n"\nnode_labels = { n = { a = 5 } }', "line 3: pools.a.node_labels.n.a: expected", None),
        ('[pools.a]\nnodes = "n"\nnode_labels = { n = 5 }', "line 3: pools.a.node_labels.n: expected", None),
        ('[pools.a]\nnodes = "n"\nnode_labels = { "n[" = { a = "b" } }', "line 3: pools.a.node_labels.n[:", None),
        (
            '[pools.a]\nnodes = "n1,n2"\nnode_labels = { n1 = { a = "b" }, "n[1-2]" = { a = "c" } }',
            "node n1 has the label a already",
            None,
        ),
        ('[pools.a]\nnodes = "n"\nlabels = { "a b" = "c" }', "line 3: pools.a.labels.a b: expected", None),
    ],
)
def test_one_wrong_thing(read, write, text, message, hint):
    file = write(text)
    error = refused(read, file)
    assert error.message.startswith(str(file))
    assert message in error.message
    assert hint is None or hint in (error.hint or "")


def test_a_file_that_cannot_be_read(read, write, tmp_path):
    assert "no such file (--config)" in refused(read, tmp_path / "none.toml").message
    assert "(GPUALLOC_CONFIG)" in refused(read, None, {"GPUALLOC_CONFIG": str(tmp_path / "none.toml")}).message
    assert "cannot be read: Is a directory" in refused(read, tmp_path).message
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b"# one\n# caf\xe9\n")
    assert f"{latin}, line 2: not UTF-8 text" in refused(read, latin).message


def test_a_wrong_flag_names_the_flag(read):
    error = refused(read, flags={"policy": "nonsense"})
    assert error.message == '--policy: policy: expected the name of an installed policy, found "nonsense"'


def test_windows_line_ends_are_fine(read, tmp_path):
    file = tmp_path / "crlf.toml"
    file.write_bytes(b'[pools.a]\r\nnodes = "n"\r\nnode = 1\r\n')
    assert "line 3: pools.a.node" in refused(read, file).message


def test_variables_with_another_meaning_are_left_alone(read):
    env = dict.fromkeys(RESERVED_VARIABLES - {"GPUALLOC_CONFIG"}, "x")
    assert read(env=env).config.nodes


def test_every_scalar_key_has_a_variable_that_works(read):
    defaults = {key.variable: key.default.strip('"') for key in KEYS if key.variable}
    loaded = read(env=defaults)
    assert loaded.config == read().config
    assert {origin.source for origin in loaded.origins.values()} == {Source.ENVIRONMENT}


SEEN = """
import sys
from pathlib import Path
from gpualloc.config.load import load
loaded = load(Path(sys.argv[1]), {}, {}, Path(sys.argv[2]), host="head")
heavy = {"pydantic", "ClusterShell", "tomllib", "typer", "textual", "rich", "numpy"} & set(sys.modules)
print(sorted(heavy), [node.name for node in loaded.config.nodes], len(loaded.origins))
"""


def test_the_second_reading_imports_nothing_heavy(write, tmp_path):
    file = write('policy = "spread"\n[pools.p]\nnodes = "n[1-2]"\nssh.options = ["A=b"]\n')
    command = [sys.executable, "-c", SEEN, str(file), str(tmp_path / "cache")]
    first, second = (
        subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout for _ in range(2)
    )
    assert first == "['ClusterShell', 'pydantic', 'tomllib'] ['n1', 'n2'] 7\n"
    assert second == "[] ['n1', 'n2'] 7\n"


def test_the_cached_result_is_the_same(read, write):
    file = write(
        'policy = "spread"\nobjective = "cost"\ngangs = { ports = "31000-31009" }\n'
        '[pools.p]\nnodes = "n[1-2]"\nmanage = true\nlabels = {a = "b"}\n'
        'ssh = { port = 5, options = ["A=b"] }\nreserved = { cpus = 2, memory = "1GiB" }\n'
    )
    checked = read(file)
    assert checked == read(file)
    assert (checked.config.objective, checked.config.gang_ports) == ("cost", (31000, 31009))


def test_the_cached_result_keeps_the_forecaster(read, write):
    file = write('forecaster = "ewma"\n')
    assert [read(file).config.forecaster for _ in range(2)] == ["ewma", "ewma"]


def test_the_cache_is_private_and_follows_every_change(read, write, tmp_path):
    file = write('[pools.p]\nnodes = "n1"\n')
    read(file)
    (kept,) = (tmp_path / "cache").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    write('[pools.p]\nnodes = "n2"\n')
    assert read(file).config.nodes[0].name == "n2"
    assert read(file, {"GPUALLOC_POLICY": "spread"}).config.policy == "spread"
    assert read(file, flags={"policy": "first-fit"}).config.policy == "first-fit"
    assert read(file, host="n2").config.nodes[0].transport == "local"
    assert list((tmp_path / "cache").iterdir()) == [kept]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"key": 1}', b"\xff", b"[" * 100_000])
def test_a_broken_cache_is_written_anew(read, write, tmp_path, content):
    file = write('[pools.p]\nnodes = "n1"\n')
    first = read(file)
    (kept,) = (tmp_path / "cache").iterdir()
    right = kept.read_bytes()
    kept.write_bytes(content)
    assert read(file) == first
    assert kept.read_bytes() == right


def test_a_damaged_value_in_the_cache_is_not_believed(read, write, tmp_path):
    file = write('[pools.p]\nnodes = "n1"\n')
    first = read(file)
    (kept,) = (tmp_path / "cache").iterdir()
    kept.write_bytes(kept.read_bytes().replace(b'"sample_every_s": 10.0', b'"sample_every_s": null'))
    assert read(file) == first


def test_nothing_is_said_when_the_cache_cannot_be_kept(write, tmp_path):
    file = write('[pools.p]\nnodes = "n1"\n')
    (tmp_path / "blocked").write_text("a file, not a folder")
    assert load(file, {}, {}, tmp_path / "blocked", host=HOST).config.nodes[0].name == "n1"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a file away")
def test_a_cache_that_belongs_to_someone_else_is_not_believed(read, write, tmp_path):
    file = write('[pools.p]\nnodes = "n1"\n')
    read(file)
    (kept,) = (tmp_path / "cache").iterdir()
    os.chown(kept, 65534, 65534)
    key = kept.read_text().split('"')[3]
    assert cache.read(kept, key, HOST) is None


def test_labels_of_a_node_win_over_those_of_its_pool(read, write):
    file = write(
        """
        [pools.a]
        nodes = "n[1-3]"
        labels = { rack = "r1", net = "ib" }
        node_labels = { "n[2-3]" = { rack = "r2" }, n3 = { disk = "nvme" } }
        """
    )
    for _ in ("checked", "from the cache"):
        config = read(file).config
        assert [dict(node.labels) for node in config.nodes] == [
            {"rack": "r1", "net": "ib"},
            {"rack": "r2", "net": "ib"},
            {"rack": "r2", "net": "ib", "disk": "nvme"},
        ]


def test_what_gangs_are_told_of_nodes(read, write):
    file = write(
        '[gangs]\nports = "30000-30001"\n'
        '[pools.a]\nnodes = "n[1-2]"\ninterface = "ib0"\naddresses = { n2 = "10.0.0.2" }'
    )
    config = read(file).config
    assert config.gang_ports == (30000, 30001)
    assert [(spec.address, spec.interface) for spec in config.nodes] == [(None, "ib0"), ("10.0.0.2", "ib0")]
