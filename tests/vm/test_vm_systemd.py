"""Limits through a systemd that means what it says: the system's manager, and an account's own."""

import pytest

pytestmark = pytest.mark.vm

LIMITS = {"cpus": 0.5, "cpu_weight": 50, "memory_mib": 64, "pids": 20}
MANAGERS = ["root", "plain"]
"""Accounts: root asks the system's manager, the other its own."""

RULE = {"195": [1, 254, 255]}
"""A device rule that lets GPU 1 through, and no other."""


@pytest.fixture
def made(node, workload):
    """A workload with limits on the system's manager; it is ended and gone afterwards."""
    told = node.ask(("make", workload), ("set", workload, LIMITS), ("read", workload))
    assert told == [None, None, LIMITS]
    yield workload
    node.ask(("kill", workload), ("remove", workload))
    assert node.units() == []
    assert node.traces() == ""


def unit(workload):
    return f"gpualloc-{workload}.slice"


def folder(workload):
    return f"/sys/fs/cgroup/gpualloc.slice/{unit(workload)}"


@pytest.mark.parametrize("user", MANAGERS)
def test_limits_are_in_force_before_a_process_is_in_and_nothing_is_left(node, workload, user):
    mode, controllers, writable = node.ask(("mode",), ("controllers",), ("writable",), user=user)
    assert (mode, writable) == ({"root": "systemd", "plain": "systemd-user"}[user], True)
    # Debian delegates no cpuset to an account.
    assert set(controllers) >= {"cpu", "memory", "pids"}
    limits = {**LIMITS, "cpuset": "1"} if "cpuset" in controllers else LIMITS
    pid = node.sleeper(user)

    made = node.ask(("make", workload), ("set", workload, limits), ("read", workload), user=user)
    assert made == [None, None, limits]
    entered = node.ask(("join", workload, pid), ("holds", workload, pid), ("members", workload), user=user)
    assert entered == [None, True, [pid]]

    (refused,) = node.ask(("remove", workload), user=user)
    assert "it is busy" in refused["error"]
    ended = node.ask(("kill", workload), ("remove", workload), ("exists", workload), user=user)
    assert ended == [None, None, False]
    assert node.units(user) == []
    assert node.traces() == ""


def test_an_account_whose_manager_ends_with_its_login_has_no_limits(node):
    assert node.ask(("mode",), ("writable",), user="gpuop") == ["v2", False]


def test_what_systemd_cannot_do_is_refused_and_changes_nothing(node, made):
    told = node.ask(("set", made, {"cpuset": "7"}), ("set", made, {"cpu_weight": 20000}), ("set", "w00000000", LIMITS))
    assert "CPUs out of range: 7 of 0-1" in told[0]["error"]
    assert "systemd refuses SetUnitProperties" in told[1]["error"]
    assert "there is no gpualloc-w00000000.slice" in told[2]["error"]
    assert node.ask(("read", made)) == [LIMITS]


def test_what_is_done_already_is_done(node, made):
    pid = node.sleeper()
    twice = node.ask(("make", made), ("join", made, pid), ("join", made, pid), ("members", made))
    assert twice == [None, None, None, [pid]]
    assert node.units() == [f"gpualloc-{made}-{pid}.scope", unit(made), "gpualloc.slice"]


def test_a_group_that_somebody_took_away_is_made_again(node, made):
    node.guest.run("rmdir", folder(made))
    assert node.ask(("exists", made), ("read", made)) == [False, {}]
    assert node.ask(("make", made), ("set", made, LIMITS), ("read", made)) == [None, None, LIMITS]
    node.guest.run("systemctl", "stop", "gpualloc.slice")
    assert node.ask(("exists", made)) == [False]
    assert node.ask(("make", made), ("set", made, LIMITS), ("read", made)) == [None, None, LIMITS]


def test_many_begin_and_end_at_once(node):
    script = (
        "import sys; sys.path.insert(0, '/opt/gpualloc')\n"
        "from multiprocessing import Pool\n"
        "from gpualloc.node import cgroup\n"
        "def one(number):\n"
        "    groups, name = cgroup.probe(), 'w0000000%d' % number\n"
        "    for _ in range(3):\n"
        "        groups.make(name); groups.set(name, {'pids': 9}); assert groups.read(name)['pids'] == 9\n"
        "        groups.remove(name); assert not groups.exists(name)\n"
        "    return number\n"
        "print(Pool(4).map(one, range(4)))\n"
    )
    assert node.guest.run("python3", "-c", script).stdout == "[0, 1, 2, 3]\n"
    assert node.units() == []


def test_nothing_is_lost_by_a_daemon_reload(node, made):
    pid = node.sleeper()
    told = node.ask(("restrict", made, RULE), ("join", made, pid), ("restricted", made), ("expected", RULE))
    assert told[:2] == [None, None]
    assert told[2] == told[3]
    for _ in range(2):
        node.guest.run("systemctl", "daemon-reload")
    assert node.ask(("read", made), ("members", made), ("restricted", made)) == [LIMITS, [pid], told[3]]


def test_a_limit_that_a_foreign_hand_changed_is_seen_and_set_again(node, made):
    (tag,) = node.ask(("expected", RULE))
    node.ask(("restrict", made, RULE))
    node.guest.run("systemctl", "set-property", "--runtime", unit(made), "MemoryMax=infinity", "TasksMax=50")
    node.guest.run("systemctl", "set-property", "--runtime", unit(made), "DevicePolicy=closed", "DeviceAllow=/dev/null")
    without = {name: value for name, value in LIMITS.items() if name != "memory_mib"}
    assert node.ask(("read", made), ("restricted", made)) == [{**without, "pids": 50}, tag]
    assert node.ask(("set", made, LIMITS), ("read", made)) == [None, LIMITS]
    # What is written past systemd holds only until it next looks, which puts our limit back.
    node.guest.run("sh", "-c", f"echo max > {folder(made)}/pids.max")
    assert "pids" not in node.ask(("read", made))[0]
    node.guest.run("systemctl", "daemon-reload")
    assert node.ask(("read", made)) == [LIMITS]


def test_a_device_rule_keeps_what_is_inside_from_other_gpus(node, made):
    open_it = (
        "import errno, os, sys\n"
        "def told(minor):\n"
        "    try: os.close(os.open('/dev/vm-gpu%d' % minor, os.O_RDWR))\n"
        "    except OSError as error: return errno.errorcode[error.errno]\n"
        "sys.path.insert(0, '/opt/gpualloc')\n"
        "from gpualloc.node import cgroup\n"
        "print(*map(told, (0, 1, 255)))\n"
        f"cgroup.probe().join('{made}', 0)\n"
        "print(*map(told, (0, 1, 255)))\n"
    )
    for minor in (0, 1, 255):
        node.guest.run("mknod", f"/dev/vm-gpu{minor}", "c", "195", str(minor))
    try:
        assert node.ask(("isolation",), ("restrict", made, RULE)) == ["bpf", None]
        assert node.guest.run("python3", "-c", open_it).stdout == "ENXIO ENXIO ENXIO\nEPERM ENXIO ENXIO\n"
    finally:
        node.guest.run("sh", "-c", "rm /dev/vm-gpu*")


def test_an_account_without_root_cannot_keep_devices_away(node):
    assert node.ask(("isolation",), user="plain") == [None]


def test_a_group_outlives_the_login_that_made_it(node, made):
    pid = node.sleeper()
    node.ask(("join", made, pid))
    node.guest.end_connections()
    sessions = 'loginctl --no-legend | wc -l; while [ -n "$(loginctl --no-legend | sed 1d)" ]; do sleep 0.2; done'
    node.guest.run("sh", "-c", sessions)
    assert node.ask(("members", made)) == [[pid]]
