"""A small world for tests of what is shown: every kind of trouble once, and names meant to do harm."""

from msgspec.structs import replace

from gpualloc.model.allocation import Allocation, Claim, Gang, Grant, HeldBy, Hold, Member, Share, WorkloadEnd
from gpualloc.model.audit import AuditEntry
from gpualloc.model.decision import Placed, Ranked, Rejection, RejectionReason
from gpualloc.model.gang import with_members
from gpualloc.model.inventory import (
    Device,
    DeviceState,
    HostReading,
    MigInstance,
    Node,
    NodeSpec,
    NodeState,
    Process,
    Snapshot,
)
from gpualloc.model.plan import BlastRadius, Plan, Step, StepKind, StepReason
from gpualloc.model.sample import METRICS, Series, SeriesKey, SeriesKind
from gpualloc.model.workload import Request, Workload, WorkloadState
from gpualloc.policies.explanation import Explanation
from gpualloc.policies.remedies import Remedy, RemedyKind
from gpualloc.policies.why import Obstacle

NOW_S = 1_800_000_000.0
SECRET = "hunter2-very-secret"
HOSTILE = "a\nb\x1b[31mred\x1b]0;title\x07 \u202egnp.exe 'x' \"y\" $(reboot) \\n"
LONG = "x" * 200
GRANT = Grant("GPU-00000000-0000-0000-0000-000000000001", Share.EXCLUSIVE)
MIG_GRANT = Grant("GPU-00000000-0000-0000-0000-000000000003", Share.MIG, mig_instance="MIG-0001")


def device(index, **changes):
    fields = {
        "uuid": f"GPU-00000000-0000-0000-0000-{index:012d}",
        "index": index,
        "model": "NVIDIA H100 80GB HBM3",
        "memory_total_mib": 81559,
        "memory_used_mib": 1024,
        "gpu_utilization_ratio": 0.25,
        "power_w": 312.4,
        "temperature_c": 51,
    }
    return Device(**{**fields, **changes})


def claim(workload, grant):
    return Claim(grant.device, workload, "c" * 32, grant.share, grant.mig_instance, 1.0, None, NOW_S - 60)


DEVICES = (
    device(0, memory_used_mib=0, gpu_utilization_ratio=0.0),
    device(1, memory_used_mib=79000, gpu_utilization_ratio=0.99),
    device(
        2,
        memory_used_mib=None,
        gpu_utilization_ratio=None,
        power_w=None,
        temperature_c=None,
        state=DeviceState.HUNG,
        reason="driver not answering since 12:00:00",
        unavailable={"memory_used_mib": "hung", "gpu_utilization_ratio": "hung", "power_w": "hung"},
    ),
    device(
        3,
        gpu_utilization_ratio=None,
        mig_enabled=True,
        unavailable={"gpu_utilization_ratio": "mig"},
        mig_instances=(
            MigInstance("MIG-0001", "3g.40gb", 0, 4, 40320, 12000),
            MigInstance("MIG-0002", "2g.20gb", 4, 2, 19968, None),
        ),
    ),
)
GPU01 = Node(
    NodeSpec("gpu01", "default", "ssh"),
    NodeState.OK,
    NOW_S - 3,
    driver_version="570.124.06",
    host=HostReading(cpus=64, memory_total_mib=515_000),
    devices=DEVICES,
    processes=(
        Process(4711, DEVICES[0].uuid, None, 512, "mallory\x1b[2J", "python", NOW_S - 99, None),
        Process(4712, DEVICES[1].uuid, None, 512, "ann", "python", NOW_S - 99, "w00000001"),
    ),
    claims=(claim("w00000001", GRANT), claim("w00000002", MIG_GRANT)),
)
GPU02 = Node(NodeSpec("gpu02", "default", "ssh"), NodeState.UNREACHABLE, NOW_S - 12, reason="connection refused")
SIM01 = Node(NodeSpec("sim01", "sim", "simulated"), NodeState.OK, NOW_S, nvml_reason="no driver library found")
SNAPSHOT = Snapshot(NOW_S, (GPU01, GPU02, SIM01))


def workload(identity, name, state, **changes):
    fields = {
        "id": identity,
        "name": name,
        "owner": "ann",
        "request": Request(command=("python", "train.py"), env=(("TOKEN", SECRET),)),
        "state": state,
        "submitted_at_s": NOW_S - 7500,
    }
    return Workload(**{**fields, **changes})


WORKLOADS = (
    workload(
        "w00000001",
        HOSTILE,
        WorkloadState.RUNNING,
        allocation=Allocation("w00000001", "gpu01", (GRANT,), cpus=4.0, memory_mib=16384),
        pid=4712,
        started_at_s=NOW_S - 7200,
        held_by=HeldBy(gpu=Hold.SOFT, cpu=Hold.HARD, memory=Hold.HARD),
    ),
    workload(
        "w00000002",
        "mig job",
        WorkloadState.RUNNING,
        allocation=Allocation("w00000002", "gpu01", (MIG_GRANT,)),
        pid=4713,
        started_at_s=NOW_S - 125,
    ),
    workload("w00000003", LONG, WorkloadState.PENDING, reason="no capacity: 8 GPUs wanted, 1 free"),
    workload(
        "w00000004",
        "日本語の名前",
        WorkloadState.FAILED,
        reason="killed by its memory limit",
        exit_code=137,
        started_at_s=NOW_S - 4000,
        ended_at_s=NOW_S - 3000,
    ),
)


def step(seq, kind, **changes):
    fields = {
        "seq": seq,
        "kind": kind,
        "node": "gpu01",
        "workload": "w00000005",
        "target": "gpu 0 (NVIDIA H100 80GB HBM3)",
        "reason": StepReason.WAITING,
        "detail": "",
        "allocation": None,
        "attempt": 1,
        "revision": 1,
    }
    return Step(**{**fields, **changes})


PLAN = Plan(
    id="p00000001",
    created_at_s=NOW_S,
    policy="best-fit",
    policy_version="1",
    seed=0,
    simulated=False,
    base={"gpu01/boot": "b"},
    base_digest="d" * 64,
    steps=(
        step(1, StepKind.CLAIM, blast_radius=BlastRadius(workloads=("w00000005",), users=("ann",))),
        step(2, StepKind.LIMIT, target="4 CPUs, 16.0 GiB memory", needs=(1,)),
        step(3, StepKind.START, target='"train"', needs=(2,), detail="waits for 2h05m"),
        step(
            4,
            StepKind.STOP,
            workload="w00000001",
            target="pid 4712",
            reason=StepReason.RELEASE,
            blast_radius=BlastRadius(("w00000001", "w00000002"), ("ann", "bob"), ("GPU-1",)),
        ),
        step(5, StepKind.UNLIMIT, workload="w00000001", reason=StepReason.RELEASE),
        step(6, StepKind.UNCLAIM, workload="w00000001", reason=StepReason.RELEASE),
    ),
    rejections=(
        Rejection("w00000003", RejectionReason.NO_CAPACITY, "8 GPUs wanted on one node; gpu01 has 1 free of 4"),
    ),
)
EMPTY_PLAN = Plan("p00000002", NOW_S, "best-fit", "1", 0, True, {}, "0" * 64)

_MEMBERS = (
    Member(0, "gpu01", (Grant("GPU-0a", Share.EXCLUSIVE), Grant("GPU-0b", Share.EXCLUSIVE)), pid=11),
    Member(1, "gpu02", (Grant("GPU-1a", Share.EXCLUSIVE),), pid=12, end=WorkloadEnd(3, NOW_S - 5)),
)
GANG = workload(
    "w00000006",
    "two nodes",
    WorkloadState.RUNNING,
    request=Request(command=("torchrun", "train.py"), gpus=3, gang=True),
    reason="member 1 on gpu02: exit code 3; the others are ended by the next apply or rebalance",
    allocation=with_members(
        Allocation("w00000006", "", (), gang=Gang(2, 3, (), address="10.0.0.1", port=29007)), _MEMBERS
    ),
    pid=11,
    started_at_s=NOW_S - 60,
)
GANG_PLAN = replace(
    PLAN,
    rejections=(),
    steps=tuple(
        step(seq, kind, workload=GANG.id, node=part.node, allocation=part, target=f"GPU 0 of {part.node}")
        for seq, (kind, part) in enumerate(
            ((kind, part) for kind in (StepKind.CLAIM, StepKind.START) for part in GANG.allocation.parts), start=1
        )
    ),
)

METRIC = METRICS["gpu_utilization_ratio"]


def series(values, key="GPU-1", every_s=10):
    points = tuple((NOW_S + i * every_s, value) for i, value in enumerate(values))
    return Series(SeriesKey(SeriesKind.DEVICE, "gpu01", key), METRIC, points)


AUDIT = (
    AuditEntry(NOW_S, "submit", "ann", "w00000001", None, {"name": HOSTILE, "gpus": 1}, 1, "0" * 64, "a" * 64),
    AuditEntry(NOW_S + 1, "start", "ann", "w00000001", "gpu01", {"pid": 4712}, 2, "a" * 64, "b" * 64),
)

WAITS = Explanation(
    WORKLOADS[2],
    Rejection("w00000003", RejectionReason.NO_CAPACITY, "needs 8 free GPUs on one node; the closest is gpu01 with 1"),
    ahead=("w00000005", "w00000001", "w00000002", "w00000004"),
    nodes=60,
    obstacles=(
        Obstacle(("GPUs given to other work",), tuple(f"gpu{number:02}" for number in range(40))),
        Obstacle(("GPUs of another model", "too few GPUs"), tuple(f"old{number:02}" for number in range(10))),
        Obstacle(("GPUs of another model",), ("old10",)),
        Obstacle(("GPUs used by a process nobody booked", "too few free CPUs"), ("gpu40",)),
        Obstacle((f"cordoned ({HOSTILE})",), ("gpu41",)),
        *(Obstacle((f"without /data/{number}",), (f"gpu{number + 50}",)) for number in range(7)),
    ),
    remedies=(
        Remedy(RemedyKind.ASK, "with 4 GPUs instead of 8", "gpu01"),
        Remedy(RemedyKind.UNCORDON, "without its cordon and the cordon of its GPU 1", "gpu41", None, ("GPU-1",), True),
        Remedy(RemedyKind.GO_FIRST, "before w00000005, which gets the place", "gpu02", workloads=("w00000005",)),
        Remedy(RemedyKind.MIGRATE, "if w00000001 ran on gpu03", "gpu01", workloads=("w00000001",), to="gpu03"),
        Remedy(RemedyKind.RELEASE, "without w00000001", "gpu01", workloads=("w00000001",)),
    ),
)
FITS = Explanation(
    WORKLOADS[2],
    Allocation("w00000003", "gpu01", (GRANT,)),
    ahead=("w00000005",),
    nodes=3,
    ranked=(Ranked("gpu01", 0.125, (GRANT.device,)), Ranked("sim01", -27.6, (DEVICES[1].uuid, DEVICES[2].uuid))),
    obstacles=(Obstacle(("does not answer (unreachable)",), ("gpu02",)),),
    layouts=("GPU 0: layout 1g.10gb@4 holds work that waits",),
)
PLACED = Placed(NOW_S - 7200, "ann", "p00000001", "best-fit 1")
