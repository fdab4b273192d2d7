"""Nodes with every reading there is, with none, and with texts meant to do harm: for whatever passes readings on."""

from fakes import sample_world as world
from msgspec.structs import replace

from gpualloc.model.allocation import Claim, Share
from gpualloc.model.health import KernelMessage, Trouble
from gpualloc.model.inventory import Device, HostReading, MigInstance, Node, NodeSpec, NodeState, Process, Snapshot
from gpualloc.model.readings import Activity, Board, Ecc, NetworkPort, NvLink, Pcie, Throttle

NOW_S = world.NOW_S
FULL_UUID = "GPU-11111111-0000-0000-0000-000000000000"
BARE_UUID = "GPU-22222222-0000-0000-0000-000000000000"
MIG_UUID = "MIG-33333333-0000-0000-0000-000000000000"

FULL = Device(
    uuid=FULL_UUID,
    index=0,
    model="NVIDIA H100 80GB HBM3",
    memory_total_mib=81559,
    memory_used_mib=40000,
    gpu_utilization_ratio=0.5,
    memory_utilization_ratio=0.25,
    power_w=650.5,
    power_limit_w=700.0,
    temperature_c=71,
    sm_clock_mhz=1410,
    mig_enabled=True,
    mig_pending=True,
    mig_instances=(MigInstance(MIG_UUID, "3g.40gb", 0, 4, 40320, 12000, Activity(0.5, 0.4, 0.3, 0.2)),),
    minor=3,
    architecture="hopper",
    cpus="0-47",
    numa_node=0,
    power_limit_default_w=700.0,
    power_limit_min_w=200.0,
    power_limit_max_w=700.0,
    memory_temperature_c=88,
    memory_clock_mhz=2619,
    fan_ratio=0.0,
    energy_j=123456.75,
    performance_state=0,
    encoder_utilization_ratio=0.0,
    decoder_utilization_ratio=0.125,
    throttles=(Throttle.SW_THERMAL, Throttle.IDLE),
    activity=Activity(0.61, 0.42, 0.33, 0.27),
    ecc=Ecc(True, True, 7, 1, 70, 10, 2, 1, True, False),
    pcie=Pcie(5, 8, 5, 16, 3, 1.5e9, 2.5e9),
    nvlinks=(NvLink(0, True, "switch", 0), NvLink(1, False, None, 4)),
    nvlink_rx_bytes_per_s=1e11,
    nvlink_tx_bytes_per_s=2e11,
    board=Board("0000:3b:00.0", "165", "96.00.74", "G520.0200"),
    peers={BARE_UUID: "NV18"},
)
BARE = Device(
    uuid=BARE_UUID,
    index=1,
    model="NVIDIA H100 80GB HBM3",
    memory_total_mib=None,
    unavailable={"memory_total_mib": "not supported", "ecc.enabled": "not supported", "processes": "hung"},
)
EVIL = f"{world.HOSTILE}\t=cmd|'/c calc'!A0,\r\n" + "x" * 5_000
FULL_NODE = Node(
    NodeSpec("full", "main", "ssh", labels={"rack": "r1"}, gpus=3),
    NodeState.OK,
    NOW_S - 2,
    boot_id="b00t",
    hostname="full.example",
    driver_version="570.124.06",
    host=HostReading(
        64, 0.25, 515_000, 400_000, 900_000, 100, 1.0, 2.0, 0.0, 3.0, 4.0, 5.0, 0.0, 6.0, 7.0,
        (NetworkPort("mlx5_0/1", "infiniband", True, 5e10, 1e9, 2e9, 0.0), NetworkPort("eth0", "ethernet", False)),
        3,
    ),
    devices=(FULL, BARE),
    processes=(
        Process(
            4711, FULL_UUID, MIG_UUID, 512, "ann", "/usr/bin/python train.py --key secret", NOW_S - 99, "w00000001",
            "0123456789ab", "team/train-0", "4242.0", 1, 0.5, 2.25, 2048,
        ),
        Process(4712, BARE_UUID, None, None, None, None, None, None),
    ),
    claims=(Claim(FULL_UUID, "w00000001", "c" * 32, Share.MIG, MIG_UUID, 1.0, None, NOW_S - 60),),
    kernel_messages=(KernelMessage(7, NOW_S - 50, Trouble.XID, 79, "0000:3b:00.0", "NVRM: Xid 79"),),
)  # fmt: skip
EVIL_NODE = Node(
    NodeSpec("evil", EVIL, "ssh"),
    NodeState.OK,
    NOW_S - 1,
    reason=EVIL,
    hostname=EVIL,
    driver_version=EVIL,
    limited=EVIL,
    host=HostReading(ports=(NetworkPort(EVIL, "ethernet", True),)),
    devices=(replace(FULL, uuid="GPU-evil", model=EVIL, reason=EVIL, cordon=EVIL, unavailable={EVIL: EVIL}),),
    processes=(Process(1, "GPU-evil", None, 1, EVIL, EVIL, None, EVIL, EVIL, EVIL, EVIL),),
)
DOWN_NODE = Node(NodeSpec("down", "main", "ssh"), NodeState.UNREACHABLE, NOW_S - 12, reason="connection refused")
STALE_NODE = replace(
    FULL_NODE, spec=NodeSpec("late", "main", "ssh"), state=NodeState.STALE, at_s=NOW_S - 60, reason="silent for 60 s"
)
SNAPSHOT = Snapshot(NOW_S, (DOWN_NODE, EVIL_NODE, FULL_NODE, STALE_NODE))
PLAIN_SNAPSHOT = Snapshot(NOW_S, (DOWN_NODE, FULL_NODE, STALE_NODE))
