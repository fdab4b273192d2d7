"""What every back end of control groups does, shown with real processes: limits, devices, freezing, killing, removal.

It runs over each back end in which this account can make groups. It needs nothing but pytest (7 or newer), the standard
library and `gpualloc.node`, so that a bare node runs it too, from a copy of `gpualloc` and this one file:

    PYTHONPATH=. python3 -m pytest --noconftest -c /dev/null -p no:cacheprovider tests/contract/test_contract_cgroups.py

The oracle for devices is a device file without a driver: EPERM is denied, ENXIO is let through.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import json
import os
import secrets
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gpualloc.node import bpf, cgroup, device_list, device_rule

pytestmark = pytest.mark.root

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
NO_DRIVER = 509
"""A character major that belongs to nobody, in place of nvidia-caps."""

RULE = device_rule.made({195: {1, 254, 255}, NO_DRIVER: {7}})

MEMBER = """
import errno, json, os, signal, sys, time

def told(function, *args):
    "`ok`, or the name of the error."
    try:
        function(*args)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "ok"

def opened(path, flags=os.O_RDONLY):
    return told(lambda: os.close(os.open(path, flags)))

def in_child(function, *args):
    read_fd, write_fd = os.pipe()
    if os.fork() == 0:
        os.write(write_fd, function(*args).encode())
        os._exit(0)
    os.wait()
    return os.read(read_fd, 100).decode()

def fork_until_refused():
    for count in range(20):
        try:
            if os.fork() == 0:
                time.sleep(600)
        except BlockingIOError:
            return count
    return None

def tree(depth):
    "Children and their children, in sessions of their own."
    for _ in range(2):
        if os.fork() == 0:
            os.setsid()
            if depth:
                tree(depth - 1)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(600)

def counts(path):
    with open(path) as file:
        return {name: int(value) for name, value in (line.split() for line in file)}

def spin(path, throttled):
    "CPU seconds used, and periods gone by, until so many of them were cut short."
    before, begun_s = counts(path), time.process_time()
    while True:
        now = counts(path)
        if now["nr_throttled"] - before["nr_throttled"] >= throttled:
            return time.process_time() - begun_s, now["nr_periods"] - before["nr_periods"]

def open_for_ever(denied, allowed):
    "Count answers that the rule does not give."
    wrong = 0
    while not os.path.exists(denied + ".stop"):
        wrong += opened(denied) != "EPERM"
        wrong += opened(allowed) == "EPERM"
    return wrong

kept = {}
for line in sys.stdin:
    print(json.dumps(eval(line)), flush=True)
"""


def mounts(*kinds: str) -> str:
    """The lines of /proc/self/mounts of those kinds."""
    lines = Path("/proc/self/mounts").read_text().splitlines(keepends=True)
    return "".join(line for line in lines if line.split()[2] in kinds)


def back_ends() -> dict[str, str | None]:
    """Each back end that can be used here: what `probe` is to see of its mounts, None for what it picks by itself."""
    picked = cgroup.probe().mode
    found: dict[str, str | None] = {} if picked in ("v1", "v2", "none") else {picked: None}
    if cgroup.probe(mounts("cgroup")).mode == "v1":
        found["v1 alone"] = mounts("cgroup")
        if mounts("cgroup2"):
            found["v1 beside v2"] = mounts("cgroup", "cgroup2")
    if mounts("cgroup2"):
        found["v2"] = mounts("cgroup2")
    return {name: seen for name, seen in found.items() if cgroup.probe(seen).writable()}


def until(condition: Callable[[], Any]) -> Any:
    end_s = time.monotonic() + 60
    while not (result := condition()):
        assert time.monotonic() < end_s, "it did not become true"
        time.sleep(0.005)
    return result


class Member:
    """A process that evaluates what it is asked."""

    def __init__(self) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([sys.executable, "-c", MEMBER], stdin=pipe, stdout=pipe, text=True)

    @property
    def pid(self) -> int:
        return self.process.pid

    def tell(self, expression: str) -> None:
        self.process.stdin.write(expression + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        return json.loads(self.process.stdout.readline())

    def ask(self, expression: str) -> Any:
        self.tell(expression)
        return self.answer()

    def ticks(self) -> int:
        """CPU time used, in ticks."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    def folder(self, controller: str) -> Path:
        """The workload's group in the hierarchy that has that controller: of version 1, else of version 2."""
        of = {}
        for line in Path(f"/proc/{self.pid}/cgroup").read_text().splitlines():
            _, names, path = line.split(":", 2)
            of.update(dict.fromkeys(names.split(","), path))
        for line in mounts("cgroup", "cgroup2").splitlines():
            _, mount, kind, options = line.split()[:4]
            name = controller if kind == "cgroup" else ""
            if name in of and (kind == "cgroup2" or name in options.split(",")):
                found = Path(mount + of[name])
                return found.parent if found.suffix == ".scope" else found
        raise LookupError(controller)

    def close(self) -> None:
        self.process.kill()
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


class Group:
    """A workload's group on one back end, and its members."""

    def __init__(self, seen: str | None) -> None:
        self.seen = seen
        self.groups = cgroup.probe(seen)
        self.workload = "w" + "".join(secrets.choice(ALPHABET) for _ in range(8))
        self._members: list[Member] = []

    def needs(self, controller: str) -> None:
        if controller not in self.groups.controllers():
            pytest.skip(f"this back end has no {controller} controller here")

    def set(self, **limits: Any) -> None:
        self.groups.set(self.workload, limits)

    def read(self) -> dict[str, Any]:
        return self.groups.read(self.workload)

    def member(self) -> Member:
        self._members.append(Member())
        self.groups.join(self.workload, self._members[-1].pid)
        assert self.groups.holds(self.workload, self._members[-1].pid)
        return self._members[-1]

    def restrict(self, rule: device_rule.DeviceRule) -> None:
        if self.groups.isolation() is None:
            pytest.skip("this back end keeps nobody from devices here")
        self.groups.restrict(self.workload, rule)

    def restricted(self) -> str | None:
        return self.groups.restricted(self.workload)

    def close(self) -> None:
        self.groups.kill(self.workload)
        for member in self._members:
            member.close()
        self.groups.remove(self.workload)
        assert not self.groups.exists(self.workload)
        assert glob.glob(f"/sys/fs/cgroup/**/*{self.workload}*", recursive=True) == []


@pytest.fixture(params=back_ends().items(), ids=lambda item: item[0])
def group(request: pytest.FixtureRequest) -> Iterator[Group]:
    """A group that is made, on each back end."""
    made = Group(request.param[1])
    try:
        made.groups.make(made.workload)
        yield made
    finally:
        made.close()


@pytest.fixture
def device() -> Iterator[Callable[..., str]]:
    """Makes a device file without a driver behind it, where such files work; answers its path."""
    with contextlib.ExitStack() as stack:
        for parent in ("/dev", None):
            if not os.access(parent or "/", os.W_OK):
                continue  # nor could this account make a device file
            folder = stack.enter_context(tempfile.TemporaryDirectory(dir=parent, prefix="gpualloc-"))

            def make(major: int, minor: int, kind: int = stat.S_IFCHR, folder: str = folder) -> str:
                path = f"{folder}/{kind}-{major}-{minor}"
                if not os.path.exists(path):
                    os.mknod(path, kind | 0o666, os.makedev(major, minor))
                return path

            with contextlib.suppress(PermissionError):
                try:
                    os.close(os.open(make(NO_DRIVER, 1), os.O_RDONLY))
                except OSError as error:
                    if error.errno != errno.ENXIO:
                        raise
                break
        else:
            pytest.skip("no device files can be used on this machine")
        yield make


# --- limits


def test_memory_below_the_limit_is_given_and_beyond_it_kills(group):
    group.needs("memory")
    group.set(memory_mib=64)
    assert group.read()["memory_mib"] == 64
    member = group.member()
    assert member.ask("len(kept.setdefault('some', bytearray(32 << 20)))") == 32 << 20
    assert group.groups.oom_kills(group.workload) == 0
    member.tell("len(bytearray(b'x') * (256 << 20))")
    assert member.process.wait(60) == -9
    assert group.groups.oom_kills(group.workload) >= 1


def test_a_memory_kill_takes_the_whole_workload_where_the_kernel_can(group):
    group.needs("memory")
    group.set(memory_mib=64)
    other, member = group.member(), group.member()
    if not (member.folder("memory") / "memory.oom.group").exists():
        pytest.skip("version 1 kills one process")
    member.tell("len(bytearray(b'x') * (256 << 20))")
    assert member.process.wait(60) == -9
    assert other.process.wait(60) == -9


def test_a_memory_limit_below_what_is_in_use_is_refused(group):
    group.needs("memory")
    group.set(memory_mib=64)
    member = group.member()
    assert member.ask("len(kept.setdefault('some', bytearray(b'x') * (40 << 20)))") == 40 << 20
    with pytest.raises(OSError, match=r"busy|in use") as refused:
        group.set(memory_mib=16)
    assert refused.value.errno == errno.EBUSY
    assert group.read()["memory_mib"] == 64
    assert member.ask("len(kept['some'])") == 40 << 20
    group.set(memory_mib=128)
    assert group.read()["memory_mib"] == 128


def test_a_quota_of_cpu_is_not_exceeded(group):
    """By the kernel's own count of periods: a busy machine makes this longer and nothing else."""
    group.needs("cpu")
    group.set(cpus=0.1)
    assert group.read()["cpus"] == pytest.approx(0.1)
    member = group.member()
    used_s, periods = member.ask(f"spin({str(member.folder('cpu') / 'cpu.stat')!r}, 15)")
    assert used_s <= 0.01 * (periods + 2) + 0.01


def test_a_cpuset_is_the_affinity(group):
    group.needs("cpuset")
    cpus = sorted(os.sched_getaffinity(0))
    group.set(cpuset=str(cpus[0]))
    assert cgroup.cpu_numbers(group.read()["cpuset"]) == {cpus[0]}
    member = group.member()
    assert member.ask("sorted(os.sched_getaffinity(0))") == cpus[:1]
    if len(cpus) > 1:
        assert member.ask(f"told(os.sched_setaffinity, 0, {{{cpus[1]}}})") == "EINVAL"
    nodes = cgroup.memory_nodes(str(cpus[0]))
    if nodes is not None:
        status = Path(f"/proc/{member.pid}/status").read_text()
        allowed = next(line.split()[1] for line in status.splitlines() if line.startswith("Mems_allowed_list"))
        assert cgroup.cpu_numbers(allowed) == cgroup.cpu_numbers(nodes)


def test_a_cpu_that_is_not_there_is_refused(group):
    group.needs("cpuset")
    with pytest.raises(OSError, match=r"Invalid|range"):
        group.set(cpuset="4000")
    assert group.read().get("cpuset") != "4000"


def test_forks_beyond_the_limit_fail(group):
    group.needs("pids")
    group.set(pids=4)
    assert group.read()["pids"] == 4
    assert group.member().ask("fork_until_refused()") == 3


def test_weights_are_kept(group):
    group.needs("cpu")
    for weight in (1, 250, 10000):
        group.set(cpu_weight=weight)
        assert group.read()["cpu_weight"] == weight


def test_weights_of_disks_are_kept_or_refused(group):
    group.needs("io")
    try:
        group.set(io_weight=50)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        assert "io_weight" not in group.read()
        return
    for weight in (1, 50, 100, 2000, 10000):
        group.set(io_weight=weight)
        assert 0 <= weight - group.read()["io_weight"] <= 10


def test_limits_are_read_back_by_the_step(group):
    """What no controller is there for is booked; what is set is hard."""
    asked = {"cpus": 0.5, "cpu_weight": 50, "cpuset": "0", "memory_mib": 64, "pids": 9}
    step = dict(asked, workload=group.workload, require_hard=False)
    for _ in range(2):
        held_by = cgroup.ensure(group.groups, step)
        there = set(group.groups.controllers())
        assert held_by == {
            "cpu": "hard" if {"cpu", "cpuset"} <= there else "booked",
            "memory": "hard" if "memory" in there else "booked",
            "pids": "hard" if "pids" in there else "booked",
        }


def test_a_limit_set_later_holds_for_who_is_inside(group):
    group.needs("pids")
    member = group.member()
    group.set(pids=4)
    assert group.groups.holds(group.workload, member.pid)
    assert member.ask("fork_until_refused()") == 3


# --- devices


def test_what_the_rule_denies_is_denied_and_nothing_else(group, device):
    group.restrict(RULE)
    assert group.restricted() == group.groups.expected(RULE)
    member = group.member()
    seen = {
        (major, minor): member.ask(f"opened({device(major, minor)!r})")
        for major in (195, NO_DRIVER)
        for minor in (0, 1, 2, 7, 254, 255)
    }
    denied = {place for place, answer in seen.items() if answer == "EPERM"}
    assert denied == {(195, 0), (195, 2), (195, 7), *((NO_DRIVER, minor) for minor in (0, 1, 2, 254, 255))}
    assert seen[NO_DRIVER, 7] == "ENXIO"
    assert member.ask(f"opened({device(NO_DRIVER - 1, 0)!r})") == "ENXIO"
    assert member.ask(f"opened({device(195, 0, stat.S_IFBLK)!r})") == "ENXIO"
    assert [member.ask(f"opened({path!r})") for path in ("/dev/null", "/dev/zero", "/dev/urandom")] == ["ok"] * 3


def test_every_access_is_denied(group, device):
    group.restrict(RULE)
    member, path = group.member(), device(195, 0)
    answers = [member.ask(f"opened({path!r}, os.O_{how})") for how in ("RDONLY", "WRONLY", "RDWR")]
    assert answers == ["EPERM"] * 3
    made = f"told(os.mknod, {path + 'new'!r}, {stat.S_IFCHR | 0o600}, os.makedev({{}}, {{}}))"
    assert member.ask(made.format(195, 3)) == "EPERM"
    assert member.ask(made.format(195, 1)) == "ok"


def test_children_are_denied_too(group, device):
    group.restrict(RULE)
    member = group.member()
    assert member.ask(f"in_child(opened, {device(195, 0)!r})") == "EPERM"
    assert member.ask(f"in_child(in_child, opened, {device(195, 1)!r})") != "EPERM"


def test_what_was_open_before_stays_usable(group):
    member = group.member()
    assert member.ask("kept.setdefault('zero', os.open('/dev/zero', os.O_RDONLY))") > 0
    group.restrict(device_rule.made({1: {3, 8, 9}}))
    assert group.groups.holds(group.workload, member.pid)
    assert member.ask("opened('/dev/zero')") == "EPERM"
    assert member.ask("len(os.read(kept['zero'], 5))") == 5


def test_a_rule_is_replaced_without_a_gap(group, device):
    rules = [device_rule.made({195: {1, minor, 254, 255}}) for minor in (2, 3)]
    group.restrict(rules[0])
    member, denied = group.member(), device(195, 0)
    member.tell(f"open_for_ever({denied!r}, {device(195, 1)!r})")
    for turn in range(40):
        group.groups.restrict(group.workload, rules[turn % 2])
        assert group.restricted() == group.groups.expected(rules[turn % 2])
    Path(denied + ".stop").touch()
    assert member.answer() == 0
    assert member.ask(f"opened({device(195, 2)!r})") == "EPERM"
    assert member.ask(f"opened({device(195, 3)!r})") != "EPERM"


def test_the_same_rule_again_changes_nothing(group):
    group.restrict(RULE)
    before = group.restricted()
    group.restrict(RULE)
    assert group.restricted() == before
    assert group.groups.expected(device_rule.made({195: {1}})) != before


def test_a_rule_outlives_who_made_it(group, device):
    if group.groups.isolation() is None:
        pytest.skip("this back end keeps nobody from devices here")
    script = (
        "import json, sys; from gpualloc.node import cgroup, device_rule\n"
        "seen, workload, rule = json.loads(sys.argv[1])\n"
        "cgroup.probe(seen).restrict(workload, device_rule.from_json(rule))"
    )
    told = json.dumps([group.seen, group.workload, device_rule.to_json(RULE)])
    path = os.pathsep.join(filter(None, sys.path))
    subprocess.run([sys.executable, "-c", script, told], check=True, env=dict(os.environ, PYTHONPATH=path))
    assert group.restricted() == group.groups.expected(RULE)
    assert group.member().ask(f"opened({device(195, 0)!r})") == "EPERM"


def test_a_rule_that_a_foreign_hand_took_away_is_missed(group):
    assert group.restricted() is None
    group.restrict(RULE)
    member = group.member()
    if group.groups.isolation() == "bpf":
        bpf.detach(str(member.folder("")), group.workload)
    elif group.groups.isolation() == "v1-devices":
        device_list.unrestrict(str(member.folder("devices")))
    else:
        pytest.skip("whoever manages the policy is the only hand")
    assert group.restricted() is None
    group.restrict(RULE)
    assert group.restricted() == group.groups.expected(RULE)


def test_a_rule_is_taken_back(group, device):
    group.groups.unrestrict(group.workload)
    group.restrict(RULE)
    member = group.member()
    group.groups.unrestrict(group.workload)
    assert group.restricted() is None
    assert member.ask(f"opened({device(195, 0)!r})") != "EPERM"


# --- life and end


def test_a_frozen_group_stands_still(group):
    member = group.member()
    assert group.groups.frozen(group.workload) is False
    member.tell("[time.process_time() for _ in iter(lambda: os.path.exists('/dev/null'), False)]")
    until(lambda: member.ticks() > 0)
    group.groups.freeze(group.workload, True)
    assert group.groups.frozen(group.workload) is True
    before = member.ticks()
    time.sleep(0.2)
    assert member.ticks() == before
    group.groups.freeze(group.workload, False)
    assert group.groups.frozen(group.workload) is False
    until(lambda: member.ticks() > before)


@pytest.mark.parametrize("frozen", [False, True])
def test_a_whole_tree_is_killed_frozen_or_not(group, frozen):
    member = group.member()
    member.ask("tree(2)")
    until(lambda: len(group.groups.members(group.workload)) == 15)
    if frozen:
        group.groups.freeze(group.workload, True)
    group.groups.kill(group.workload)
    assert group.groups.members(group.workload) == []
    assert member.process.wait(60) == -9


def test_a_group_with_members_is_not_removed(group):
    member = group.member()
    with pytest.raises(OSError, match="busy") as refused:
        group.groups.remove(group.workload)
    assert refused.value.errno == errno.EBUSY
    assert group.groups.members(group.workload) == [member.pid]
    assert member.ask("1") == 1


def test_nothing_is_left_of_a_removed_group(group):
    if group.groups.isolation() is not None:
        group.restrict(RULE)
    group.member().close()
    group.groups.remove(group.workload)
    assert group.read() == {}
    assert group.groups.members(group.workload) == []
    assert (group.restricted(), group.groups.frozen(group.workload)) == (None, None)
    group.groups.kill(group.workload)
    group.groups.unrestrict(group.workload)
    group.groups.remove(group.workload)


def test_ten_groups_come_and_go_at_once(group):
    def come_and_go(_: int) -> None:
        one = Group(group.seen)
        for _ in range(3):
            one.groups.make(one.workload)
            if "pids" in one.groups.controllers():
                one.set(pids=5)
            if one.groups.isolation() is not None:
                one.groups.restrict(one.workload, RULE)
            one.close()

    with ThreadPoolExecutor(10) as pool:
        assert list(pool.map(come_and_go, range(10))) == [None] * 10
