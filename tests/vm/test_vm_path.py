"""From submit to release on a genuine node over its own ssh, for each way an account can have its limits held."""

import pytest
from fakes.nvml_stub import FakeGpu
from vm.head import Head

from gpualloc.adapters.nvml_file import nvml_file

pytestmark = pytest.mark.vm

EAT = ("/usr/bin/python3", "-c", "b = bytearray(256 << 20); print(len(b))")
OPEN = (
    "import errno, os\n"
    "for minor in (0, 1, 255):\n"
    "    try: os.open('/dev/vm-gpu%d' % minor, os.O_RDWR)\n"
    "    except OSError as error: print(errno.errorcode[error.errno])\n"
)
LIMITS = ("--cpus", "0.5", "--memory", "64MiB", "--pids", "20")
INSTALL = (
    "import sys; sys.path[:0] = ['/opt/gpualloc']\n"
    "from gpualloc.node.install import install\n"
    "print(install('/', ['games'], ['gpuop']))\n"
)
ROUTES = {"root": ("systemd", "games"), "gpuop": ("systemd", "games"), "plain": ("systemd-user", "plain")}
"""Account logged in to: what holds its limits (gpuop through the installed program of root's), whom work runs as."""


@pytest.fixture(scope="module")
def installed(node):
    """The node, with the program of root's installed for gpuop."""
    node.guest.put(nvml_file(), "/opt/gpualloc")
    node.guest.run("python3", "-c", INSTALL)
    return node


@pytest.fixture
def head(node, tmp_path):
    """An operator with the guest as a node of two GPUs."""
    (tmp_path / "head").mkdir()
    head = Head(tmp_path / "head", guest=node.guest)
    head.give_gpus([FakeGpu(0), FakeGpu(1)])
    yield head
    for row in head.json("ps")["workloads"]:
        if row["state"] in ("running", "doubtful"):
            head.run("release", row["id"])
    assert node.units() == []
    assert node.units("plain") == []


@pytest.fixture(params=ROUTES)
def user(request, installed, head):
    """The account that the operator logs in to."""
    head.log_in_as(request.param)
    return request.param


def slice_of(row, user):
    own = "/user.slice/user-1001.slice/user@1001.service" if user == "plain" else ""
    return f"{own}/gpualloc.slice/gpualloc-{row['id']}.slice"


def test_required_hard_limits_wait_until_somebody_can_give_them(node, head):
    head.log_in_as("gpuop")
    waiting = head.json("submit", "--name", "hard", "--gpus", "0", *LIMITS, "--require", "hard", "--", "true")["id"]
    head.run("rebalance", check=1)
    row = head.workload(waiting)
    assert row["state"] == "pending"
    assert "cannot limit" in row["reason"]
    head.run("release", waiting)


def test_work_runs_within_its_limits_and_leaves_nothing(node, head, user):
    _, account = ROUTES[user]
    # Devices can only be kept apart by root.
    require = [] if user == "plain" else ["--require", "hard"]
    row = head.started("--gpus", "1", *LIMITS, *require, "--", "sleep", "3600")
    assert row["held_by"] == {"cpu": "hard", "memory": "hard", "pids": "hard", "gpu": "hard" if require else "soft"}
    group = slice_of(row, user)
    assert node.file(f"/proc/{row['pid']}/cgroup").startswith(f"0::{group}/")
    files = [node.file(f"/sys/fs/cgroup{group}/{name}") for name in ("cpu.max", "memory.max", "pids.max")]
    assert files == ["50000 100000\n", f"{64 << 20}\n", "20\n"]
    assert node.guest.run("ps", "-o", "user=", "-p", str(row["pid"])).stdout.split() == [account]

    head.run("release", row["id"])
    assert head.workload(row["id"])["state"] == "released"
    assert node.guest.run("test", "-e", f"/proc/{row['pid']}", check=False).returncode == 1
    assert node.units(user) == []


def test_work_that_eats_more_memory_than_its_own_is_killed(head, user):
    done = head.run("run", "--gpus", "0", "--memory", "64MiB", "--", *EAT, check=137)
    assert "memory limit" in done.stderr


def test_work_outlives_the_connection_that_started_it(node, head, user):
    row = head.started("--gpus", "1", "--memory", "64MiB", "--", "sleep", "3600")
    node.guest.run("pkill", "-KILL", "-f", "^sshd: [a-z]+( [[]priv[]]|@notty)", check=False)
    node.guest.end_connections()
    head.log_in_as(user)
    assert head.workload(row["id"])["state"] == "running"
    assert node.file(f"/proc/{row['pid']}/cgroup").startswith(f"0::{slice_of(row, user)}/")


def test_work_reaches_its_own_gpu_and_no_other(node, head, user):
    """ENXIO is let through to a driver that is not there, EPERM is denied by the kernel."""
    for minor in (0, 1, 255):
        node.guest.run("mknod", "-m", "666", f"/dev/vm-gpu{minor}", "c", "195", str(minor))
    try:
        done = head.run("run", "--gpus", "1", "--", "/usr/bin/python3", "-c", OPEN)
    finally:
        node.guest.run("sh", "-c", "rm /dev/vm-gpu*")
    others = "ENXIO" if user == "plain" else "EPERM"
    assert done.stdout.split() == ["ENXIO", others, "ENXIO"]
