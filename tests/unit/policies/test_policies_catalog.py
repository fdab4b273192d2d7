"""What is told of policies without importing them."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from gpualloc.policies import fgd, registry
from gpualloc.policies.catalog import BUILT_IN, PLUG_IN, Listed, listed
from gpualloc.ports import plug_ins


def test_every_policy_of_this_package_is_described() -> None:
    own = {name for name, entry in registry.POLICIES.entries().items() if entry.value.startswith("gpualloc.")}
    assert own == set(BUILT_IN)
    assert [one for one in listed() if one.name in BUILT_IN] == [BUILT_IN[name] for name in sorted(BUILT_IN)]
    assert all(one.source and one.about and one.parameters is not None for one in BUILT_IN.values())


def test_told_parameters_are_those_in_force() -> None:
    assert BUILT_IN["fgd"].parameters == {"covered": fgd.COVERED}


def test_a_plug_in_is_told_by_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("fgd", "not_installed_anywhere:Policy", registry.POLICIES.group)
    monkeypatch.setattr(plug_ins, "entry_points", lambda group: (entry,))
    assert listed() == (Listed("fgd", PLUG_IN, "not_installed_anywhere:Policy", None, None),)


def test_listing_imports_no_policy() -> None:
    code = (
        "import sys; from gpualloc.policies.catalog import listed; assert len(listed()) > 3;"
        "print([name for name in sys.modules if name in ('gpualloc.policies.spread', 'numpy')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
