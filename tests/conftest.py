"""No test touches the state that a node program of this machine may really have."""

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

# Timing decides no test: on a busy machine an example may take as long as it likes.
settings.register_profile("gpualloc", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("gpualloc")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # So it is in what a shell starts in the background, and what tests start would never be interrupted.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# numpy begins with threads of its own unless told otherwise, in each of the thousand processes that tests start.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@pytest.fixture(autouse=True, scope="session")
def node_state_of_the_tests(tmp_path_factory):
    """Where node programs keep their state unless a test says otherwise."""
    before = os.environ.get("GPUALLOC_NODE_STATE_DIR")
    os.environ["GPUALLOC_NODE_STATE_DIR"] = str(tmp_path_factory.mktemp("node-state"))
    yield
    if before is None:
        del os.environ["GPUALLOC_NODE_STATE_DIR"]
    else:
        os.environ["GPUALLOC_NODE_STATE_DIR"] = before


def pytest_xdist_auto_num_workers():
    """Most tests wait for processes, not for a processor."""
    return 2 * (os.cpu_count() or 1)
