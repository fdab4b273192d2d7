"""The host's load: what one look cannot know, and what the look before makes known."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time

import pytest

from gpualloc.adapters.decode_readings import decode_host
from gpualloc.adapters.fields import Fields
from gpualloc.node import counters, host, ports
from gpualloc.node.gpu_bus import GpuBus
from gpualloc.node.host import Host
from gpualloc.node.ports import Ports

RATES = ("cpu_utilization_ratio", "network_rx_bytes_per_s", "network_tx_bytes_per_s")
NO_PORT_RATES = {"rx_bytes_per_s": None, "tx_bytes_per_s": None, "errors_per_s": None}

STAT = "cpu  {busy} 0 0 {idle} 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\n"
MEMINFO = "MemTotal:       2097152 kB\nMemFree:         1 kB\nMemAvailable:   1048576 kB\n"
NET_HEAD = "Inter-| Receive | Transmit\n face |bytes packets errs drop fifo frame compressed multicast|bytes ...\n"


@pytest.fixture(autouse=True)
def time_enough(monkeypatch):
    """Ports are waited for, however busy the machine is."""
    monkeypatch.setattr(ports, "WITHIN_S", 600.0)


@pytest.fixture
def kept(tmp_path):
    return tmp_path / "state" / "host.json"


class Tree:
    """A /proc and /sys of its own."""

    def __init__(self, root):
        self.root = root
        self.put("proc/stat", STAT.format(busy=100, idle=900))
        self.put("proc/meminfo", MEMINFO)
        self.put("proc/vmstat", "nr_free_pages 7\npswpin 0\npswpout 0\n")
        self.put("proc/diskstats", "")
        self.net()

    def put(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def net(self, **interfaces):
        """Bytes in, bytes out, and errors and drops of each interface."""
        lines = [
            f"{name:>6}: {rx} 9 {bad} 1 0 0 0 0 {tx} 9 2 3 0 0 0 0\n"
            for name, (rx, tx, bad) in {"lo": (5, 5, 5), **interfaces}.items()
        ]
        self.put("proc/net/dev", NET_HEAD + "".join(lines))

    def disks(self, **operations):
        """Reads and writes of each block device."""
        lines = [f" 8 0 {name} {reads} 1 2 3 {writes} 5 6 7 0 8 9\n" for name, (reads, writes) in operations.items()]
        self.put("proc/diskstats", "".join(lines))

    def rdma(self, name, *, layer="InfiniBand", state="4: ACTIVE", rate="400 Gb/sec (4X NDR)", **counted):
        folder = f"sys/class/infiniband/{name}"
        self.put(f"{folder}/state", state + "\n")
        self.put(f"{folder}/rate", rate + "\n")
        self.put(f"{folder}/link_layer", layer + "\n")
        for counter, count in counted.items():
            self.put(f"{folder}/counters/{counter}", f"{count}\n")


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path / "root")


@pytest.fixture
def clock(monkeypatch):
    """Monotonic time that passes by `pass_`; what waits in threads is not concerned."""

    class Clock:
        now_s = 1000.0

        def pass_(self, seconds):
            self.now_s += seconds

        def monotonic(self):
            return self.now_s

    clock = Clock()
    for module in (counters, host):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def looked(tree, clock):
    """A host whose first look is over; ten seconds pass until the next."""

    def look(change=lambda: None):
        now = Host(None, Ports(str(tree.root)), None, str(tree.root))
        clock.pass_(10)
        now.sample()
        clock.pass_(10)
        change()
        return now.sample()

    return look


def rates(host):
    sample = host.sample()
    return [sample[name] for name in RATES]


def let_ticks_pass():
    until = time.monotonic() + 0.12
    while time.monotonic() < until:
        pass


def test_a_first_look_has_no_rates_and_no_made_up_zero(kept, clock):
    assert rates(Host(str(kept))) == [None, None, None]
    sample = Host(str(kept)).sample()
    assert sample["memory_available_mib"] > 0
    assert [name for name, value in sample.items() if name.endswith("per_s") and value is not None] == []


def test_the_next_program_tells_the_mean_since_the_look_before(kept):
    Host(str(kept), Ports()).sample()
    let_ticks_pass()
    sample = Host(str(kept), Ports()).sample()
    assert 0 < sample["cpu_utilization_ratio"] <= 1
    assert sample["network_rx_bytes_per_s"] >= 0
    assert sample["network_tx_bytes_per_s"] >= 0
    assert all(port["rx_bytes_per_s"] >= 0 for port in sample["ports"])


def test_one_program_goes_on_from_its_own_looks(kept):
    host = Host()
    let_ticks_pass()
    assert rates(host)[0] > 0
    assert not kept.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"boot_id": "another boot"},
        {"at_s": -1e9},
        {"at_s": 1e18},
        {"at_s": float("nan")},
        {"values": "many"},
        {"values": []},
        {"values": {}},
        {"values": None},
        {"values": {"cpu_busy": "many"}},
        {"values": {"cpu_busy": 1e400}},
    ],
)
def test_counters_that_do_not_fit_are_not_used(kept, clock, change):
    Host(str(kept)).sample()
    content = json.loads(kept.read_text())
    clock.pass_(10)
    assert None not in rates(Host(str(kept)))[1:]
    kept.write_text(json.dumps({**content, **change}))
    assert rates(Host(str(kept))) == [None, None, None]


def test_a_file_that_cannot_be_read_or_written_costs_only_the_rates(kept, clock):
    kept.parent.write_text("a file where the folder should be")
    assert rates(Host(str(kept))) == [None, None, None]


def test_what_a_look_tells_is_what_the_head_understands(looked, tree):
    tree.rdma("mlx5_0/ports/1", port_rcv_data=0, port_xmit_data=0)
    told = looked()
    reading = decode_host(Fields({}, "inventory"), Fields(told, "sample"))
    assert [port.name for port in reading.ports] == ["mlx5_0/1"]
    assert reading.rdma_rx_bytes_per_s == 0


def test_load_network_and_swap_over_ten_seconds(looked, tree):
    tree.net(eth0=(1000, 2000, 0), docker0=(0, 0, 0))

    def change():
        tree.put("proc/stat", STAT.format(busy=175, idle=925))
        tree.put("proc/vmstat", "pswpin 10\npswpout 20\n")
        tree.net(eth0=(1500, 2400, 30), docker0=(500, 600, 0), lo=(10**9, 10**9, 10**9))

    told = looked(change)
    assert told["cpu_utilization_ratio"] == 0.75
    assert told["memory_available_mib"] == 1024
    assert (told["network_rx_bytes_per_s"], told["network_tx_bytes_per_s"]) == (100, 100)
    assert told["network_errors_per_s"] == 3
    page = os.sysconf("SC_PAGE_SIZE")
    assert (told["swap_in_bytes_per_s"], told["swap_out_bytes_per_s"]) == (page, 2 * page)


def test_disks_are_counted_once(looked, tree):
    for whole in ("nvme0n1", "sda", "cciss!c0d0"):
        (tree.root / "sys/block" / whole / "device").mkdir(parents=True)
    for laid_over in ("dm-0", "md0", "loop0", "zram0"):
        (tree.root / "sys/block" / laid_over).mkdir(parents=True)
    names = ("nvme0n1", "nvme0n1p1", "sda", "sda1", "cciss/c0d0", "dm-0", "md0", "loop0", "zram0")
    tree.disks(**dict.fromkeys(names, (0, 0)))
    told = looked(lambda: tree.disks(**dict.fromkeys(names, (100, 50))))
    assert (told["disk_reads_per_s"], told["disk_writes_per_s"]) == (30, 15)


def test_a_host_without_disks_and_rdma_has_no_rates_of_them(looked):
    told = looked()
    names = ("disk_reads_per_s", "disk_writes_per_s", "rdma_rx_bytes_per_s", "rdma_tx_bytes_per_s")
    assert [told[name] for name in names] == [None] * 4
    assert told["ports"] == []


def ethernet(tree, name, *, speed="100000", carrier="1", kind="1", device=True, bond=False, virtual=False):
    folder = f"sys/class/net/{name}"
    tree.put(f"{folder}/type", kind + "\n")
    tree.put(f"{folder}/speed", speed + "\n")
    tree.put(f"{folder}/carrier_down_count", "0\n")
    tree.put(f"{folder}/operstate", "up\n" if carrier == "1" else "down\n")
    if carrier is not None:
        tree.put(f"{folder}/carrier", carrier + "\n")
    if device:
        (tree.root / folder / "device").mkdir()
    if bond:
        (tree.root / folder / "bonding").mkdir()
    if virtual:
        (tree.root / folder / "device" / "physfn").mkdir()


def test_ports_are_the_interfaces_that_lead_out(looked, tree):
    ethernet(tree, "eth0")
    ethernet(tree, "bond0", device=False, bond=True)
    ethernet(tree, "docker0", device=False)
    ethernet(tree, "veth12", device=False)
    ethernet(tree, "eth0v3", virtual=True)
    ethernet(tree, "ib0", kind="32")
    names = ("eth0", "bond0", "docker0", "veth12", "eth0v3", "ib0")
    tree.net(**dict.fromkeys(names, (0, 0, 0)))

    def change():
        tree.net(**dict.fromkeys(names, (1000, 2000, 0)))
        tree.put("sys/class/net/eth0/carrier_down_count", "20\n")

    bond, eth = looked(change)["ports"]
    assert bond == {
        "name": "bond0",
        "kind": "ethernet",
        "up": True,
        "speed_bytes_per_s": 12.5e9,
        "rx_bytes_per_s": 100,
        "tx_bytes_per_s": 200,
        "errors_per_s": 0,
    }
    assert eth == dict(bond, name="eth0", errors_per_s=2)


OF_A_CONTAINER = """
mount -t sysfs none /sys
ip link add veth7 type veth peer name eth7
ip link add br7 type bridge
ip link set veth7 up
exec "$0" -c 'from gpualloc.node.network import *; print(sorted(interfaces()), list(ethernet_ports()))'
"""


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("ip") is None, reason="needs root and ip")
def test_real_interfaces_of_containers_are_no_ports():
    command = ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-ec", OF_A_CONTAINER, sys.executable]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout == "['br7', 'eth7', 'veth7'] []\n"


@pytest.mark.parametrize("speed", ["-1", "0", "4294967295", "fast", ""])
def test_a_speed_that_cannot_be_is_not_told(looked, tree, speed):
    ethernet(tree, "eth0", speed=speed)
    tree.net(eth0=(0, 0, 0))
    assert looked()["ports"][0]["speed_bytes_per_s"] is None


@pytest.mark.parametrize(("carrier", "up"), [("1", True), ("0", False), (None, False)])
def test_whether_a_port_has_a_link(looked, tree, carrier, up):
    ethernet(tree, "eth0", carrier=carrier)
    tree.net(eth0=(0, 0, 0))
    assert looked()["ports"][0]["up"] is up


def test_rdma_ports_count_in_words_and_are_summed(looked, tree):
    tree.rdma("mlx5_0/ports/1", port_rcv_data=0, port_xmit_data=0, symbol_error=1, link_downed=0)
    tree.rdma("mlx5_1/ports/1", layer="Ethernet", rate="25 Gb/sec (1X EDR)", port_rcv_data=0, port_xmit_data=0)
    tree.rdma("mlx5_2/ports/1", state="1: DOWN", rate="", port_rcv_data=7, port_xmit_data=7)
    tree.rdma("irdma0/ports/1", layer="Ethernet")

    def change():
        tree.rdma("mlx5_0/ports/1", port_rcv_data=1000, port_xmit_data=2000, symbol_error=11, link_downed=10)
        tree.rdma("mlx5_1/ports/1", layer="Ethernet", port_rcv_data=10, port_xmit_data=20)

    told = looked(change)
    by_name = {port.pop("name"): port for port in told["ports"]}
    assert by_name["mlx5_0/1"] == {
        "kind": "infiniband",
        "up": True,
        "speed_bytes_per_s": 50e9,
        "rx_bytes_per_s": 400,
        "tx_bytes_per_s": 800,
        "errors_per_s": 2,
    }
    assert by_name["mlx5_1/1"]["kind"] == "roce"
    assert by_name["mlx5_1/1"]["errors_per_s"] is None
    assert by_name["mlx5_2/1"]["up"] is False
    assert by_name["mlx5_2/1"]["speed_bytes_per_s"] is None
    assert by_name["irdma0/1"]["rx_bytes_per_s"] is None
    assert (told["rdma_rx_bytes_per_s"], told["rdma_tx_bytes_per_s"]) == (404, 808)


def test_a_counter_that_goes_back_has_no_rate(looked, tree):
    ethernet(tree, "eth0")
    tree.net(eth0=(1000, 0, 0))
    tree.rdma("mlx5_0/ports/1", port_rcv_data=9, port_xmit_data=0)
    tree.rdma("mlx5_1/ports/1", port_rcv_data=0, port_xmit_data=0)

    def change():
        tree.net(eth0=(10, 0, 0))
        tree.rdma("mlx5_0/ports/1", port_rcv_data=0, port_xmit_data=0)

    told = looked(change)
    assert told["network_rx_bytes_per_s"] is None
    assert told["ports"][0]["rx_bytes_per_s"] is None
    assert told["ports"][0]["tx_bytes_per_s"] == 0
    assert told["rdma_rx_bytes_per_s"] is None
    assert told["rdma_tx_bytes_per_s"] == 0


def test_a_port_that_comes_has_rates_from_its_second_look_on(tree, clock):
    tree.net(eth0=(0, 0, 0))
    host = Host(None, Ports(str(tree.root)), None, str(tree.root))
    clock.pass_(10)
    host.sample()
    ethernet(tree, "eth0")
    clock.pass_(10)
    (port,) = host.sample()["ports"]
    assert {name: port[name] for name in NO_PORT_RATES} == NO_PORT_RATES
    clock.pass_(10)
    assert host.sample()["ports"][0]["rx_bytes_per_s"] == 0


def test_at_most_so_many_ports(looked, tree):
    for number in range(300):
        tree.rdma(f"mlx5_{number}/ports/1")
    assert len(looked()["ports"]) == 256


def test_an_adapter_that_does_not_answer_leaves_the_rest_of_the_host(tree, monkeypatch):
    monkeypatch.setattr(ports, "WITHIN_S", 0.05)
    gate = threading.Event()
    host = Host(None, Ports(str(tree.root), lambda root: gate.wait() and []), None, str(tree.root))
    try:
        for _ in range(3):
            told = host.sample()
            assert told["ports"] == []
            assert told["memory_available_mib"] == 1024
    finally:
        gate.set()


def device(tree, address, vendor, kind):
    tree.put(f"sys/bus/pci/devices/{address}/vendor", vendor + "\n")
    tree.put(f"sys/bus/pci/devices/{address}/class", kind + "\n")


def test_gpus_on_the_bus(tree):
    device(tree, "0000:3b:00.0", "0x10de", "0x030200")
    device(tree, "0000:5e:00.0", "0x10de", "0x030000")
    device(tree, "0000:5e:00.1", "0x10de", "0x040300")
    device(tree, "0000:c1:00.0", "0x10de", "0x068000")
    device(tree, "0000:00:02.0", "0x8086", "0x030000")
    device(tree, "0000:00:03.0", "garbage", "0x030000")
    bus = GpuBus(str(tree.root))
    assert Host(None, None, bus, str(tree.root)).inventory()["gpus_on_bus"] == 2
    assert bus.seen() == {"0000:3b:00.0", "0000:5e:00.0"}


def test_a_gpu_that_left_the_bus_is_remembered_but_not_counted(tree, monkeypatch):
    device(tree, "0000:3b:00.0", "0x10de", "0x030200")
    bus = GpuBus(str(tree.root))
    assert bus.count() == 1
    (tree.root / "sys/bus/pci/devices/0000:3b:00.0/vendor").unlink()
    real = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + 60)
    assert bus.count() == 0
    assert bus.seen() == {"0000:3b:00.0"}


def test_a_host_without_a_pci_bus_knows_nothing_of_it(tree):
    assert GpuBus(str(tree.root)).count() is None
    assert Host(None, None, None, str(tree.root)).inventory()["gpus_on_bus"] is None
