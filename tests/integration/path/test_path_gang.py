"""Gangs over real ssh: two sshd as two nodes, members that meet over real sockets, fail, and are ended together."""

import contextlib
import fcntl
import json
import os

import pytest
from fakes.command import wait_until
from fakes.ssh_command import gpu, ssh_command

pytestmark = pytest.mark.root

MEMBER = """\
import json, os, socket, sys
rank, out = int(os.environ["RANK"]), sys.argv[1]
with open(f"{out}/{rank}.part", "w") as file:
    json.dump(dict(os.environ), file)
os.rename(f"{out}/{rank}.part", f"{out}/{rank}.json")
meeting = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
if rank == 0:
    with socket.create_server(meeting) as server:
        connection, _ = server.accept()
        print("heard", connection.recv(100).decode(), flush=True)
else:
    while True:
        try:
            connection = socket.create_connection(meeting)
        except ConnectionRefusedError:
            continue
        connection.sendall(b"member 1")
        print("spoke", flush=True)
        break
"""
"""Each member writes down its environment; then the first listens and the second speaks to it."""

WAIT = 'echo $$ > {out}/up.$RANK; if [ "$RANK" = {rank} ]; then read -r line < {out}/go; exit 7; fi; exec sleep 600'
"""The member of one rank ends with exit code 7 once something is written to `go`; the others stay."""


@pytest.fixture
def world():
    with ssh_command(["n1", "n2"]) as command:
        for name in ("n1", "n2"):
            command.keys[name] = f'addresses = {{ {name} = "127.0.0.1" }}\ninterface = "lo"'
        command.configure_nodes()
        yield command


@pytest.fixture
def out(world):
    return world.farm.folder / "out"


def submit(world, *args):
    return world.json("submit", "--name", "gang", "--gang", *args)["id"]


def waiting_gang(world, out, rank):
    """A gang of two that runs, of which the member of that rank fails once something is written to `go`."""
    os.mkfifo(out / "go", 0o666)
    (out / "go").chmod(0o666)
    identity = submit(world, "--gpus", "4", "--", "/bin/sh", "-c", WAIT.format(out=out, rank=rank))
    world.run("rebalance")
    wait_until(lambda: all((out / f"up.{each}").exists() for each in (0, 1)), "both members run")
    return identity


def alive(pid):
    return os.path.exists(f"/proc/{pid}/root")


def pids(out):
    return [int((out / f"up.{rank}").read_text()) for rank in (0, 1)]


def kinds(world, identity):
    return [entry["kind"] for entry in world.json("audit")["entries"] if entry["workload"] == identity]


def nothing_is_left(world):
    return world.node_claims("n1") == [] and world.node_claims("n2") == []


def test_members_find_each_other_and_end_as_one(world, out):
    (out / "member.py").write_text(MEMBER)
    identity = submit(world, "--gpus", "4", "--", "/usr/bin/python3", str(out / "member.py"), str(out))
    world.run("rebalance")
    row = world.workload(identity)
    assert [(one["rank"], one["node"]) for one in row["members"]] == [(0, "n1"), (1, "n2")]
    wait_until(lambda: world.workload(identity)["state"] == "finished", "the gang ended")
    first, second = (json.loads((out / f"{rank}.json").read_text()) for rank in (0, 1))
    for rank, seen in enumerate((first, second)):
        assert (seen["RANK"], seen["WORLD_SIZE"]) == (str(rank), "2")
        assert (seen["NODE_RANK"], seen["NNODES"], seen["NPROC_PER_NODE"]) == (str(rank), "2", "2")
        assert (seen["PET_NODE_RANK"], seen["PET_NNODES"], seen["PET_NPROC_PER_NODE"]) == (str(rank), "2", "2")
        assert (seen["PET_MASTER_ADDR"], seen["PET_MASTER_PORT"]) == ("127.0.0.1", seen["MASTER_PORT"])
        assert (seen["NCCL_SOCKET_IFNAME"], seen["GLOO_SOCKET_IFNAME"]) == ("=lo", "lo")
        assert seen["GPUALLOC_GANG_GPUS"] == "4"
        assert seen["CUDA_VISIBLE_DEVICES"].split(",") == [gpu(rank + 1, 0).uuid, gpu(rank + 1, 1).uuid]
        assert "LOCAL_RANK" not in seen
    assert first["MASTER_PORT"] == second["MASTER_PORT"]
    assert 29000 <= int(first["MASTER_PORT"]) <= 29499
    ended = world.workload(identity)
    assert (ended["exit_code"], [one["exit_code"] for one in ended["members"]]) == (0, [0, 0])
    assert world.run("logs", identity).stdout == "heard member 1\n"
    assert world.run("logs", "--member", "1", identity).stdout == "spoke\n"
    assert "0 to 1" in world.run("logs", "--member", "2", identity, check=2).stderr
    assert nothing_is_left(world)
    assert kinds(world, identity) == ["submit", "start", "start", "member-end", "member-end", "end"]


@pytest.mark.parametrize("rank", [0, 1])
def test_a_member_that_fails_takes_the_others_down(world, out, rank):
    identity = waiting_gang(world, out, rank)
    (out / "go").write_text("\n")
    wait_until(lambda: not alive(pids(out)[rank]), "the member ended")
    wait_until(lambda: world.workload(identity)["reason"] is not None, "its end was seen")
    row = world.workload(identity)
    assert (row["state"], row["members"][rank]["exit_code"]) == ("running", 7)
    assert alive(pids(out)[1 - rank])
    assert {step["reason"] for step in world.json("plan")["steps"]} == {"another member of its gang failed"}

    world.run("rebalance")

    row = world.workload(identity)
    assert (row["state"], row["exit_code"]) == ("failed", 7)
    assert row["reason"] == f"member {rank} on n{rank + 1}: exit code 7"
    assert not any(alive(pid) for pid in pids(out))
    assert nothing_is_left(world)
    assert world.json("plan")["steps"] == []


def test_run_returns_the_code_of_the_member_that_failed(world, out):
    os.mkfifo(out / "go", 0o666)
    (out / "go").chmod(0o666)
    run = world.start("run", "--gpus", "4", "--gang", "--", "/bin/sh", "-c", WAIT.format(out=out, rank=1))
    try:
        wait_until(lambda: all((out / f"up.{each}").exists() for each in (0, 1)), "both members run")
        (out / "go").write_text("\n")
        _, said = run.communicate(timeout=60)
    finally:
        run.kill()
        run.wait()
    assert run.returncode == 7, said
    assert not any(alive(pid) for pid in pids(out))
    assert nothing_is_left(world)


def test_one_release_ends_all(world, out):
    identity = waiting_gang(world, out, 0)
    world.run("release", identity)
    row = world.workload(identity)
    assert row["state"] == "released"
    assert [one["state"] for one in row["members"]] == ["released", "released"]
    assert not any(alive(pid) for pid in pids(out))
    assert nothing_is_left(world)
    assert world.json("plan")["steps"] == []


def test_it_is_never_suspended_and_a_drain_takes_it_as_one(world, out):
    identity = waiting_gang(world, out, 0)
    assert "is a gang" in world.run("suspend", identity, check=4).stderr
    world.run("drain", "n2", "--evict")
    row = world.workload(identity)
    assert (row["state"], row["members"]) == ("pending", None)
    assert not any(alive(pid) for pid in pids(out))
    assert nothing_is_left(world)
    (rejection,) = world.json("plan")["rejections"]
    assert (rejection["workload"], rejection["reason"]) == (identity, "reserved")


def test_a_command_that_one_node_lacks_starts_nowhere(world, out):
    """Rank 0 has the program, rank 1 does not: what rank 0 was given and started is taken back."""
    program = world.farm["n1"].folder / "program"
    program.write_text(f"#!/bin/sh\necho $$ > {out}/up.0\nexec sleep 600\n")
    os.chown(program, program.parent.stat().st_uid, -1)
    program.chmod(0o755)
    identity = submit(world, "--gpus", "4", "--", str(program))
    # The accounts of the two nodes are one, so the file is taken away between the two starts by a hook.
    hook = world.root / "hook"
    hook.write_text(f'#!/bin/sh\n[ "$GPUALLOC_STEP_KIND $GPUALLOC_NODE" = "start n2" ] && rm -f {program}\nexit 0\n')
    hook.chmod(0o700)
    world.tables = f'[hooks]\npre_step = ["{hook}"]\n'
    world.configure_nodes()
    said = world.run("rebalance", check=1).stderr
    assert said.count("taken back") == 3
    row = world.workload(identity)
    assert (row["state"], row["exit_code"], row["members"]) == ("failed", 127, None)
    assert nothing_is_left(world)
    up = out / "up.0"
    assert not up.exists() or not alive(int(up.read_text()))


@pytest.mark.parametrize("then", ["resume", "rollback", "release"])
def test_a_node_cut_in_the_middle_of_a_start(world, out, then):
    """Rank 0 runs already when the connection to rank 1 is cut; the run is brought to its end, or taken back."""
    script = f"echo started >> {out}/starts.$RANK; echo $$ > {out}/up.$RANK; exec sleep 600"
    identity = submit(world, "--gpus", "4", "--", "/bin/sh", "-c", script)
    node = world.farm["n2"]
    hook, reached, go = world.root / "hook", world.root / "reached", world.root / "go"
    os.mkfifo(go)
    hook.write_text(
        f'#!/bin/sh\n[ "$GPUALLOC_STEP_KIND $GPUALLOC_NODE" = "start n2" ] || exit 0\n'
        f"[ -e {reached} ] && exit 0\necho > {reached}\nread -r line < {go}\n"
    )
    hook.chmod(0o700)
    world.tables = f'[hooks]\npre_step = ["{hook}"]\n'
    world.configure_nodes()
    apply = world.start("apply", "--yes")
    try:
        wait_until(reached.exists, "the first member has started, and the second is next")
        with (node.state / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            go.write_text("\n")
            wait_until(lambda: holds_open(node, lock.name), "the start is under way")
            node.stop()
            _, said = apply.communicate(timeout=60)
    finally:
        apply.kill()
        apply.wait()
    assert apply.returncode == 6, said
    row = world.workload(identity)
    assert row["state"] == "pending"
    assert [(one["rank"], one["state"]) for one in row["members"]] == [(0, "running")]
    if then == "release":
        world.run("release", identity, check=None)
    node.start()
    if then != "resume":
        world.run(*(["apply", "--rollback", "latest"] if then == "rollback" else ["rebalance"]))
        assert world.workload(identity)["state"] == ("pending" if then == "rollback" else "released")
        assert world.workload(identity)["members"] is None
        assert not alive(int((out / "up.0").read_text()))
        assert nothing_is_left(world)
        return
    world.run("rebalance")
    row = world.workload(identity)
    assert row["state"] == "running", row
    wait_until((out / "up.1").exists, "the second member runs")
    assert [(out / f"starts.{rank}").read_text() for rank in (0, 1)] == ["started\n", "started\n"]
    assert world.json("status")["open_runs"] == []
    world.run("release", identity)
    assert not any(alive(pid) for pid in pids(out))
    assert nothing_is_left(world)


def holds_open(node, path):
    """Whether a node program on that node has the file open."""
    for pid in node.programs():
        with contextlib.suppress(OSError):
            if path in [os.readlink(entry.path) for entry in os.scandir(f"/proc/{pid}/fd")]:
                return True
    return False
