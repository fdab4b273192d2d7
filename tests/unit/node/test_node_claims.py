"""Who gets a device, and who does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpualloc.node import claims
from gpualloc.node.wire import Refused

GPU, MIG_A, MIG_B = "GPU-1", "MIG-a", "MIG-b"


def grant(share="exclusive", *, fraction=1.0, memory=None, instance=None, device=GPU):
    return {"device": device, "mig_instance": instance, "share": share, "fraction": fraction, "memory_mib": memory}


def step(*grants, workload="w00000001", controller="a" * 32, attempt=1):
    return {"workload": workload, "controller": controller, "attempt": attempt, "grants": list(grants)}


def check(asked, current=(), *, state="ok", used=0, mig=False, processes=()):
    instances = [{"uuid": name, "memory_total_mib": 500, "memory_used_mib": used} for name in (MIG_A, MIG_B)]
    row = {"uuid": GPU, "state": state, "reason": None, "mig_instances": instances if mig else []}
    inventory = {"devices": [dict(row, memory_total_mib=1000, mig_enabled=mig)]}
    sample = {"at_s": 1.0, "devices": [dict(row, memory_used_mib=used)]}
    claims.check(asked, list(current), inventory, sample, list(processes))


def held(*grants, workload="w00000002", controller="b" * 32):
    return claims.made(step(*grants, workload=workload, controller=controller), 1.0)


def refused(*args, **kwargs):
    with pytest.raises(Refused) as error:
        check(*args, **kwargs)
    return error.value.reason


def process(workload=None, instance=None):
    return {"pid": 9, "device": GPU, "mig_instance": instance, "user": "eve", "workload": workload}


def test_a_free_device_is_given():
    check(step(grant()))


@pytest.mark.parametrize("asked", [grant(), grant("time-slice", fraction=0.1)])
def test_an_exclusive_claim_leaves_nothing_to_anyone(asked):
    assert refused(step(asked), held(grant())) == "claimed"


def test_nothing_exclusive_beside_a_share():
    assert refused(step(grant()), held(grant("time-slice", fraction=0.1))) == "claimed"


def test_fractions_add_up_to_one_device():
    half = grant("time-slice", fraction=0.5)
    check(step(half), held(half))
    assert refused(step(grant("time-slice", fraction=0.6)), held(half)) == "claimed"
    assert refused(step(half, half, half)) == "claimed"


def test_a_mig_instance_is_given_once():
    a, b = grant("mig", instance=MIG_A), grant("mig", instance=MIG_B)
    check(step(a), held(b), mig=True)
    assert refused(step(a), held(a), mig=True) == "claimed"
    assert refused(step(a, a), mig=True) == "claimed"


def test_what_does_not_exist_is_gone():
    assert refused(step(grant(device="GPU-2"))) == "gone"
    assert refused(step(grant("mig", instance="MIG-c")), mig=True) == "gone"
    assert refused(step(grant()), mig=True) == "gone"


def test_an_unhealthy_device_is_not_given():
    assert refused(step(grant()), state="GPU lost") == "unhealthy"


def test_memory_is_measured_and_booked():
    check(step(grant(memory=936)))
    assert refused(step(grant(memory=937))) == "memory"
    assert refused(step(grant(memory=900)), used=100) == "memory"
    booked = held(grant("time-slice", fraction=0.5, memory=600))
    assert refused(step(grant("time-slice", fraction=0.5, memory=400)), booked) == "memory"
    assert refused(step(grant("mig", instance=MIG_A, memory=437)), mig=True) == "memory"
    assert refused(step(grant(memory=1)), used=None) == "memory"


def test_strangers_keep_a_device_from_being_exclusive():
    assert refused(step(grant()), processes=[process()]) == "stranger"
    check(step(grant()), processes=[process("w00000001")])
    check(step(grant("time-slice", fraction=0.5)), processes=[process()])
    check(step(grant("mig", instance=MIG_A)), mig=True, processes=[process(instance=MIG_B)])
    assert refused(step(grant("mig", instance=MIG_A)), mig=True, processes=[process(instance=MIG_A)]) == "stranger"


def test_a_workload_may_claim_anew_but_not_for_another_controller():
    check(step(grant()), held(grant(), workload="w00000001", controller="a" * 32))
    assert refused(step(grant()), held(grant(), workload="w00000001")) == "claimed"


def test_claims_die_with_the_start_they_were_made_for():
    current = held(grant())
    record = {"workload": "w00000002", "attempt": 1, "end": {"at_s": 1}}
    assert claims.alive(current, [record]) == []
    assert claims.alive(current, [dict(record, end=None)]) == current
    assert claims.alive(current, [dict(record, attempt=0)]) == current


shares = st.sampled_from([grant()] + [grant("time-slice", fraction=part / 10) for part in range(1, 11)])


@given(st.lists(shares, max_size=12))
def test_whatever_is_asked_a_device_is_never_given_twice(asked):
    given_away = []
    for number, one in enumerate(asked):
        wanted = step(one, workload=f"w{number:08d}")
        try:
            check(wanted, given_away)
        except Refused:
            continue
        given_away += claims.made(wanted, 1.0)
    assert sum(claim["fraction"] for claim in given_away) <= 1 + 1e-9
    assert len(given_away) <= 1 or all(claim["share"] == "time-slice" for claim in given_away)
