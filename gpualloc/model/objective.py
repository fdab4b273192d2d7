"""What a decision is good for, where more than one place would do."""

from __future__ import annotations

from enum import StrEnum


class Objective(StrEnum):
    """What places are chosen for. The policy still decides among those that the objective likes equally."""

    COST = "cost"
    """Money: no empty node with a price begins while one in use would do; then the lower price of a GPU-hour."""
    JCT = "jct"
    """Job completion time: the faster GPUs, as far as speeds are told, and whole free GPUs before shared ones."""
    ENERGY = "energy"
    """Watts: no empty node and no idle GPU begins while one in use would do; then the GPUs that may draw least."""
    BALANCED = "balanced"
    """None of them alone: as the policy itself decides."""
