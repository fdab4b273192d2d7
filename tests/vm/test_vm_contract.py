"""The contract of control groups, on every back end of a genuine node: run there, by its own python3 and pytest."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.vm

CONTRACT = Path(__file__).parents[1] / "contract" / "test_contract_cgroups.py"
COMMAND = "cd /opt/gpualloc && PYTHONPATH=. python3 -m pytest --noconftest -c /dev/null -p no:cacheprovider -v -rs "
NOT_DELEGATED = ("cpuset controller", "io controller", "keeps nobody from devices", "no device files can be used")
"""What Debian gives no account without root, as the reasons of skipped tests say it."""


@pytest.mark.parametrize(
    ("user", "expected", "lacks"),
    [("root", {"systemd", "v2"}, ()), ("plain", {"systemd-user"}, NOT_DELEGATED)],
)
def test_the_contract_of_groups_holds(node, user, expected, lacks):
    node.guest.put(CONTRACT, "/opt/gpualloc/tests")
    done = node.guest.run("sh", "-c", f"{COMMAND} tests/{CONTRACT.name} 2>&1", user=user, check=False, timeout_s=900)
    print(done.stdout)
    passed = re.findall(r"\[([a-z0-9-]+?)(?:-True|-False)?\] PASSED", done.stdout)
    skipped = re.findall(r"^SKIPPED \[\d+\] \S+ (.*)$", done.stdout, re.MULTILINE)
    assert done.returncode == 0, done.stdout[-5000:]
    assert set(passed) == expected
    assert all(passed.count(back_end) > 10 for back_end in expected)
    assert [reason for reason in skipped if not any(what in reason for what in lacks)] == []
    assert node.units(user) == []
    assert node.traces() == ""
