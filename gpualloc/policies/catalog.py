"""What is known of the installed policies without importing any of them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint

from msgspec import Struct, field

from gpualloc.policies import registry
from gpualloc.policies.weights import DEFAULT, weights_of

PACKAGE = "gpualloc"
BASELINE = "baseline"
PACKING = "packing"
PLUG_IN = "plug-in"
_COMPARED = 'in the form of Weng et al., "Beware of Fragmentation", USENIX ATC 2023'


class Listed(Struct, frozen=True):
    """A policy as it is listed."""

    name: str
    kind: str
    """`packing` (built in), `baseline` (built in, to compare with) or `plug-in` (of another package)."""
    source: str
    """Where it comes from: the publication of a built-in, the package and version of a plug-in."""
    about: str | None = None
    """What it does in one line; None when only the plug-in knows."""
    parameters: Mapping[str, float] | None = field(default_factory=dict)
    """What it can be tuned by, with the values in force; None when only the plug-in knows."""


_BUILT_IN = (
    Listed(
        "batch",
        PACKING,
        "gpualloc; patterns after Gilmore and Gomory, Operations Research 1961, by HiGHS (extra lp)",
        "all that waits packed at once by an integer programme, what is left as pack",
    ),
    Listed(
        "evolved",
        PACKING,
        "gpualloc; expressions found by `gpualloc tune --method expressions`",
        "by the scoring expressions of a profile; without one as pack",
        parameters={},
    ),
    Listed(
        "pack",
        PACKING,
        "gpualloc; fragments after Weng et al., USENIX ATC 2023",
        "where what stays idle is of most use to the work that is expected (the default)",
        weights_of(DEFAULT),
    ),
    Listed(
        "best-fit",
        BASELINE,
        f'Hadary et al., "Protean", OSDI 2020, {_COMPARED}',
        "the node with the least CPU and compute left, and on it the fullest device",
    ),
    Listed(
        "clustering",
        BASELINE,
        f'Xiao et al., "Gandiva", OSDI 2018, {_COMPARED}',
        "a node with work of the same number of GPUs, and on it the fullest device",
    ),
    Listed(
        "dot-product",
        BASELINE,
        f'Grandl et al., "Multi-Resource Packing for Cluster Schedulers", SIGCOMM 2014, {_COMPARED}',
        "the node whose free CPU and compute have the smallest dot product with the request",
    ),
    Listed(
        "fgd",
        BASELINE,
        'Weng et al., "Beware of Fragmentation", USENIX ATC 2023',
        "where the expected fragmentation grows least",
        {"covered": 0.95},
    ),
    Listed(
        "first-fit",
        BASELINE,
        'Johnson, "Near-Optimal Bin Packing Algorithms", MIT 1973',
        "the first place that fits, by node name and device index",
    ),
    Listed(
        "gpu-packing",
        BASELINE,
        f'Weng et al., "MLaaS in the Wild", NSDI 2022, {_COMPARED}',
        "devices in use before idle ones, nodes in use before idle ones",
    ),
    Listed("random", BASELINE, f"Random, {_COMPARED}", "any node that fits, and on it any device, by lot"),
    Listed(
        "spread",
        BASELINE,
        "gpualloc",
        "the emptiest device for a part of one, else the node with most compute free",
    ),
)
BUILT_IN = {one.name: one for one in _BUILT_IN}
"""The policies of this package by name."""


def listed() -> tuple[Listed, ...]:
    """All installed policies, by name; none of them is imported."""
    return tuple(_listed(name, entry) for name, entry in sorted(registry.POLICIES.entries().items()))


def _listed(name: str, entry: EntryPoint) -> Listed:
    package = entry.dist
    if package is None:
        return Listed(name, PLUG_IN, entry.value, parameters=None)
    if package.name == PACKAGE and name in BUILT_IN:
        return BUILT_IN[name]
    return Listed(name, PLUG_IN, f"{package.name} {package.version}", parameters=None)
