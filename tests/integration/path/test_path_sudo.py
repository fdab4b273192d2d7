"""Hard limits for an account without privileges: the installed program of root's, reached through real sudo over ssh.

All of it happens in a mount namespace with an /etc, /usr/local/sbin, /run and /var/lib of its own.
"""

import json
import os
import pwd
import subprocess
import sys

import pytest
from fakes.own_mounts import OWN_SYSTEM, own_mounts
from fakes.ssh_command import ssh_command

pytestmark = pytest.mark.root

PROGRAM, CONFIG, RULE = "/usr/local/sbin/gpualloc-node", "/etc/gpualloc/node.json", "/etc/sudoers.d/gpualloc"
EAT = ("/usr/bin/python3", "-c", "b = bytearray(256 << 20); print(len(b))")


class Node:
    """A node of whose system the test may dispose."""

    def __init__(self, world, enter):
        self.world, self.enter, self.user = world, enter, world.farm["n1"].user

    def run(self, *command, check=True):
        """Run a command of root's on the node."""
        pipes = {"stdin": subprocess.DEVNULL, "text": True, "capture_output": True}
        done = subprocess.run([*self.enter, *command], env=self.world.env, timeout=60, check=False, **pipes)
        assert not check or done.returncode == 0, done.stderr
        return done

    def install(self, *more):
        done = self.run(sys.executable, "-m", "gpualloc", "node", "install", "--json", "--sudo-user", self.user, *more)
        return json.loads(done.stdout)["data"]["written"]


@pytest.fixture
def node():
    with ssh_command(["n1"]) as world, own_mounts(OWN_SYSTEM) as enter:
        sshd = world.farm["n1"]
        sshd.within = enter
        sshd.restart()
        # Work runs as the account that submitted it, which the node knows too.
        world.extra_env["SUDO_UID"] = str(pwd.getpwnam(sshd.user).pw_uid)
        yield Node(world, enter)
        sshd.stop()


def test_without_it_limits_are_soft_or_booked(node):
    done = node.world.run("run", "--gpus", "0", "--memory", "1GiB", "--", "id", "-un")
    assert done.stdout == f"{node.user}\n"
    (row,) = node.world.json("ps")["workloads"]
    assert row["held_by"]["memory"] == "booked"


def test_an_account_without_privileges_gets_limits_that_kill(node):
    node.install()
    done = node.world.run("run", "--gpus", "0", "--memory", "64MiB", "--", *EAT, check=137)
    assert "memory limit" in done.stderr
    (row,) = node.world.json("ps")["workloads"]
    assert (row["owner"], row["held_by"]["memory"]) == (node.user, "hard")
    assert node.world.groups([row["id"]]) == []
    assert node.world.run("run", "--gpus", "0", "--", "id", "-un").stdout == f"{node.user}\n"


def test_required_hard_limits_wait_for_the_program(node):
    hard = ("submit", "--name", "hard", "--gpus", "0", "--memory", "64MiB", "--require", "hard", "--", "sleep", "600")
    waiting = node.world.json(*hard)["id"]
    node.world.run("rebalance", check=1)
    row = node.world.workload(waiting)
    assert row["state"] == "pending"
    assert "cannot limit" in row["reason"]
    node.install()
    node.world.run("rebalance")
    row = node.world.workload(waiting)
    assert (row["state"], row["held_by"]["memory"]) == ("running", "hard")
    node.world.run("release", waiting)


def test_only_accounts_that_root_listed_may_be_run_as(node):
    node.install("--run-as", "games")
    ids = {name: str(pwd.getpwnam(name).pw_uid) for name in ("games", "nobody", "root")}
    node.world.extra_env["SUDO_UID"] = ids["games"]
    assert node.world.run("run", "--gpus", "0", "--", "id", "-un").stdout == "games\n"
    for name in ("nobody", "root"):
        node.world.extra_env["SUDO_UID"] = ids[name]
        refused = node.world.run("run", "--gpus", "0", "--", "id", "-un", check=125)
        assert f"{node.user} may not run work as {name}" in refused.stderr
        assert refused.stdout == ""
    node.install("--run-as", "*")
    node.world.extra_env["SUDO_UID"] = ids["nobody"]
    assert node.world.run("run", "--gpus", "0", "--", "id", "-un").stdout == "nobody\n"
    node.world.extra_env["SUDO_UID"] = ids["root"]
    assert node.world.run("run", "--gpus", "0", "--", "id", "-un", check=125).stderr


def test_sudo_lets_the_account_do_nothing_else(node):
    node.install()
    account = ("setpriv", "--reuid", node.user, "--clear-groups")
    assert node.run(*account, "sudo", "-n", PROGRAM, "serve").returncode == 0
    for command in (("id",), (PROGRAM,), (PROGRAM, "-c"), ("/bin/sh", PROGRAM, "serve"), ("-u", "games", PROGRAM)):
        assert node.run(*account, "sudo", "-n", *command, check=False).returncode == 1
    assert node.run("setpriv", "--reuid", "games", "sudo", "-n", PROGRAM, "serve", check=False).returncode == 1


def test_a_program_that_others_can_write_is_not_used(node):
    node.install()
    node.run("chmod", "g+w", PROGRAM)
    done = node.world.run("run", "--gpus", "0", "--memory", "1GiB", "--", "id", "-un")
    assert done.stdout == f"{node.user}\n"
    assert node.world.json("ps")["workloads"][0]["held_by"]["memory"] == "booked"


def test_a_folder_that_others_can_write_is_not_installed_into(node):
    node.run("chmod", "o+w", "/usr/local/sbin")
    refused = node.run(sys.executable, "-m", "gpualloc", "node", "install", check=False)
    assert refused.returncode == 1
    assert "/usr/local/sbin can be changed by others than root" in refused.stderr
    assert node.run("ls", "/usr/local/sbin").stdout == ""


def test_uninstall_removes_what_install_wrote_and_leaves_running_work(node):
    assert sorted(node.install()) == sorted([PROGRAM, CONFIG, RULE])
    world = node.world
    identity = world.json("submit", "--name", "x", "--gpus", "0", "--memory", "64MiB", "--", "sleep", "600")["id"]
    world.run("rebalance")
    row = world.workload(identity)
    assert row["held_by"]["memory"] == "hard"
    removed = node.run(sys.executable, "-m", "gpualloc", "node", "uninstall", "--json").stdout
    assert sorted(json.loads(removed)["data"]["removed"]) == sorted([PROGRAM, CONFIG, RULE])
    assert node.run("find", "/usr/local/sbin", "/etc", "-name", "*gpualloc*").stdout == ""
    assert os.path.exists(f"/proc/{row['pid']}/root")
    # Nobody who answers now knows of it: it is neither lost nor ended by a release that finds nothing.
    row = world.workload(identity)
    assert row["state"] == "running"
    assert row["reason"].startswith("whether it still runs is not known: its records are in /var/lib/gpualloc, and")
    assert "reach the node as before" in world.run("release", identity, check=3).stderr
    assert os.path.exists(f"/proc/{row['pid']}/root")
    assert node.install()
    assert (world.workload(identity)["state"], world.workload(identity)["reason"]) == ("running", None)
    world.run("release", identity)
    assert world.groups([identity]) == []


def test_work_outlives_the_installation_of_the_program(node):
    """Begun without root's program, it is not called lost when that program answers in its place."""
    world = node.world
    identity = world.json("submit", "--name", "x", "--gpus", "0", "--", "sleep", "600")["id"]
    world.run("rebalance")
    pid = world.workload(identity)["pid"]
    node.install()
    row = world.workload(identity)
    assert (row["state"], "whether it still runs is not known" in row["reason"]) == ("running", True)
    world.run("release", identity, check=3)
    node.run(sys.executable, "-m", "gpualloc", "node", "uninstall")
    assert (world.workload(identity)["state"], world.workload(identity)["reason"]) == ("running", None)
    world.run("release", identity)
    assert not os.path.exists(f"/proc/{pid}/root")


LOOKS_ROUND = """
id -u; id -ru; id -g; id -rg; id -G; echo home=$HOME user=$USER sudo=$SUDO_USER$SUDO_UID$SUDO_COMMAND path=$PATH
umask; pwd; cat /proc/self/oom_score_adj; grep -c . /proc/self/environ; grep SigIgn /proc/self/status
grep -E 'Cap(Eff|Prm|Inh|Amb)' /proc/self/status | cut -f2 | sort -u; echo /proc/self/fd/*
python3 -c "import os; os.setuid(0)" 2>&1 | tail -1
"""


def test_nothing_of_roots_comes_into_the_work(node):
    node.install()
    account = pwd.getpwnam(node.user)
    world = node.world
    identity = world.json("submit", "--gpus", "0", "--pids", "50", "--", "sh", "-c", LOOKS_ROUND)["id"]
    world.run("rebalance")
    world.run("wait", identity)
    lines = world.run("logs", identity).stdout.splitlines()
    uid, gid = str(account.pw_uid), str(account.pw_gid)
    assert lines[:4] == [uid, uid, gid, gid]
    assert set(lines[4].split()) == {str(number) for number in os.getgrouplist(account.pw_name, account.pw_gid)}
    assert lines[5].startswith(f"home={account.pw_dir} user={account.pw_name} sudo= path=/usr/local/sbin:")
    assert lines[6] == "0022"
    assert lines[7] in (account.pw_dir, "/")
    assert lines[8] == "0"
    # The C library lets nobody touch the two signals of its threads, 32 and 33.
    assert int(lines[10].split()[1], 16) & ~(0b11 << 31) == 0
    assert lines[11] == "0" * 16
    # The fourth is that of the folder which the shell reads for this.
    assert lines[12].split() == [f"/proc/self/fd/{number}" for number in range(4)]
    assert "Operation not permitted" in lines[13]


def test_signals_reach_accounts_that_root_listed(node):
    node.install("--run-as", "games")
    begun = {name: subprocess.Popen(["sleep", "600"], user=name) for name in ("games", "nobody", "root")}
    try:
        for name, allowed in (("games", True), ("nobody", False), ("root", False)):
            process = begun[name]
            told = node.world.run("signal", "n1", str(process.pid), "--yes", check=0 if allowed else 1)
            assert allowed or f"{node.user} may not run work as {name}" in told.stderr
            assert (process.wait(60) if allowed else process.poll()) == (-15 if allowed else None)
    finally:
        for process in begun.values():
            process.kill()
            process.wait(60)
