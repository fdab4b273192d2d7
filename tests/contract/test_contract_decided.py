"""A policy that decides otherwise than it did has another version: where it puts all problems of the contract."""

from __future__ import annotations

import hashlib

import pytest

from gpualloc.engine.decide import decide
from gpualloc.policies import registry
from gpualloc.policies.contract import problems

DECIDED = {
    "batch 1": "77b0854e5d054abd",
    "best-fit 3": "a17cbff42490aa65",
    "clustering 1": "13194daa019c6730",
    "dot-product 1": "a17cbff42490aa65",
    "evolved 1": "8efd6b48b718be00",
    "fgd 1": "a17cbff42490aa65",
    "first-fit 2": "a17cbff42490aa65",
    "gpu-packing 1": "a17cbff42490aa65",
    "pack 1": "8efd6b48b718be00",
    "random 1": "1809e70e27aa70aa",
    "spread 3": "2775162330b10ebd",
}
"""SHA-256, in part, of the places by name and version, for `balanced`."""


@pytest.mark.parametrize("name", [known.partition(" ")[0] for known in DECIDED])
def test_places_are_those_of_the_version(name: str) -> None:
    policy = registry.load(name)
    digest = hashlib.sha256()
    for about, problem in sorted(problems().items()):
        for each in decide(problem, policy).allocations:
            devices = [(grant.device, grant.mig_instance) for grant in each.grants]
            digest.update(repr((about, each.workload, each.node, devices)).encode())
    assert DECIDED[f"{name} {policy.version}"] == digest.hexdigest()[:16]
