"""What the handlers of steps work with, and which handler does which kind of step."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gpualloc.node.wire import Refused

if TYPE_CHECKING:
    from typing import Protocol  # novm

    from gpualloc.node.cgroup import Cgroups
    from gpualloc.node.nvml import Nvml
    from gpualloc.node.workloads import Workloads
else:
    Protocol = object

_HANDLERS = {
    "limit": "limiting",
    "unlimit": "limiting",
    "start": "starting",
    "stop": "starting",
    "adopt": "adopting",
    "let-go": "adopting",
    "suspend": "suspending",
    "resume": "suspending",
    "resize": "resizing",
    "mps-start": "sharing",
    "mps-stop": "sharing",
    "mig-mode": "partitioning",
    "mig-create": "partitioning",
    "mig-destroy": "partitioning",
    "set": "setting",
    "evict": "evicting",
    "signal": "signalling",
}
"""Module of `gpualloc.node` whose `Handler` does the kind; `claim` and `unclaim` are the server's own."""


class Parts:
    """A host's hardware and memory, as handlers need it.

    Args:
        state_dir: the node's state folder.
        boot_id: this boot.
        nvml: the driver library.
        cgroups: the back end for limits.
        workloads: what was started here.
        claim_folders: where claims of all accounts are; None when this state stands alone.
    """

    def __init__(
        self,
        state_dir: str,
        boot_id: str,
        *,
        nvml: "Nvml",
        cgroups: "Cgroups",
        workloads: "Workloads",
        claim_folders: "tuple[str, ...] | None",
    ) -> None:
        self.state_dir = state_dir
        self.boot_id = boot_id
        self.nvml = nvml
        self.cgroups = cgroups
        self.workloads = workloads
        self.claim_folders = claim_folders

    def devices(self) -> "list[dict[str, Any]]":
        """The rows of `inventory`, as they stand now."""
        return self.nvml.ask(lambda gpu: gpu.inventory(), lambda gpu: gpu.blank_inventory())


class StepHandler(Protocol):
    """Does steps of one or two kinds. Steps were checked by `check.step`; what cannot be is raised as `Refused`."""

    def preflight(self, step: "dict[str, Any]") -> None:
        """Refuse what `do` would refuse, without changing anything."""

    def do(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Carry the step out, or find it done; answers its facts."""

    def verify(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """`holds` and the facts read back."""

    def undo(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Take the step back, if it is there; answers the facts of the inverse."""


def handler(kind: str, parts: "Parts") -> "StepHandler":
    """The handler of that kind of step; its module is imported now. Raises Refused when there is none."""
    if kind not in _HANDLERS:
        raise Refused("bad-request", "this node program cannot do %s" % kind)
    found: "StepHandler" = import_module("gpualloc.node." + _HANDLERS[kind]).Handler(parts)
    return found
