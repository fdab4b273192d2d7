"""Lock, fences and claims in files, also those that others wrote."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from gpualloc.node import processes
from gpualloc.node.ledger import FileLedger
from gpualloc.node.wire import Refused

BOOT = "boot-1"


def claim(device="GPU-1", workload="w00000001", at_s=None):
    return {
        "device": device,
        "mig_instance": None,
        "place": None,
        "workload": workload,
        "controller": "a" * 32,
        "share": "exclusive",
        "fraction": 1.0,
        "memory_mib": None,
        "attempt": 1,
        "at_s": time.time() if at_s is None else at_s,
    }


@pytest.fixture
def shared(tmp_path):
    return tmp_path / "claims"


@pytest.fixture
def ledger(tmp_path, shared):
    return FileLedger(str(tmp_path / "one"), BOOT, (str(shared),))


@pytest.fixture
def other(tmp_path, shared):
    """The ledger of another account on the same node."""
    return FileLedger(str(tmp_path / "two"), BOOT, (str(shared),))


def test_claims_are_seen_by_every_account_until_they_are_removed(ledger, other, shared):
    made = [claim(), claim("GPU-2")]
    with ledger.locked(1):
        ledger.add_claims(made)
    assert other.claims() == ledger.claims() == made
    assert shared.stat().st_mode & 0o7777 == 0o1777
    ledger.remove_claims("w00000001")
    assert other.claims() == []


def test_new_claims_take_the_place_of_old_ones(ledger):
    ledger.add_claims([claim()])
    ledger.add_claims([claim("GPU-2")])
    assert [one["device"] for one in ledger.claims()] == ["GPU-2"]


def test_an_own_state_stands_alone(tmp_path):
    alone = FileLedger(str(tmp_path), BOOT)
    with alone.locked(1):
        alone.add_claims([claim()])
    assert (tmp_path / "claims" / "GPU-1@w00000001.json").exists()


def test_claims_of_another_boot_are_over(tmp_path, ledger, shared):
    ledger.add_claims([claim()])
    assert FileLedger(str(tmp_path), "boot-2", (str(shared),)).claims() == []


def test_a_claim_lasts_as_long_as_its_keeper_for_other_accounts(ledger, other):
    ledger.add_claims([claim()])
    keeper = subprocess.Popen(["sleep", "600"])
    try:
        ledger.keep_claims("w00000001", keeper.pid, processes.stat(keeper.pid).start_ticks)
        assert len(other.claims()) == 1
    finally:
        keeper.kill()
        keeper.wait()
    assert other.claims() == []


def test_a_claim_that_nobody_followed_up_is_forgotten(ledger, other):
    ledger.add_claims([claim(at_s=time.time() - 7200)])
    assert other.claims() == []


WHOLE = {"format": 1, "boot_id": BOOT, "keeper": None, "claim": claim(at_s=1.0)}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"x" * 100_000,
        json.dumps(dict(WHOLE, claim={})).encode(),
        json.dumps(WHOLE).encode()[:-1],
        json.dumps(dict(WHOLE, keeper=5)).encode(),
        json.dumps(dict(WHOLE, boot_id=None)).encode(),
    ],
    ids=["empty", "list", "large", "no claim", "half", "keeper", "boot"],
)
def test_what_others_wrote_is_not_trusted(ledger, shared, content):
    ledger.add_claims([claim()])
    (shared / "GPU-9@w99999999.json").write_bytes(content)
    assert [one["device"] for one in ledger.claims()] == ["GPU-1"]


def test_a_claim_with_a_path_for_an_id_is_not_read(ledger, shared):
    ledger.add_claims([claim()])
    hostile = dict(WHOLE, claim=dict(claim(), workload="../x"))
    (shared / "GPU-9@w99999999.json").write_text(json.dumps(hostile))
    assert [one["device"] for one in ledger.claims()] == ["GPU-1"]


def test_links_and_pipes_are_not_followed(ledger, shared, tmp_path):
    ledger.add_claims([claim()])
    os.rename(shared / "GPU-1@w00000001.json", tmp_path / "claim.json")
    os.symlink(tmp_path / "claim.json", shared / "GPU-1@w00000001.json")
    os.mkfifo(shared / "GPU-2@w00000002.json")
    assert ledger.claims() == []


def test_a_folder_without_the_sticky_bit_is_not_used(tmp_path):
    folder = tmp_path / "claims"
    folder.mkdir()
    with pytest.raises(Refused) as refused, FileLedger(str(tmp_path), BOOT, (str(folder),)).locked(1):
        pass
    assert refused.value.reason == "disk"


def test_fences_are_per_controller_and_stay(tmp_path, ledger):
    assert ledger.fence("a" * 32) == 0
    ledger.set_fence("a" * 32, 7)
    again = FileLedger(str(tmp_path / "one"), BOOT)
    assert (again.fence("a" * 32), again.fence("b" * 32)) == (7, 0)


def test_a_held_lock_is_waited_for_and_then_refused(ledger, other):
    for second in (ledger, other):
        with ledger.locked(1), pytest.raises(Refused) as refused, second.locked(0.05):
            pass
        assert refused.value.reason == "locked"
    entered = threading.Event()

    def wait():
        with ledger.locked(30):
            entered.set()

    with ledger.locked(1):
        thread = threading.Thread(target=wait)
        thread.start()
        assert not entered.is_set()
    thread.join(60)
    assert entered.is_set()


def test_a_killed_holder_lets_go(tmp_path, ledger):
    script = (
        "import sys, time; from gpualloc.node.ledger import FileLedger\n"
        "with FileLedger(sys.argv[1], 'boot-1').locked(1): print('held', flush=True); time.sleep(600)"
    )
    holder = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "one")], stdout=subprocess.PIPE)
    with holder.stdout:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Refused), ledger.locked(0.05):
            pass
        holder.kill()
        holder.wait()
    with ledger.locked(10):
        pass
