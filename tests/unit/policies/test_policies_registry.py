"""Policies by name: nothing imported to list them, clear words when one is missing or broken."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint

import pytest

from gpualloc.errors import ConfigError, NotFoundError
from gpualloc.policies import registry
from gpualloc.ports import plug_ins


def test_built_ins_come_by_entry_point() -> None:
    assert {"best-fit", "first-fit", "spread"} <= set(registry.names())
    for name in ("best-fit", "first-fit", "spread"):
        assert registry.load(name).name == name


def test_listing_imports_no_policy() -> None:
    code = (
        "import sys; from gpualloc.policies import registry; assert 'spread' in registry.names();"
        "print([m for m in sys.modules if m in ('gpualloc.policies.spread', 'gpualloc.policies.session')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(NotFoundError, match="no policy 'best_fit'") as caught:
        registry.load("best_fit")
    assert caught.value.hint == "did you mean best-fit?"
    with pytest.raises(NotFoundError) as caught:
        registry.load("")
    assert caught.value.hint is not None
    assert "first-fit" in caught.value.hint


class NoBegin:
    name = "no-begin"
    version = "1"


class NoVersion:
    name = "no-version"

    def begin(self, problem: object) -> None: ...


class Raises:
    def __init__(self) -> None:
        raise RuntimeError("no licence")


@pytest.fixture
def plug_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Install one entry point named `foreign`."""

    def install(value: str) -> None:
        entry = EntryPoint("foreign", value, registry.POLICIES.group)
        monkeypatch.setattr(plug_ins, "entry_points", lambda group: (entry,))
        sys.modules.setdefault("foreign_policies", sys.modules[__name__])

    return install


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("not_installed_anywhere:Policy", "ModuleNotFoundError"),
        ("foreign_policies:Absent", "AttributeError"),
        ("foreign_policies:Raises", "RuntimeError: no licence"),
        ("foreign_policies:NoBegin", r"has no begin\(problem\)"),
        ("foreign_policies:NoVersion", "has no version"),
    ],
)
def test_a_broken_plug_in_is_named(plug_in: Callable[[str], None], value: str, message: str) -> None:
    plug_in(value)
    assert registry.names() == ("foreign",)
    with pytest.raises(ConfigError, match=message) as caught:
        registry.load("foreign")
    assert value in caught.value.message
