"""What work is expected to use, read from a file at submit, checked, kept with the request and shown."""

import json

import pytest

from gpualloc.model.codec import from_plain, to_plain
from gpualloc.model.declared import DeclaredPhase
from gpualloc.model.workload import Workload
from gpualloc.views.declared import declared_facts
from gpualloc.views.workloads import workload_in_full, workload_text

TOML = """
[[profile]]
phase = "warm-up"
for = "10m"
gpu = 0.2
memory = "4GiB"

[[profile]]
phase = "train"
for = "3h"
gpu = 0.95
memory = "20GiB"

[[profile]]
gpu = 0
"""
DECLARED = (
    DeclaredPhase(600.0, 0.2, 4096, "warm-up"),
    DeclaredPhase(10_800.0, 0.95, 20_480, "train"),
    DeclaredPhase(None, 0.0),
)


@pytest.fixture
def file(tmp_path):
    """A function that writes a profile file."""

    def write(text, name="profile.toml"):
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


def submitted(run, world, *arguments):
    ran = run("submit", *arguments)
    assert ran.code == 0, ran.err
    return world.context.journal.submitted[-1]


def test_toml_and_json_say_the_same(run, world, file):
    plain = {"profile": [
        {"phase": "warm-up", "for": "10m", "gpu": 0.2, "memory": "4GiB"},
        {"phase": "train", "for": "3h", "gpu": 0.95, "memory": "20GiB"},
        {"gpu": 0},
    ]}  # fmt: skip
    for path in (file(TOML), file(json.dumps(plain), "profile.json")):
        assert submitted(run, world, "--profile-file", path, "--", "train").request.declared == DECLARED


def test_a_request_file_may_name_it(run, world, file):
    request = file(f'gpus = 1\nprofile-file = "{file(TOML)}"\n', "request.toml")
    assert submitted(run, world, "-f", request, "--", "train").request.declared == DECLARED


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[profile]]\ngpu = ", "is not TOML"),
        ("", "holds no 'profile' list"),
        ("profile = []", "holds no 'profile' list"),
        ("other = 1\n[[profile]]\ngpu = 1", "or something beside it"),
        ("profile = [3]", "phase 1 is not a table"),
        ("[[profile]]\nmemroy = '1GiB'", "did you mean 'memory'?"),
        ("[[profile]]\nfor = 30\ngpu = 1", "phase 1: for is not a text"),
        ("[[profile]]\nfor = '30x'\ngpu = 1", "phase 1: '30x' is not a duration"),
        ("[[profile]]\nmemory = '20'", "phase 1: '20' is not a size"),
        ("[[profile]]\ngpu = true", "phase 1: gpu is not a number"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name(run, file, text, said):
    path = file(text)
    ran = run("submit", "--profile-file", path, "--", "train")
    assert ran.code == 2
    assert said in ran.err
    assert path in ran.err


def test_a_file_that_is_not_there_or_not_json(run, file, tmp_path):
    ran = run("submit", "--profile-file", str(tmp_path / "none"), "--", "train")
    assert (ran.code, "cannot be read" in ran.err) == (2, True)
    for text in ("[" * 100_000, "{", "nan", '"text"'):
        ran = run("submit", "--profile-file", file(text, "p.json"), "--", "train")
        assert (ran.code, "p.json" in ran.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "text", "said"),
    [
        ((), "[[profile]]\nfor = '1h'", "phase 1: it says neither gpu nor memory"),
        ((), "[[profile]]\ngpu = 1\n[[profile]]\ngpu = 1", "phase 1: it does not say for how long"),
        ((), "[[profile]]\ngpu = 1.5", "phase 1: gpu 1.5 is not between 0 and 1"),
        ((), "[[profile]]\ngpu = nan", "phase 1: gpu nan is not between 0 and 1"),
        ((), '[[profile]]\ngpu = 1\nphase = "a\\nb"', "printable characters"),
        (("--gpu-memory", "10GiB"), "[[profile]]\nmemory = '20GiB'", "more than the 10240 MiB of --gpu-memory"),
        (("--fraction", "0.5"), "[[profile]]\ngpu = 0.9", "gpu is more than --fraction 0.5"),
        (("--gpus", "0"), "[[profile]]\ngpu = 0.9", "--gpus 0 asks for none"),
        ((), "[[profile]]\ngpu = 1\nfor = '1h'\n" * 101, "has 101 phases"),
    ],
)
def test_what_makes_no_sense_for_the_request_is_refused(run, file, arguments, text, said):
    ran = run("submit", *arguments, "--profile-file", file(text), "--", "train")
    assert (ran.code, said in ran.err) == (2, True), ran.err


def test_it_is_told_in_words_and_as_data_and_kept_whole(run, world, file):
    work = submitted(run, world, "--profile-file", file(TOML), "--", "train")
    shown = workload_text(work, work.submitted_at_s, simulated=False)
    assert "declared:    warm-up: for 10m00s, 20 % of each GPU, 4.0 GiB GPU memory" in shown
    assert "to the end, 0 % of each GPU" in shown
    told = workload_in_full(work, simulated=False)["request"]["declared"]
    assert told[1] == {"for_s": 10_800.0, "gpu": 0.95, "memory_mib": 20_480, "phase": "train"}
    assert from_plain(Workload, json.loads(json.dumps(to_plain(work)))) == work


def test_many_phases_are_counted():
    facts = declared_facts([DeclaredPhase(60.0, 0.5)] * 11)
    assert (len(facts), facts[0][0], facts[-1][1]) == (9, "declared", "and 3 more")
