"""What a node or device costs, draws and does: what operators and drivers tell of it. Nothing is made up."""

from __future__ import annotations

import math

from gpualloc.model.inventory import Device, Node

SPEED = "speed"
"""Label of a pool or node: how fast its GPUs are beside the others of the fleet, a number above 0."""
MAX_SPEED = 1e6
"""A speed is between 1 / MAX_SPEED and this."""


def price_of(node: Node) -> float | None:
    """Price of one GPU of the node for an hour; 0 where there are no GPUs, None when its pool has no price."""
    return node.spec.price_per_gpu_hour if node.devices else 0.0


def speed_of(node: Node) -> float | None:
    """How fast GPUs of the node are beside others; None when the label is not there or is no number above 0."""
    try:
        speed = float(node.spec.labels[SPEED])
    except (KeyError, ValueError):
        return None
    return speed if math.isfinite(speed) and 1 / MAX_SPEED <= speed <= MAX_SPEED else None


def limit_of(device: Device) -> float | None:
    """The most the device may draw, W: the limit in force, else the one it came with; None when neither is told.

    What it draws at this moment says little of what it will draw with other work, and changes from look to look.
    """
    return device.power_limit_w if device.power_limit_w is not None else device.power_limit_default_w
