"""The numbers of the policy `pack`: how much each feature counts. No array library is needed to read them."""

from __future__ import annotations

import math
from collections.abc import Mapping

from msgspec import Struct, to_builtins

from gpualloc.errors import BrokenInputError


class Constants(Struct, frozen=True):
    """How much is to be had in reserve."""

    sharpness: float
    """How gradually a model becomes scarce, in GPUs per square root of the idle GPUs."""
    model_demand: float
    """Factor on the expected demand that is confined to a set of models."""
    supply: float
    """Part of the idle GPUs that counts as usable."""
    gang_demand: float
    """Factor on the expected number of gangs."""
    gang_spread: float
    """How gradually room for gangs becomes scarce, in square roots of their expected number."""


class Weights(Struct, frozen=True):
    """How much each feature counts, for one kind of work. All features are in GPUs or without unit."""

    demand: float = 0.0
    """Fall of the expected fragment, shapes weighed by the compute they ask for."""
    regret: float = 0.0
    """Loss of a hole: what the best use of the device's free part was worth, less what is still possible
    (`policies.holes`)."""
    deficit: float = 0.0
    """Fall of the idle GPUs that lack CPU, at the CPU per GPU of the demand."""
    cores: float = 0.0
    """CPU left on the node, in GPUs' worth, of the largest node's."""
    whole: float = 0.0
    """Idle devices left on the node, of the largest node's."""
    assort: float = 0.0
    """Work with more CPU per GPU than usual on nodes with more CPU per idle GPU than usual, and less on less."""
    model: float = 0.0
    """Price of the node's model (`policies.scarcity`), for each GPU taken."""
    slot: float = 0.0
    """Price of the room for gangs that is lost (`policies.scarcity`)."""


class Profile(Struct, frozen=True):
    """All numbers of the policy."""

    gpu: Weights
    """For work with GPUs."""
    cpu: Weights
    """For work without."""
    spare_cpu: float
    """CPU that an idle GPU should have, in parts of what the demand has per GPU."""
    constants: Constants


DEFAULT = Profile(
    gpu=Weights(demand=1.0, regret=30.0, deficit=0.3, cores=0.1, whole=1.5, assort=0.2, model=6.0, slot=2.0),
    cpu=Weights(demand=1.0, deficit=0.1, cores=-0.2, slot=2.0),
    spare_cpu=1.1,
    constants=Constants(sharpness=0.5, model_demand=1.0, supply=1.0, gang_demand=1.3, gang_spread=1.0),
)
"""Found by search on orders of arrival that nothing is judged on (docs/packing.md)."""
POSITIVE = frozenset({"spare_cpu", "constants.sharpness", "constants.gang_spread"})
"""Numbers (as in `weights_of`) that something is divided by."""
_NEVER_NEGATIVE = frozenset({"constants.model_demand", "constants.supply", "constants.gang_demand"})
_SMALLEST = 1e-6


def weights_of(profile: Profile) -> dict[str, float]:
    """All numbers by name, such as `gpu.demand`; the opposite of `profile_of`."""
    kinds = {
        "gpu": to_builtins(profile.gpu),
        "cpu": to_builtins(profile.cpu),
        "constants": to_builtins(profile.constants),
    }
    named = {f"{kind}.{name}": value for kind, numbers in kinds.items() for name, value in numbers.items()}
    return {**named, "spare_cpu": profile.spare_cpu}


def profile_of(weights: Mapping[str, float]) -> Profile:
    """The profile of these numbers.

    Raises:
        BrokenInputError: one is missing, not known, or has no meaning: names it.
    """
    known = weights_of(DEFAULT)
    for name in sorted(weights.keys() ^ known.keys()):
        what = "is missing" if name in known else "is not known"
        raise BrokenInputError(f"the weight {name[:60]!r} {what}", hint=f"pack has {', '.join(sorted(known))}")
    for name, value in weights.items():
        least = 0.0 if name in _NEVER_NEGATIVE else _SMALLEST if name in POSITIVE else -math.inf
        if value < least:
            raise BrokenInputError(f"the weight {name!r} is {value:g}, and at least {least:g} is expected")

    def of(kind: str, names: type[Weights] | type[Constants]) -> dict[str, float]:
        return {name: weights[f"{kind}.{name}"] for name in names.__struct_fields__}

    return Profile(
        gpu=Weights(**of("gpu", Weights)),
        cpu=Weights(**of("cpu", Weights)),
        spare_cpu=weights["spare_cpu"],
        constants=Constants(**of("constants", Constants)),
    )
