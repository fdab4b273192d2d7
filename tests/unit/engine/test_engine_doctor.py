"""The doctor: facts in, findings out."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from gpualloc.engine.doctor import NETWORK_FILE_SYSTEMS, LocalFacts, diagnose, healthy
from gpualloc.engine.doctor_finding import Finding, Verdict
from gpualloc.model.inventory import CgroupSupport, Device, DeviceState, Node, NodeSpec, NodeState, Snapshot

NOW = 1_790_000_000.0
FACTS = LocalFacts(
    config_file="/etc/gpualloc/config.toml",
    config_problem=None,
    state_dir="/var/lib/gpualloc",
    state_problem=None,
    state_file_system="ext4",
    pynvml_distributions=("nvidia-ml-py",),
    now_s=NOW,
)
WELL = Node(
    spec=NodeSpec("gpu01", "p", "ssh"),
    state=NodeState.OK,
    at_s=NOW,
    driver_version="580.95.05",
    python_version="3.6.15",
    user="root",
    privileged=True,
    cgroup=CgroupSupport("v2", ("cpu", "cpuset", "memory", "pids"), writable=True),
    devices=(Device("GPU-1", 0, "NVIDIA L4", 23034),),
)


def findings(node: Node | None = None, facts: LocalFacts = FACTS) -> tuple[Finding, ...]:
    return diagnose(Snapshot(NOW, (node,) if node else ()), facts)


def one(check: str, node: Node | None = None, facts: LocalFacts = FACTS) -> Finding:
    (finding,) = [found for found in findings(node, facts) if found.check == check and found.verdict is not Verdict.OK]
    return finding


def test_all_is_well():
    found = findings(WELL)
    assert {finding.verdict for finding in found} == {Verdict.OK}
    assert {finding.check for finding in found if finding.node == "gpu01"} == {"reach", "nvml", "cgroup", "privilege"}
    assert healthy(found)


def test_this_installation_is_checked_without_any_node():
    checks = [finding.check for finding in diagnose(None, FACTS)]
    assert checks == ["config", "state", "state-file-system", "pynvml", "clock"]


@pytest.mark.parametrize(
    ("change", "check", "told"),
    [
        ({"config_problem": "FILE, line 3: polcy: no such key"}, "config", "line 3"),
        ({"state_problem": "cannot be written: Read-only file system"}, "state", "Read-only file system"),
        ({"pynvml_distributions": ("nvidia-ml-py", "pynvml")}, "pynvml", "it comes from pynvml"),
        ({"pynvml_distributions": ()}, "pynvml", "not installed"),
        ({"now_s": 12.0}, "clock", "never set"),
        *(({"state_file_system": kind}, "state-file-system", kind) for kind in sorted(NETWORK_FILE_SYSTEMS)),
    ],
)
def test_problems_of_this_installation(change, check, told):
    found = one(check, facts=replace(FACTS, **change))
    assert found.verdict is Verdict.PROBLEM
    assert told in found.what
    assert found.hint
    assert not healthy((found,))


@pytest.mark.parametrize("state", [state for state in NodeState if state is not NodeState.OK])
def test_each_way_not_to_reach_a_node_has_its_word_and_hint(state):
    found = one("reach", replace(WELL, state=state, reason="because"))
    assert (found.verdict, found.node, found.what) == (Verdict.PROBLEM, "gpu01", f"{state.value}: because")
    assert found.hint
    assert len([f for f in findings(replace(WELL, state=state)) if f.node == "gpu01"]) == 1


@pytest.mark.parametrize(
    ("change", "check", "verdict", "told"),
    [
        ({"nvml_reason": "libnvidia-ml.so.1 is not installed", "devices": ()}, "nvml", Verdict.WARNING, "no GPUs"),
        (
            {"nvml_reason": "the kernel driver is 580.1 and the library 590.2: reboot", "devices": ()},
            "nvml",
            Verdict.PROBLEM,
            "580.1 and the library 590.2",
        ),
        ({"cgroup": CgroupSupport("none")}, "cgroup", Verdict.PROBLEM, "no control groups"),
        ({"cgroup": CgroupSupport("v1", ("cpu",), writable=True)}, "cgroup", Verdict.WARNING, "without memory, pids"),
        ({"privileged": False}, "privilege", Verdict.WARNING, "only limits of"),
        ({"cgroup": replace(WELL.cgroup, writable=False)}, "privilege", Verdict.WARNING, "cannot be written"),
        ({"clock_offset_s": 90.0}, "clock", Verdict.WARNING, "90 s ahead of"),
        ({"clock_offset_s": -90.0}, "clock", Verdict.WARNING, "90 s behind"),
        (
            {"devices": (replace(WELL.devices[0], state=DeviceState.LOST, reason="Xid 79"),)},
            "device",
            Verdict.PROBLEM,
            "GPU lost: Xid 79",
        ),
        (
            {"other_controllers": ("slurmd",), "spec": replace(WELL.spec, manage=True)},
            "controller",
            Verdict.WARNING,
            "changed all the same",
        ),
    ],
)
def test_what_is_wrong_on_a_node(change, check, verdict, told):
    found = one(check, replace(WELL, **change))
    assert (found.verdict, found.node) == (verdict, "gpu01")
    assert told in found.what
    assert found.hint


def test_a_node_that_is_only_looked_at_is_no_problem():
    found = [f for f in findings(replace(WELL, other_controllers=("slurmd",))) if f.check == "controller"]
    assert [(f.verdict, f.what) for f in found] == [(Verdict.OK, "slurmd found: only looked at")]
