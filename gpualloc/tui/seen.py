"""What is known of the fleet so far: the last answer of every node, and when it came."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from gpualloc.engine.judging import NOTHING_JUDGED, Judged
from gpualloc.errors import GpuallocError
from gpualloc.model.inventory import Device, DeviceState, Node, NodeSpec, NodeState, Process
from gpualloc.model.workload import Workload


class SeenNode(Struct, frozen=True):
    """The last answer of one node, and what was true when it was last well."""

    spec: NodeSpec
    node: Node | None = None
    """Its last answer, a failure included; None while none has come."""
    heard_s: float | None = None
    """Ticks at which `devices` and `processes` were true; None when it never was well."""
    devices: tuple[Device, ...] = ()
    processes: tuple[Process, ...] = ()
    answered_s: Mapping[str, float] = field(default_factory=dict)
    """Device UUID to the ticks at which its driver last answered."""

    @property
    def name(self) -> str:
        """The node's configured name."""
        return self.spec.name

    @property
    def failing(self) -> bool:
        """Whether its last answer was a failure."""
        return self.node is not None and self.node.state is not NodeState.OK

    def after(self, node: Node, ticks_s: float, lag_s: float) -> SeenNode:
        """This, once `node` has answered at `ticks_s` with readings that were `lag_s` old."""
        if node.state is not NodeState.OK:
            # What was last true stays, to be shown with its age.
            devices = node.devices or self.devices
            return replace(self, spec=node.spec, node=node, devices=devices)
        heard_s = ticks_s - lag_s
        answered = {
            device.uuid: self.answered_s.get(device.uuid) if device.state is DeviceState.HUNG else heard_s
            for device in node.devices
        }
        return SeenNode(
            spec=node.spec,
            node=node,
            heard_s=heard_s,
            devices=node.devices,
            processes=node.processes,
            answered_s={uuid: at for uuid, at in answered.items() if at is not None},
        )


class Seen(Struct, frozen=True):
    """Everything known at one moment."""

    nodes: tuple[SeenNode, ...]
    """Sorted by name."""
    workloads: tuple[Workload, ...] | None = None
    """None before the first whole look."""
    looks: int = 0
    """Whole looks so far."""
    look_since_s: float | None = None
    """Ticks at which the look under way began; None between looks."""
    waiting_for: tuple[str, ...] = ()
    """Nodes that the look under way has not heard yet."""
    judged: Judged = NOTHING_JUDGED
    """What is wrong with nodes and devices, and what happened that nobody has kept yet."""
    error: GpuallocError | None = None
    """Why the last look failed as a whole; None when it did not."""
