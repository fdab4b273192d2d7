"""Nodes behind real sshd that freeze or are cut off in the middle of work: it is done once, and nothing is left."""

import contextlib
import fcntl
import os
import shlex
import signal
from pathlib import Path

import pytest
from fakes.command import wait_until
from fakes.nvml_stub import fake_gpu, instances, with_plan, without_plans, write_state
from fakes.ssh_command import gpu, ssh_command

from gpualloc.sim.catalog import find
from gpualloc.sim.gpu import GpuModel

pytestmark = pytest.mark.root

HOOK = """\
#!/bin/sh
[ "$GPUALLOC_STEP_KIND" = "$(cat kind)" ] || exit 0
echo > reached
read -r line < go
"""
"""Holds a run up before a step of the kind in the file `kind`, until something is written to `go`."""

PROFILE_2G = 14
"""Id of 2g.10gb on the A100."""

SOON = (("ServerAliveInterval", "3"), ("ServerAliveCountMax", "3"), ("ConnectTimeout", "8"))
"""ssh gives a silent node up within 12 s."""


@pytest.fixture
def world():
    with ssh_command(["n1", "n2"], as_root=True) as command:
        for node in command.farm.nodes.values():
            node.options = (*SOON, *node.options)
        hook = command.root / "hook"
        hook.write_text(HOOK.replace("#!/bin/sh\n", f"#!/bin/sh\ncd {shlex.quote(str(command.root))}\n"))
        hook.chmod(0o700)
        os.mkfifo(command.root / "go")
        command.tables = f'[hooks]\npre_step = ["{hook}"]\ntimeout = "1h"\n'
        command.configure_nodes()
        (command.root / "kind").touch()
        yield command


@contextlib.contextmanager
def halfway(world, kind, *args):
    """A command that has come to its step of that kind, and waits before it for `go_on`."""
    (world.root / "kind").write_text(kind)
    process = world.start(*args)
    try:
        wait_until((world.root / "reached").exists, f"the {kind} is next")
        (world.root / "kind").write_text("")
        yield process
    finally:
        process.kill()
        process.communicate()


def go_on(world):
    (world.root / "go").write_text("\n")


@contextlib.contextmanager
def under_way(world):
    """The step that was waited for has come to its node, which begins with it at the end of the context."""
    node = world.farm["n1"]
    with (node.state / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        go_on(world)
        wait_until(lambda: holds_open(node, file.name), "the step is under way")
        yield


def holds_open(node, path):
    """Whether a node program on that node has the file open."""
    for pid in node.programs():
        with contextlib.suppress(OSError):
            if path in [os.readlink(entry.path) for entry in os.scandir(f"/proc/{pid}/fd")]:
                return True
    return False


def submit(world, *args):
    return world.json("submit", "--name", "work", *args)["id"]


def work_on_n1(world):
    """Work for n1 that writes a line each time it is started; its id and that file."""
    starts = world.farm.folder / "out" / "starts"
    script = f"echo started >> {starts}; exec sleep 600"
    limits = ("--gpus", "1", "--memory", "64MiB", "--nodes", "n1")
    return submit(world, *limits, "--", "/bin/sh", "-c", script), starts


def work_that_clings(world):
    """Work that runs on n1, makes a file at TERM and ends only when it is let go; its id and that file."""
    folder = world.farm.folder / "out"
    script = f"trap 'echo >> {folder}/asked' TERM; echo > {folder}/up; until [ -e {folder}/go ]; do sleep 0.1; done"
    identity = submit(world, "--gpus", "1", "--memory", "64MiB", "--nodes", "n1", "--", "/bin/sh", "-c", script)
    world.run("rebalance")
    wait_until((folder / "up").exists, "it runs")
    return identity, folder / "asked"


def give_up_soon(world):
    """From now on a step may take 15 s at most, the grace counted."""
    world.extra_env |= {"GPUALLOC_APPLY__STEP_TIMEOUT": "13s", "GPUALLOC_APPLY__GRACE": "2s"}


def let_go(world):
    (world.farm.folder / "out" / "go").touch()


def clients(world):
    """The ssh processes of the operator's side, that which keeps a connection open for others included."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "comm").read_text() == "ssh\n" and str(world.farm.folder) in (entry / "cmdline").read_text():
                found.append(int(entry.name))
    return found


def alive(pid):
    return os.path.exists(f"/proc/{pid}/root")


def ended(process, code):
    _, complaints = process.communicate(timeout=60)
    assert process.returncode == code, complaints


def cordon_of_n1(world):
    nodes = world.json("nodes", check=None)["nodes"]
    return next(node["cordon"] for node in nodes if node["name"] == "n1")


def told_of(world, identity):
    """What the audit trail says of the work, hooks left out."""
    entries = world.json("audit")["entries"]
    return [entry["kind"] for entry in entries if entry["workload"] == identity and entry["kind"] != "hook"]


def drift(world):
    return world.json("drift")["drift"]


def assert_runs_once(world, identity, starts):
    row = world.workload(identity)
    assert (row["state"], row["node"]) == ("running", "n1")
    wait_until(starts.exists, "it started")
    assert starts.read_text() == "started\n"
    assert [kind for kind in told_of(world, identity) if kind != "step-failed"] == ["submit", "start"]
    assert [claim.partition("@")[2] for claim in world.node_claims("n1")].count(f"{identity}.json") == 1
    assert_settled(world)


def assert_doubtful(world):
    assert len(world.json("status")["open_runs"]) == 1
    assert "doubtful" in cordon_of_n1(world)
    assert ("n1", "run", "doubtful") in [(row["node"], row["field"], row["class"]) for row in drift(world)]


def assert_released_once(world, identity):
    row = world.workload(identity)
    assert row["state"] == "released"
    assert told_of(world, identity) == ["submit", "start", "end"]
    assert_settled(world)
    assert_nothing_left(world, identity)


def assert_settled(world):
    assert world.json("status")["open_runs"] == []
    assert drift(world) == []
    assert not cordon_of_n1(world)
    wait_until(lambda: world.farm["n1"].programs() == [], "no node program is left")


def assert_nothing_left(world, identity):
    wait_until(lambda: not world.groups([identity]), "its groups are gone")
    assert [claim for claim in world.node_claims("n1") if identity in claim] == []


def kill(pids):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def kill_all(node):
    """End everything in the connections, and let the sshd answer again."""
    left = node.sessions()
    node.stop()
    kill(left)
    node.start()


def cut_off(world, what):
    """Cut the connections to n1 from one side or the other."""
    if what == "the client":
        kill(clients(world))
    elif what == "the session":
        world.farm["n1"].cut()
    else:
        kill_all(world.farm["n1"])


def test_a_node_frozen_in_mid_step_is_left_alone_and_others_get_the_work(world):
    node = world.farm["n1"]
    identity, starts = work_on_n1(world)
    with halfway(world, "start", "apply", "--yes") as apply:
        with under_way(world):
            node.freeze()
        ended(apply, 6)
    others = [submit(world, "--gpus", "1", *where, "--", "sleep", "600") for where in ((), ("--nodes", "n1"))]
    world.run("rebalance", check=6)
    rows = {row["id"]: row for row in world.json("ps", check=None)["workloads"]}
    assert [(rows[each]["state"], rows[each]["node"]) for each in others] == [("running", "n2"), ("pending", None)]
    assert rows[identity]["state"] == "pending"

    node.wake()
    assert_doubtful(world)
    world.run("rebalance")
    assert_runs_once(world, identity, starts)
    assert world.workload(others[1])["state"] == "running"


@pytest.mark.parametrize(
    ("kind", "programs", "then"),
    [("limit", True, "woken"), ("start", True, "killed"), ("start", False, "woken")],
)
def test_a_start_on_a_frozen_node_happens_once(world, kind, programs, then):
    node = world.farm["n1"]
    identity, starts = work_on_n1(world)
    with halfway(world, kind, "apply", "--yes") as apply:
        with under_way(world):
            node.freeze(programs=programs)
        if not programs:
            wait_until(starts.exists, "it started, and the answer does not come through")
        ended(apply, 6)
    if then == "woken":
        node.wake()
    else:
        kill_all(node)
    assert_doubtful(world)
    world.run("rebalance")
    assert_runs_once(world, identity, starts)
    world.run("release", identity)
    assert_nothing_left(world, identity)


@pytest.mark.parametrize("noticed", ["by a cut", "by the time-out of the step"])
def test_a_frozen_program_that_wakes_too_late_starts_nothing_again(world, noticed):
    node = world.farm["n1"]
    if noticed == "by the time-out of the step":
        give_up_soon(world)
    else:
        world.extra_env["GPUALLOC_APPLY__STEP_TIMEOUT"] = "10m"
    identity, starts = work_on_n1(world)
    with halfway(world, "start", "apply", "--yes") as apply:
        with under_way(world):
            stuck = node.programs()
            for pid in stuck:
                os.kill(pid, signal.SIGSTOP)
            if noticed == "by a cut":
                node.cut()
        ended(apply, 6)
    world.run("rebalance")
    for pid in stuck:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: not any(map(alive, stuck)), "the old program has ended")
    assert_runs_once(world, identity, starts)
    world.run("release", identity)
    assert_nothing_left(world, identity)


@pytest.mark.parametrize(
    ("kind", "cut"), [("limit", "the client"), ("start", "the session"), ("limit", "the session and its program")]
)
def test_a_connection_cut_between_two_steps_is_made_anew(world, kind, cut):
    identity, starts = work_on_n1(world)
    with halfway(world, kind, "apply", "--yes") as apply:
        connected = clients(world)
        cut_off(world, cut)
        # Before that a step could still be sent into the old connection, and its outcome be unknown.
        wait_until(lambda: not all(map(alive, connected)), "the old connection is seen to be gone")
        go_on(world)
        ended(apply, 0)
    assert_runs_once(world, identity, starts)


def test_a_node_that_goes_away_between_two_steps_gets_its_work_when_it_is_back(world):
    node = world.farm["n1"]
    identity, starts = work_on_n1(world)
    with halfway(world, "start", "apply", "--yes") as apply:
        node.stop()
        go_on(world)
        ended(apply, 6)
    node.start()
    assert_doubtful(world)
    world.run("rebalance")
    assert_runs_once(world, identity, starts)


@pytest.mark.parametrize(("programs", "then"), [(True, "woken"), (False, "killed")])
def test_a_release_on_a_frozen_node_ends_the_work_once(world, programs, then):
    node = world.farm["n1"]
    identity, asked = work_that_clings(world)
    with halfway(world, "stop", "release", identity) as release:
        go_on(world)
        wait_until(asked.exists, "it was asked to end")
        node.freeze(programs=programs)
        ended(release, 6)
    if then == "woken":
        node.wake()
    else:
        kill_all(node)
    let_go(world)
    world.run("rebalance")
    assert_released_once(world, identity)


@pytest.mark.parametrize("cut", ["the client", "the session and its program"])
def test_a_release_cut_while_the_work_ends_is_brought_to_its_end(world, cut):
    identity, asked = work_that_clings(world)
    with halfway(world, "stop", "release", identity) as release:
        go_on(world)
        wait_until(asked.exists, "it was asked to end")
        cut_off(world, cut)
        ended(release, 6)
    let_go(world)
    world.run("rebalance")
    assert_released_once(world, identity)


def mig_lines(driver):
    """MIG mode and instances as the driver keeps them."""
    return [line for line in driver.read_text().splitlines() if line.startswith(("mig ", "instance "))]


@pytest.mark.parametrize("then", ["woken", "killed"])
def test_an_instance_half_made_on_a_frozen_node_is_finished_or_taken_back(world, then):
    node, device = world.farm["n1"], gpu(1, 0).full_uuid
    driver = world.farm.folder / "n1.nvml"
    write_state(driver, [fake_gpu(GpuModel(find("A100-40GB"), device, 0, seed=5), 0.0)])
    before = mig_lines(driver)
    with_plan(driver, "nvmlGpuInstanceCreateComputeInstance", 1, "hang")
    apply = world.start("mig", "apply", "--device", device, "--layout", "2g.10gb@0", "--yes")
    try:
        wait_until(lambda: instances(driver) == [(PROFILE_2G, 0, False)], "the instance is half made")
        node.freeze()
        ended(apply, 6)
    finally:
        apply.kill()
        apply.communicate()
    without_plans(driver)
    if then == "woken":
        node.wake()
    else:
        kill_all(node)
    assert_doubtful(world)
    world.run(*(("rebalance",) if then == "woken" else ("apply", "--rollback", "latest")))
    assert_settled(world)
    if then == "woken":
        assert instances(driver) == [(PROFILE_2G, 0, True)]
    else:
        assert mig_lines(driver) == before


def test_a_frozen_program_that_has_the_lock_of_its_node_holds_up_nothing_else(world):
    node, device = world.farm["n1"], gpu(1, 0).full_uuid
    give_up_soon(world)
    driver = world.farm.folder / "n1.nvml"
    write_state(driver, [fake_gpu(GpuModel(find("A100-40GB"), device, 0, seed=5), 0.0)])
    with_plan(driver, "nvmlGpuInstanceCreateComputeInstance", 1, "hang")
    world.run("mig", "apply", "--device", device, "--layout", "2g.10gb@0", "--yes", check=6)
    stuck = node.programs()
    assert stuck
    for pid in stuck:
        os.kill(pid, signal.SIGSTOP)
    without_plans(driver)
    elsewhere = submit(world, "--gpus", "1", "--", "sleep", "600")
    world.run("rebalance", check=6)
    assert world.workload(elsewhere)["node"] == "n2"
    kill(stuck)
    world.run("rebalance")
    assert_settled(world)
    assert instances(driver) == [(PROFILE_2G, 0, True)]
