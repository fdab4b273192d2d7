"""Memory of this host, and of a GPU through a CUDA driver that is made for it, checked by real processes."""

import os
from types import SimpleNamespace

import pytest
from fakes.command import wait_until
from fakes.cuda_stub import FakeCuda

from gpualloc.node import burnin
from gpualloc.node.burnin import Burnin, host_mib
from gpualloc.node.burnin_work import GPU_BLOCK, PATTERNS
from gpualloc.node.wire import Refused

GPU = "GPU-00000000-0000-0000-0000-000000000001"
OTHER = "GPU-00000000-0000-0000-0000-000000000002"
HOST = {"part": "host-memory", "device": None, "mib": 8, "seconds": 0, "round": 0}
WHOLE = {"part": "gpu", "device": GPU, "mib": 200, "seconds": 0, "round": 0}
GRACE_S = 100.0
"""What a check gets on a busy machine beside its slice."""


@pytest.fixture
def cuda(tmp_path):
    return FakeCuda(tmp_path / "cuda", {OTHER: 10_000, GPU: 10_000})


@pytest.fixture
def check(cuda):
    """Check for a slice; returns what was found."""
    checks = Burnin(GRACE_S)

    def run(asked, checks=checks, **changes):
        return checks.run({**asked, **changes}, {**cuda.environment(), "CUDA_VISIBLE_DEVICES": asked["device"] or ""})

    return run


def test_host_memory_that_is_well(check):
    found = check(HOST)
    assert (found["errors"], found["first_error"], found["passes"], found["compared_mib"]) == (0, None, 1, 8)
    assert check(HOST, seconds=1, mib=1)["passes"] > 1


def test_a_gpu_that_is_well_and_how_fast_its_bus_is(check, cuda):
    found = check(WHOLE)
    assert found["errors"] == 0
    assert found["memory_mib"] == 3 * (GPU_BLOCK >> 20)
    assert found["compared_mib"] >= GPU_BLOCK >> 20
    assert found["to_gpu_bytes_per_s"] > 0
    assert found["from_gpu_bytes_per_s"] > 0


@pytest.mark.parametrize("round_", range(len(PATTERNS)))
def test_a_bit_that_does_not_hold_is_found_and_named(check, cuda, round_):
    # The first reads only time the bus.
    cuda.fault("memory-read", "flip", nth=4 + 1)
    found = check(WHOLE, round=round_)
    first = found["first_error"]
    assert found["errors"] == 1
    assert first["expected"] ^ first["read"] == 1 << 17
    assert first["offset"] % GPU_BLOCK == GPU_BLOCK - 12


def test_no_pass_follows_an_error(check, cuda):
    cuda.fault("memory-read", "flip", nth=5)
    assert check(WHOLE, seconds=20)["seconds"] < 20


def test_blocks_that_are_one_are_seen(tmp_path):
    from gpualloc.node.burnin_work import _word

    assert len({_word(pattern, block) for pattern in PATTERNS[:4] for block in range(1000)}) == 4000


def test_a_driver_that_fails_is_told(check, cuda):
    cuda.fault("memory-read", "return", nth=5, code=999)
    with pytest.raises(Refused, match="cuMemcpyDtoH_v2: CUDA_ERROR_UNKNOWN") as caught:
        check(WHOLE)
    assert caught.value.reason == "failed"


def test_little_memory_is_checked_as_far_as_it_goes(check, cuda):
    cuda.fault("memory-take", "return", nth=2, code=2)
    assert check(WHOLE)["memory_mib"] == GPU_BLOCK >> 20
    cuda.forget_faults()
    cuda.fault("memory-take", "return", nth=1, code=2)
    with pytest.raises(Refused) as caught:
        check(WHOLE)
    assert caught.value.reason == "memory"


def test_a_driver_that_hangs_is_given_up_and_not_asked_twice(check, cuda):
    cuda.fault("memory-read", "hang", nth=1)
    checks = Burnin(0.5)
    with pytest.raises(Refused, match="did not return within 0 s") as caught:
        check(WHOLE, checks)
    assert caught.value.reason == "unhealthy"
    checks._left = SimpleNamespace(pid=4711, poll=lambda: None)
    with pytest.raises(Refused, match="process 4711 is inside the driver") as caught:
        check(WHOLE, checks)
    assert caught.value.reason == "busy"


def test_a_driver_that_ends_its_caller_is_told(check, cuda):
    cuda.fault("memory-read", "die-before", nth=2)
    with pytest.raises(Refused, match="ended before it had an answer") as caught:
        check(WHOLE)
    assert caught.value.reason == "failed"


def test_a_gpu_that_cuda_does_not_show_is_told(check):
    with pytest.raises(Refused, match="CUDA_ERROR_NO_DEVICE"):
        check({**WHOLE, "device": "GPU-9"})


def test_without_the_library_it_is_not_supported():
    with pytest.raises(Refused, match="cannot be loaded") as caught:
        Burnin(GRACE_S).run(WHOLE, {"LD_LIBRARY_PATH": "/nowhere", "LD_PRELOAD": ""})
    assert caught.value.reason == "not-supported"


def test_it_is_the_first_to_go_and_ends_with_its_parent(check, cuda):
    cuda.fault("memory-read", "hang", nth=1)
    parent = os.fork()
    if parent == 0:
        try:
            check(WHOLE)
        finally:
            os._exit(0)
    begun = cuda.folder / "begun"
    wait_until(lambda: begun.exists() and "memory-read" in begun.read_text(), "the check hangs")
    (child,) = {int(line.split()[1]) for line in begun.read_text().splitlines() if line.startswith("memory-read")}
    with open(f"/proc/{child}/oom_score_adj", encoding="ascii") as file:
        assert file.read().strip() == "1000"
    assert os.getpriority(os.PRIO_PROCESS, child) >= 10
    os.kill(parent, 9)
    os.waitpid(parent, 0)
    wait_until(lambda: not os.path.exists(f"/proc/{child}") or _is_zombie(child), "the check ends")


def _is_zombie(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def test_the_host_is_left_most_of_its_memory():
    assert host_mib(1 << 40, 8000) == 2000
    assert host_mib(1 << 40, 1 << 30) == burnin.MAX_HOST_MIB
    assert host_mib(100, 8000) == 100
    with pytest.raises(Refused, match="does not tell"):
        host_mib(100, None)
    with pytest.raises(Refused, match="only 3 MiB"):
        host_mib(100, 3)
