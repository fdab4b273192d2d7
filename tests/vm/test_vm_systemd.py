"""Limits through a systemd that means what it says: the system's manager, and an account's own."""

import pytest

pytestmark = pytest.mark.vm

LIMITS = {"cpus": 0.5, "cpuset": "1", "memory_mib": 64, "pids": 20}
MANAGERS = ["root", "plain"]
"""Accounts: root asks the system's manager, the other its own."""


@pytest.mark.parametrize("user", MANAGERS)
def test_limits_are_in_force_before_a_process_is_in_and_nothing_is_left(node, workload, user):
    mode, controllers, writable = node.ask(("mode",), ("controllers",), ("writable",), user=user)
    assert (mode, writable) == ({"root": "systemd", "plain": "systemd-user"}[user], True)
    limits = LIMITS if "cpuset" in controllers else {name: LIMITS[name] for name in ("cpus", "memory_mib", "pids")}
    pid = node.sleeper(user)

    made = node.ask(("make", workload), ("set", workload, limits), ("read", workload), user=user)
    assert made == [None, None, limits]
    entered = node.ask(("join", workload, pid), ("holds", workload, pid), ("members", workload), user=user)
    assert entered == [None, True, [pid]]

    (refused,) = node.ask(("remove", workload), user=user)
    assert "has members" in refused["error"]
    ended = node.ask(("kill", workload), ("remove", workload), ("exists", workload), user=user)
    assert ended == [None, None, False]
    assert node.units(user) == []
    assert node.traces() == ""


def test_an_account_whose_manager_ends_with_its_login_has_no_limits(node):
    assert node.ask(("mode",), ("writable",), user="gpuop") == ["v2", False]
