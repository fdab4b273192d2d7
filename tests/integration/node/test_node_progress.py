"""What a workload says of how far it is: read from the end of a file that is its own, and believed no further."""

import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import pytest

TELL = """
import json, os, sys, time
with open(os.environ["GPUALLOC_PROGRESS"], "a") as file:
    for step in range(1, 6):
        line = {"step": step, "of": 10, "loss": 2.5, "phase": "train", "time_s": time.time() - 50 + 10 * step}
        file.write(json.dumps(line) + "\\n")
print("told", flush=True)
time.sleep(600)
"""


def path_of(node, workload):
    return node.state_dir / "workloads" / workload / "progress.jsonl"


@pytest.fixture
def running(node):
    """A program, the id of work that sleeps on it, and where that may write."""
    program = node.program()
    workload, told = node.start(program, "sleep", "600")
    assert "ok" in told
    return program, workload, path_of(node, workload)


def progress(program, workload):
    return program.record(workload)["progress"]


def test_a_process_finds_its_file_and_is_heard(any_node):
    program = any_node.program()
    workload, _ = any_node.start(program, any_node.python, "-c", TELL)
    any_node.until(lambda: program.output(workload) == "told\n")
    told = progress(program, workload)
    assert (told["step"], told["of"], told["loss"], told["phase"]) == (5, 10, 2.5, "train")
    # Lines of a time before it was started are not of this start.
    assert all(point["age_s"] <= 60 for point in told["points"])
    assert told["points"][-1] == {"age_s": told["age_s"], "step": 5}


@pytest.fixture
def open_folder():
    """A folder that every account may pass through, as /var/lib is."""
    folder = Path(tempfile.mkdtemp(prefix="gpualloc-progress-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.root
def test_another_account_has_a_file_of_its_own_and_sees_nothing_beside_it(open_folder, node):
    node.state_dir = open_folder / "state"
    program = node.program()
    script = (
        'echo "{\\"step\\": 3}" >> "$GPUALLOC_PROGRESS"; ls "$(dirname "$GPUALLOC_PROGRESS")"; echo done; sleep 600'
    )
    workload, _ = node.start(program, "sh", "-c", script, user="nobody", cwd="/")
    node.until(lambda: "done" in program.output(workload))
    assert progress(program, workload)["step"] == 3
    status = path_of(node, workload).stat()
    assert (status.st_uid, status.st_mode & 0o777) == (65534, 0o600)
    assert "spec.json" not in program.output(workload), "it may pass, and not look round"


@pytest.mark.root
def test_an_account_that_cannot_come_to_the_file_is_not_told_of_it(node, tmp_path):
    tmp_path.chmod(0o700)
    program = node.program()
    workload, _ = node.start(program, "sh", "-c", "echo ${GPUALLOC_PROGRESS-unset}", user="nobody", cwd="/")
    program.end(workload)
    assert program.output(workload) == "unset\n"


def test_nobody_but_the_node_says_where_the_file_is(node):
    program = node.program()
    script = "echo $GPUALLOC_PROGRESS"
    workload, _ = node.start(program, "sh", "-c", script, env={"GPUALLOC_PROGRESS": "/etc/shadow"})
    program.end(workload)
    assert program.output(workload) == f"{path_of(node, workload)}\n"


def test_nothing_is_told_of_an_empty_file_or_none(running):
    program, workload, path = running
    assert progress(program, workload) is None
    path.unlink()
    assert progress(program, workload) is None


HOSTILE = {
    "binary": os.urandom(3000),
    "a line without an end": b'{"step": 1, "phase": "' + b"x" * 3_000_000,
    "nested": b"[" * 8000,
    "no object": b'7\n"step"\n[1]\nnull\n',
    "negative": b'{"step": -1}\n{"of": 0}\n{"loss": 1e31}\n',
    "no numbers": b'{"step": NaN, "loss": Infinity}\n{"step": true}\n{"step": "7"}\n',
    "huge": b'{"step": ' + b"9" * 900 + b"}\n",
    "zeros": bytes(20_000),
    "only a time": b'{"time_s": 1.5}\n',
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_makes_no_sense_is_nothing(running, content):
    program, workload, path = running
    path.write_bytes(content)
    assert progress(program, workload) is None
    path.write_bytes(content + b'\n{"step": 4, "phase": "\\u001b[31mred\\ud800"}\n')
    told = progress(program, workload)
    assert told["step"] == 4
    assert told["phase"] == "\x1b[31mred?"


def test_what_is_no_plain_file_of_the_account_is_not_read(running, tmp_path):
    program, workload, path = running
    real = tmp_path / "real"
    real.write_text('{"step": 1}\n')
    path.unlink()
    path.symlink_to(real)
    assert progress(program, workload) is None
    path.unlink()
    os.mkfifo(path)
    assert progress(program, workload) is None
    path.unlink()
    path.mkdir()
    assert progress(program, workload) is None
    path.rmdir()
    path.symlink_to("/dev/zero")
    assert progress(program, workload) is None


@pytest.mark.root
def test_a_file_of_another_account_is_not_read(running):
    program, workload, path = running
    path.write_text('{"step": 1}\n')
    assert progress(program, workload)["step"] == 1
    os.chown(path, 65534, 65534)
    assert progress(program, workload) is None


def lines(path, *entries):
    with path.open("a") as file:
        file.writelines(json.dumps(entry) + "\n" for entry in entries)


def test_only_the_end_is_read_and_times_are_told_as_ages(running):
    program, workload, path = running
    now_s = time.time()
    path.write_text("x" * 100_000 + "\n")
    lines(path, *({"step": step, "of": 9000, "time_s": now_s} for step in range(5000)))
    told = progress(program, workload)
    assert (told["step"], told["of"]) == (4999, 9000)
    assert len(told["points"]) <= 16
    assert 0 <= told["age_s"] < 60


def test_a_step_back_begins_anew_and_the_newest_of_each_kind_counts(running):
    program, workload, path = running
    now_s = time.time()
    lines(path, {"step": 90, "of": 100, "time_s": now_s}, {"step": 2, "time_s": now_s + 0.1}, {"phase": "evaluating"})
    told = progress(program, workload)
    assert (told["step"], told["of"], told["phase"]) == (2, 100, "evaluating")
    assert [point["step"] for point in told["points"]] == [2]


def test_what_was_written_before_it_was_resumed_tells_no_pace(running):
    program, workload, path = running
    now_s = time.time()
    lines(path, {"step": 1, "time_s": now_s}, {"step": 2, "time_s": now_s + 0.5})
    assert len(progress(program, workload)["points"]) == 2
    resumed = Path(path).with_name("resumed")
    resumed.touch()
    os.utime(resumed, (now_s + 100, now_s + 100))
    told = progress(program, workload)
    assert (told["step"], told["points"]) == (2, [])


def test_ended_work_tells_nothing_more(node):
    program = node.program()
    workload, _ = node.start(program, "sh", "-c", 'echo "{\\"step\\": 3}" > "$GPUALLOC_PROGRESS"')
    program.end(workload)
    assert "progress" not in program.record(workload)
