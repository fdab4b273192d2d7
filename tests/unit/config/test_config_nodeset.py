"""Node sets: what operators type becomes names, and nothing absurd is ever expanded."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpualloc.config.nodeset import MAX_NAMES, expand, fold
from gpualloc.config.settings import HOST_NAME
from gpualloc.errors import UsageError

POOLS = {"a": ("x1", "x2", "x3"), "b": ("gpu1",)}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("gpu1", ("gpu1",)),
        ("gpu1, login", ("gpu1", "login")),
        ("b,a,b", ("b", "a")),
        ("gpu[01-03],login1", ("gpu01", "gpu02", "gpu03", "login1")),
        ("gpu[1-8/4]", ("gpu1", "gpu5")),
        ("rack[1-2]n[1-2]", ("rack1n1", "rack1n2", "rack2n1", "rack2n2")),
        ("@a", ("x1", "x2", "x3")),
        ("@a!x2", ("x1", "x3")),
        ("@a&x[2-9]", ("x2", "x3")),
        ("@*", ("gpu1", "x1", "x2", "x3")),
        ("x*", ("x1", "x2", "x3")),
    ],
)
def test_expands(text, names):
    assert expand(text, POOLS) == names


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is not a node name"),
        ("a,,b", "is not a node name"),
        ("a b", "is not a node name"),
        ("-oProxyCommand=id", "is not a node name"),
        ("gpu1;reboot", "is not a node name"),
        ("a" * 254, "is not a node name"),
        ("gpu[1-", "missing bracket"),
        ("gpu[4-1]", "is not a set of nodes"),
        ("@nobody", "no pool is called 'nobody'"),
        ("@site:nodes", "is not a set of nodes"),
        ("x1!x1", "is empty"),
    ],
)
def test_refuses(text, told):
    with pytest.raises(UsageError, match=None) as caught:
        expand(text, POOLS)
    assert told in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        "gpu[1-100001]",
        "gpu[1-999999999999]",
        "[1-1000]x[1-1000]",
        "99999[8-12]",
        "gpu[1-60000],gpu[60001-120000]",
        "gpu[1-999999999]&gpu1",
        "gpu[" + "9" * 5000 + "]",
        "a," * 40_000,
    ],
)
def test_refuses_absurd_sizes_before_expanding(text):
    with pytest.raises(UsageError):
        expand(text)


def test_as_many_names_as_allowed():
    assert len(expand(f"gpu[1-{MAX_NAMES}]")) == MAX_NAMES


def test_a_pool_means_nothing_where_there_are_none():
    with pytest.raises(UsageError, match="no pool"):
        expand("@a")


@given(st.sets(st.from_regex(r"[a-z]{1,4}[0-9]{0,3}(-[a-z]{1,3}[0-9]{0,3})?", fullmatch=True), min_size=1, max_size=30))
def test_folding_and_expanding_come_back(names):
    assert set(expand(fold(names))) == names


@given(st.text(alphabet="ab01-[]/,@!&^*?:. \\%", max_size=30))
def test_whatever_is_typed_gives_node_names_or_a_usage_error(text):
    try:
        names = expand(text, POOLS)
    except UsageError:
        return
    assert names
    assert all(HOST_NAME.fullmatch(name) for name in names)


def test_plain_names_do_not_import_clustershell():
    program = (
        "import sys; from gpualloc.config.nodeset import expand; expand('a,b'); print('ClusterShell' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "False\n"


def test_no_configuration_of_clustershell_changes_the_result(tmp_path):
    (tmp_path / "defaults.conf").write_text("[nodeset]\nfold_axis: 1\n")
    (tmp_path / "groups.conf").write_text("[Main]\ndefault: evil\n[evil]\nmap: touch stolen; echo x\nall: echo x\n")
    program = (
        "from gpualloc.config.nodeset import expand, fold; from gpualloc.errors import UsageError\n"
        "print(fold(['r1n1', 'r1n2', 'r2n1', 'r2n2']))\n"
        "try: expand('@evil')\n"
        "except UsageError as error: print(error)\n"
    )
    env = {"CLUSTERSHELL_CFGDIR": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=env, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "r[1-2]n[1-2]\nno pool is called 'evil'\n"
    assert not (tmp_path / "stolen").exists()
