"""What is given away on this node, for steps that would take it from under somebody."""

from typing import TYPE_CHECKING

from gpualloc.node import claims
from gpualloc.node.ledger import FileLedger
from gpualloc.node.wire import Refused

if TYPE_CHECKING:
    from gpualloc.node.parts import Parts


def check_free(parts: "Parts", device: str, instances: "list[str] | None" = None) -> None:
    """Refuse as `claimed` when a workload was given the device, or with `instances` one of those MIG instances."""
    ledger = FileLedger(parts.state_dir, parts.boot_id, parts.claim_folders)
    for claim in claims.alive(ledger.claims(), parts.workloads.records()):
        if claim["device"] == device and (instances is None or claim["mig_instance"] in instances):
            what = claim["mig_instance"] or device
            raise Refused("claimed", "%s is given to workload %s" % (what, claim["workload"]))
