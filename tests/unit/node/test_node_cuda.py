"""What is handed to the CUDA driver, byte for byte, and what its answers are called."""

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.cuda_stub import FakeCuda

from gpualloc.node import cuda

REPOSITORY = Path(__file__).parents[3]
UUID = "GPU-01234567-89ab-cdef-0123-456789abcdef"


@pytest.mark.parametrize(
    ("struct", "size", "offsets"),
    [
        (cuda.LockArgs, 64, {"timeout_ms": 0, "reserved0": 4, "reserved1": 8}),
        (cuda.CheckpointArgs, 64, {"reserved": 0}),
        (cuda.RestoreArgs, 64, {"pairs": 0, "pairs_count": 8, "padding": 12, "custom_storage": 16, "reserved": 24}),
        (cuda.UnlockArgs, 64, {"reserved": 0}),
        (cuda.GpuPair, 32, {"old": 0, "new": 16}),
    ],
)
def test_structures_have_the_layout_of_the_header(struct, size, offsets):
    assert ctypes.sizeof(struct) == size
    assert {name: getattr(struct, name).offset for name, _ in struct._fields_} == offsets
    assert bytes(struct()) == bytes(size)


def test_a_uuid_is_its_sixteen_bytes():
    assert bytes(cuda.uuid(UUID)).hex() == "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize("text", ["", "MIG-01234567-89ab-cdef-0123-456789abcdef", UUID + "00", UUID[:-2], "GPU-xyz"])
def test_what_is_not_the_uuid_of_a_gpu_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - which one, the text of a bad digit says in Python's words
        cuda.uuid(text)


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (1, "INVALID_VALUE"),
        (3, "NOT_INITIALIZED"),
        (201, "INVALID_CONTEXT"),
        (401, "ILLEGAL_STATE"),
        (600, "NOT_READY"),
        (801, "NOT_SUPPORTED"),
        (712, "CUresult 712"),
    ],
)
def test_errors_say_function_name_and_number(code, word):
    error = cuda.CudaError("cuCheckpointProcessLock", code)
    assert error.code == code
    assert "cuCheckpointProcessLock" in str(error)
    assert word in str(error)
    assert str(code) in str(error)


def python(fake, code):
    """Run code in a process that finds the fake driver; what it prints."""
    begin = "from gpualloc.node.cuda import *\n"
    environment = {"PYTHONPATH": str(REPOSITORY), **(fake.environment() if fake else {})}
    done = subprocess.run(
        [sys.executable, "-c", begin + code], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


BEGIN = "try: Cuda(); print('begun')\nexcept (CudaMissing, CudaError) as error: print(type(error).__name__, error)"


def test_a_host_without_the_library_says_so():
    told = python(None, BEGIN)
    assert told.startswith("CudaMissing")
    assert "libcuda.so.1" in told


@pytest.mark.parametrize("version", [12_040, 12_070])
def test_an_older_driver_says_which_is_needed(tmp_path, version):
    told = python(FakeCuda(tmp_path / "cuda", {UUID: 1}, version=version), BEGIN)
    assert told.startswith("CudaMissing driver >= 570 needed")


def test_a_driver_that_does_not_begin_says_why(tmp_path):
    assert "803" in python(FakeCuda(tmp_path / "cuda", {UUID: 1}, init_code=803), BEGIN)


def test_a_process_without_cuda_has_no_state(tmp_path):
    code = "import os\nprint(Cuda().state(os.getpid()), Cuda().state(2**22 + 1), Cuda().version())"
    assert python(FakeCuda(tmp_path / "cuda", {UUID: 1}), code) == "None None 13000"


ROUND = """
import os, pathlib
pid = os.getpid()
stat = pathlib.Path('/proc/self/stat').read_text().rsplit(')', 1)[1].split()[19]
path = pathlib.Path(os.environ['FAKE_CUDA'], 'process.%d' % pid)
path.write_text('state 0\\nhost 0\\nstart %s\\nstuck 0\\n' % stat)
driver, seen = Cuda(), []
for name, args in STEPS:
    try: getattr(driver, name)(pid, *args)
    except CudaError as error: seen.append(error.code)
    seen.append(driver.state(pid))
print(*seen)
"""


def test_a_round_through_all_states(tmp_path):
    steps = "[('lock', [100]), ('checkpoint', []), ('restore', [[]]), ('unlock', [])]"
    told = python(FakeCuda(tmp_path / "cuda", {UUID: 1}), ROUND.replace("STEPS", steps))
    assert told == "locked checkpointed locked running"


@pytest.mark.parametrize("begin", ["running", "locked", "checkpointed"])
@pytest.mark.parametrize("name", ["lock", "checkpoint", "restore", "unlock"])
def test_each_call_in_each_state_moves_the_process_or_is_refused_as_illegal(tmp_path, begin, name):
    args = {"lock": "[100]", "restore": "[[]]"}
    way = {"running": [], "locked": ["lock"], "checkpointed": ["lock", "checkpoint"]}[begin]
    steps = ", ".join(f"('{one}', {args.get(one, '[]')})" for one in [*way, name])
    after = {
        ("lock", "running"): "locked",
        ("checkpoint", "locked"): "checkpointed",
        ("restore", "checkpointed"): "locked",
        ("unlock", "locked"): "running",
    }
    told = python(FakeCuda(tmp_path / "cuda", {UUID: 1}), ROUND.replace("STEPS", f"[{steps}]")).split()
    expected = [after[name, begin]] if (name, begin) in after else ["401", begin]
    assert told[len(way) :] == expected


def test_pairs_are_refused_by_a_driver_that_has_none(tmp_path):
    steps = f"[('lock', [100]), ('checkpoint', []), ('restore', [[['{UUID}', '{UUID}']]])]"
    old = python(FakeCuda(tmp_path / "old", {UUID: 1}, version=12_080), ROUND.replace("STEPS", steps)).split()
    new = python(FakeCuda(tmp_path / "new", {UUID: 1}), ROUND.replace("STEPS", steps)).split()
    assert (old[-2:], new[-1]) == (["1", "checkpointed"], "locked")
