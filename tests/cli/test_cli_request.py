"""Requests from flags and files."""

import pytest
from msgspec.structs import replace

from gpualloc.model.workload import Preemption, Request
from gpualloc.views.workloads import workload_in_full, workload_text


@pytest.fixture
def submitted(run, world):
    """Submit with these arguments; returns (name, request)."""

    def submit(*arguments):
        ran = run("submit", *arguments)
        assert ran.code == 0, ran.err
        workload = world.context.journal.submitted[-1]
        return workload.name, workload.request

    return submit


EVERY_FLAG = (
    "--name", "train", "--gpus", "0", "--cpus", "2.5", "--cpuset", "0-3,8", "--memory", "16GiB", "--pids", "100",
    "--priority", "-3", "--nodes", "gpu01,gpu02", "--nodes", "sim01", "--label", "rack=r1", "--label", "disk=a=b",
    "--near", "/data/a b", "--near", "/mnt", "--cwd", "/srv", "--env", "A=1=2",
    "--env", "B=", "--at-most", "4h", "--cpu-weight", "200", "--io-weight", "50", "--preempt", "checkpoint",
    "--checkpoint-command", "save --to '/srv/a b'", "--checkpoint-grace", "2m",
)  # fmt: skip
EVERYTHING = Request(
    command=("python", "train.py", "--gpus", "9"),
    gpus=0,
    cpus=2.5,
    cpuset="0-3,8",
    memory_mib=16384,
    pids=100,
    priority=-3,
    nodes=("gpu01", "gpu02", "sim01"),
    labels=(("rack", "r1"), ("disk", "a=b")),
    near=("/data/a b", "/mnt"),
    cwd="/srv",
    env=(("A", "1=2"), ("B", "")),
    at_most_s=14400.0,
    cpu_weight=200,
    io_weight=50,
    preempt=Preemption.CHECKPOINT,
    checkpoint_command=("save", "--to", "/srv/a b"),
    checkpoint_grace_s=120.0,
)


@pytest.fixture
def labels(world):
    """Labels on every node of the world."""
    fleet = world.context.fleet
    said = {"rack": "r1", "disk": "a=b"}
    fleet.nodes = tuple(replace(node, spec=replace(node.spec, labels=said)) for node in fleet.nodes)


@pytest.mark.usefixtures("labels")
def test_every_flag_reaches_the_request(submitted):
    assert submitted(*EVERY_FLAG, "--", *EVERYTHING.command) == ("train", EVERYTHING)


def test_gpu_flags_reach_the_request(run, world):
    ran = run("submit", "--gpus", "2", "--gpu-memory", "20GiB", "--gpu-model", "h100", "--fraction", "0.5", "--", "x")
    assert ran.code in (0, 4), ran.err


def test_a_range_starts_with_its_least(submitted):
    _, request = submitted("--gpus", "1:3", "--resize-command", "tell 'a b'", "--", "true")
    assert (request.gpus, request.gpus_max, request.resize_command) == (1, 3, ("tell", "a b"))


def test_a_range_is_told_and_shown(run, world):
    assert run("submit", "--gpus", "1:3", "--resize-command", "tell me", "--", "true").code == 0
    shown = workload_in_full(world.context.journal.submitted[-1], simulated=False)["request"]
    assert (shown["gpus"], shown["gpus_max"], shown["resize_command"]) == (1, 3, ["tell", "me"])
    assert "asks for:    1 to 3 GPUs" in workload_text(world.context.journal.submitted[-1], 0.0, simulated=False)


def test_a_file_may_ask_for_a_range(submitted, tmp_path):
    file = tmp_path / "request.toml"
    file.write_text('command = ["x"]\ngpus = "1:2"\nresize-command = "tell"\n')
    _, request = submitted("-f", str(file))
    assert (request.gpus, request.gpus_max, request.resize_command) == (1, 2, ("tell",))


TELL = ("--resize-command", "tell")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--gpus", "2:8"), "nothing tells the work when it gets more or fewer than 2 GPUs"),
        (("--gpus", "2:8", "--resize-command", ""), "nothing tells the work"),
        (("--gpus", "2:8", "--resize-command", "' '' x"), "--resize-command: No closing quotation"),
        (("--gpus", "2", *TELL), "--resize-command tells of a change in number"),
        (("--gpus", "2:2", *TELL), "--gpus 2:2 is no range"),
        (("--gpus", "8:2", *TELL), "--gpus 8:2 is no range"),
        (("--gpus", "0:2", *TELL), "--gpus 0:2 is no range"),
        (("--gpus", "2:", *TELL), "--gpus '' is not a whole number"),
        (("--gpus", "2:99999999", *TELL), "out of range"),
        (("--gpus", "2:8", "--gang", *TELL), "a range is of whole GPUs on one node"),
        (("--gpus", "1:2", "--fraction", "0.5", *TELL), "a range is of whole GPUs on one node"),
        (("--gpus", "1:2", "--profile", "1g.10gb", *TELL), "a range is of whole GPUs on one node"),
    ],
)
def test_a_range_without_meaning_is_refused(run, arguments, said):
    refused = run("submit", *arguments, "--", "true")
    assert refused.code == 2
    assert said in refused.err


def test_a_gang_that_can_never_be_is_refused(run):
    ran = run("submit", "--gpus", "4", "--gang", "--per-node", "3", "--", "x")
    assert (ran.code, "--gpus 4 cannot be had as 3 on each node" in ran.err) == (2, True)
    ran = run("submit", "--gpus", "4", "--per-node", "2", "--", "x")
    assert (ran.code, "add --gang" in ran.err) == (2, True)
    ran = run("submit", "--gang", "--fraction", "0.5", "--", "x")
    assert (ran.code, "a gang is given whole GPUs" in ran.err) == (2, True)


def test_the_dashes_may_be_left_out(submitted):
    assert submitted("--gpus", "0", "python", "-c", "--json")[1].command == ("python", "-c", "--json")


def test_a_nameless_request_is_called_after_its_command(submitted):
    assert submitted("--gpus", "0", "--", "/usr/bin/python3", "x.py")[0] == "python3"


@pytest.mark.usefixtures("labels")
def test_a_file_has_the_same_keys_and_flags_win(submitted, tmp_path):
    file = tmp_path / "request.toml"
    file.write_text(
        'name = "train"\ncommand = ["python", "train.py", "--gpus", "9"]\ngpus = 0\ncpus = 1\ncpuset = "0-3,8"\n'
        'memory = "16GiB"\npids = 100\npriority = -3\nnodes = ["gpu01,gpu02", "sim01"]\ncwd = "/srv"\n'
        'near = ["/data/a b", "/mnt"]\nlabel = {rack = "r1", disk = "a=b"}\n'
        'at-most = "4h"\ncpu-weight = 200\nio-weight = 50\npreempt = "checkpoint"\ncheckpoint-grace = "2m"\n'
        "checkpoint-command = \"save --to '/srv/a b'\"\n"
        '[env]\nA = "1=2"\nB = ""\n'
    )
    assert submitted("-f", str(file), "--cpus", "2.5") == ("train", EVERYTHING)
    assert submitted("-f", str(file), "--name", "other", "--", "true")[0] == "other"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gpu = 1", "did you mean 'gpus'?"),
        ("gpus = true", "is not a text or a number"),
        ('command = "python x"', "is not an array of texts"),
        ("gpus = ", "is not TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name(run, tmp_path, text, said):
    file = tmp_path / "request.toml"
    file.write_text(text)
    ran = run("submit", "-f", str(file), "--", "true")
    assert ran.code == 2
    assert said in ran.err
    assert str(file) in ran.err


def test_a_missing_file_is_refused(run, tmp_path):
    ran = run("submit", "-f", str(tmp_path / "none.toml"))
    assert (ran.code, "cannot be read" in ran.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--label", "rack"], "--label was given a text without '='"),
        (["--label", "a b=c"], "--label 'a b=c' is no label"),
        (["--label", "a=b", "--label", "a=c"], "two values of one label"),
        (["--near", "data"], "--near 'data' is not a whole path"),
        (["--near", "/a\nb"], "is not a whole path"),
        (["--near", "/a"] * 33, "--near is given 33 times"),
        (["--numa", "--gpus", "0"], "--numa means GPUs near one NUMA node"),
        (["--gpu-model", "A100|"], "has an empty alternative"),
        (["--gpus", "two"], "--gpus 'two' is not a whole number"),
        (["--gpus", "-1"], "--gpus -1 is out of range"),
        (["--gpus", "99999999999999999999"], "out of range"),
        (["--gpu-memory", "20"], "--gpu-memory: '20' is not a size"),
        (["--memory", "-5GiB"], "--memory: '-5GiB' is not a size"),
        (["--memory", "0MiB"], "not a usable size"),
        (["--memory", "99999999TiB"], "not a usable size"),
        (["--cpus", "nan"], "--cpus 'nan' is not a usable number"),
        (["--cpus", "inf"], "is not a usable number"),
        (["--fraction", "1.5"], "--fraction 1.5 is not between 0 and 1"),
        (["--fraction", "0.33333"], "--fraction 0.33333 is finer than a thousandth"),
        (["--at-most", "soon"], "'soon' is not a duration"),
        (["--nodes", "gpu[1-"], "not a set of nodes"),
        (["--nodes", "gpu99"], "gpu99"),
        (["--name", ""], "a workload name has 1 to 200 characters"),
        (["--name", "x" * 201], "a workload name has 1 to 200 characters"),
        (["--cpuset", "a"], "--cpuset 'a' is not a CPU list"),
    ],
)
def test_a_wrong_value_is_exit_code_2_and_says_why(run, arguments, said):
    ran = run("submit", *arguments, "--", "true")
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


def test_no_command_is_refused(run):
    assert "no command was given" in run("submit").err


def test_a_secret_given_wrongly_is_not_repeated(run):
    ran = run("submit", "--env", "hunter2", "--", "true")
    assert ran.code == 2
    assert "hunter2" not in ran.err


@pytest.mark.parametrize(
    "name", ["a\nb", "\x1b[2J", "x" * 200, "$(reboot)", "'\"`", "日本", "\u202egnp", "--json", "-x"]
)
def test_any_name_is_kept_and_only_shown_escaped(run, world, name):
    ran = run("submit", "--gpus", "0", f"--name={name}", "--", "true")
    assert ran.code == 0, ran.err
    assert world.context.journal.submitted[-1].name == name
    assert all(char.isprintable() or char == "\n" for char in ran.out + ran.err)
    assert len(ran.out.splitlines()) == 1


@pytest.mark.parametrize("name", ["USR1", "SIGUSR1"])
def test_a_signal_is_named_with_or_without_sig(submitted, name):
    _, request = submitted("--gpus", "0", "--checkpoint-signal", name, "--", "true")
    assert (request.checkpoint_signal, request.checkpoint_command, request.checkpoint_grace_s) == ("USR1", (), 60.0)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--preempt", "maybe"), "--preempt 'maybe' is not known"),
        (("--preempt", "checkpoint"), "needs a way to save itself"),
        (("--checkpoint-signal", "KILL"), "none that work can save itself on"),
        (("--checkpoint-signal", "USR1", "--checkpoint-command", "save"), "exclude each other"),
        (("--checkpoint-command", "save '"), "--checkpoint-command: No closing quotation"),
        (("--checkpoint-signal", "USR1", "--checkpoint-grace", "2d"), "--checkpoint-grace 172800.0 is out of range"),
        (("--cpu-weight", "0"), "--cpu-weight 0 is out of range"),
        (("--io-weight", "20000"), "--io-weight 20000 is out of range"),
    ],
)
def test_giving_way_without_meaning_is_refused(run, arguments, told):
    refused = run("submit", *arguments, "--", "true")
    assert refused.code == 2
    assert told in refused.err
