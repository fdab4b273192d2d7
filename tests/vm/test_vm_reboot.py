"""What is left of a promise when its node boots anew: nothing of the kernel's, and the truth about the rest."""

import signal

import pytest
from fakes.nvml_stub import FakeGpu
from vm.head import Head

pytestmark = pytest.mark.vm

LIMITS = ("--memory", "64MiB", "--pids", "20")


@pytest.mark.parametrize("orderly", [True, False])
def test_after_a_reboot_groups_and_claims_are_gone_and_it_is_told(node, tmp_path, orderly):
    head = Head(tmp_path, guest=node.guest)
    head.give_gpus([FakeGpu(0)])
    head.log_in_as("root")
    kept = head.started("--gpus", "1", *LIMITS, "--", "sleep", "3600")
    assert node.units() != []
    node.ask(("make", "w00000000"), ("set", "w00000000", {"pids": 9}))
    before = node.guest.boot_id()

    node.guest.reboot(orderly=orderly)

    assert node.guest.boot_id() != before
    assert node.units() == []
    assert node.traces() == ""
    assert node.ask(("exists", kept["id"]), ("exists", "w00000000"), ("mode",)) == [False, False, "systemd"]
    row = head.workload(kept["id"])
    # Its keeper sees systemd end it, and may get to write that down.
    seen = orderly and row["state"] == "failed"
    told = (row["state"], row["exit_code"], row["reason"])
    reasons = {"the node was rebooted"}
    if not orderly:
        # What was written seconds before the power went may be gone with it: folders are not forced to disk.
        reasons.add("its node has no record of it any more")
    assert row["exit_code"] == 128 + signal.SIGTERM if seen else told in {("lost", None, each) for each in reasons}
    again = head.started("--gpus", "1", *LIMITS, "--require", "hard", "--", "sleep", "3600")
    assert again["devices"] == kept["devices"]
    head.run("release", again["id"])
    assert node.units() == []
