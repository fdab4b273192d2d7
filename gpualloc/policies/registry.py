"""Policies by name. Built-in and third-party ones come in by the same door: the entry points `gpualloc.policies`."""

from __future__ import annotations

from typing import cast

from gpualloc.ports import Policy
from gpualloc.ports.plug_ins import PlugIns

POLICIES = PlugIns("gpualloc.policies", "policy", "policies", "begin(problem)")


def names() -> tuple[str, ...]:
    """Names of all installed policies, sorted; none of them is imported."""
    return POLICIES.names()


def load(name: str) -> Policy:
    """Import the policy of that name; raises as `PlugIns.load`."""
    return cast("Policy", POLICIES.load(name))
