"""A burn-in as it is shown: alike checks in one line, foreign text made harmless, and what to type next."""

from fakes.sample_world import HOSTILE

from gpualloc.model.burnin import Burnin, BurninProgress, Check, Outcome
from gpualloc.views.burnin import burnin_data, burnin_text, progress_text
from gpualloc.views.look import Look

INDICES = {f"GPU-{index}": index for index in range(8)}
CHECKS = (
    Check("xid", Outcome.FAIL, HOSTILE),
    *(Check("pcie", Outcome.PASS, "16 of 16 lanes", f"GPU-{index}", {"lanes": 16.0}) for index in (0, 1, 2, 5)),
    Check("pcie", Outcome.SKIP, "not told", "GPU-unknown"),
)


def test_alike_checks_are_one_line_and_nothing_harms_a_terminal():
    text = burnin_text(Burnin("n1", None, CHECKS, 0.0, 61.0), INDICES, Look(200), simulated=True)
    assert "GPU 0-2,5" in text
    assert "GPU-unknown" in text
    assert "\x1b" not in text
    assert text.splitlines()[0] == "simulated"
    assert text.splitlines()[-2] == "FAIL: n1: 6 checks, 1 failed, 1 not made, 1m01s in all"
    assert text.splitlines()[-1] == "next: gpualloc doctor"


def test_what_passed_is_let_back():
    passed = Burnin("n1", "GPU-1", CHECKS[1:], 0.0, 1.0)
    assert burnin_data(passed, simulated=False)["next"] == "gpualloc uncordon n1 --device GPU-1"
    assert burnin_data(Burnin("n1", None, CHECKS[1:], 0.0, 1.0), simulated=False)["next"] == "gpualloc uncordon n1"


def test_progress_is_a_line():
    assert progress_text(BurninProgress(30.0, 60.0, "GPU 3")).endswith("30s of 1m00s GPU 3")
