"""Judging nodes: nodes in, conditions out."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.engine.events import compare
from gpualloc.engine.health import judge, worst_first
from gpualloc.model.allocation import Claim, Share
from gpualloc.model.health import Condition, HealthRules, Heard, SeenDevice, Severity, Trouble
from gpualloc.model.inventory import Device, DeviceState, HostReading, Node, NodeSpec, NodeState, Process
from gpualloc.model.readings import Activity, Board, Ecc, NetworkPort, NvLink, Pcie, Throttle

NOW = 1_790_000_000.0
RULES = HealthRules()
WELL = Device(
    "GPU-0",
    0,
    "NVIDIA H100 80GB HBM3",
    81559,
    gpu_utilization_ratio=0.0,
    memory_used_mib=4,
    power_limit_w=700.0,
    power_limit_default_w=700.0,
    throttles=(Throttle.IDLE,),
    ecc=Ecc(volatile_uncorrected=0, remap_pending=False, remap_failed=False),
    pcie=Pcie(generation=5, width=16, generation_max=5, width_max=16),
    nvlinks=tuple(NvLink(index, up=True, errors=0) for index in range(4)),
    board=Board("0000:3b:00.0"),
)
HOST = HostReading(swap_in_bytes_per_s=0.0, gpus_on_bus=1)
NODE = Node(
    NodeSpec("gpu01", "p", "ssh"),
    NodeState.OK,
    NOW,
    boot_id="b1",
    driver_version="580.95.05",
    nvml_state="ok",
    clock_offset_s=0.1,
    host=HOST,
    devices=(WELL,),
)
SEEN = SeenDevice("GPU-0", 0, "0000:3b:00.0", 0)
HEARD = Heard("gpu01", "b1", "580.95.05", None, (SEEN,), ())
CLAIM = Claim("GPU-0", "w1", "c", Share.EXCLUSIVE, None, 1.0, None, 0.0)
SLOW = Pcie(1, 16, 5, 16)
JOB = Process(4711, "GPU-0", None, 20_000, "ann", "python train.py", 1.0, None)


def device(**changes):
    return replace(NODE, devices=(replace(WELL, **changes),))


def look(node, before=(), heard=HEARD, now_s=NOW, rules=RULES):
    """A look as `record` makes it, without a store: the conditions, and what is remembered for the next."""
    looked = compare([node], before, {} if heard is None else {heard.node: heard}, {}, now_s=now_s, rules=rules)
    return looked.conditions, next(iter(looked.heard), None)


def conditions(node, before=(), heard=HEARD, now_s=NOW):
    return look(node, before, heard, now_s)[0]


def one(node, before=(), heard=HEARD, now_s=NOW):
    (found,) = conditions(node, before, heard, now_s)
    return found


def test_a_node_that_is_well_has_no_conditions():
    assert conditions(NODE) == ()


@pytest.mark.parametrize(
    ("changes", "trouble", "severity", "told"),
    [
        ({"pcie": Pcie(4, 8, 5, 16)}, Trouble.PCIE_DEGRADED, Severity.WARNING, "8 lanes instead of 16"),
        (
            {"ecc": Ecc(None, None, 0, 3, remap_pending=False, remap_failed=False)},
            Trouble.ECC_ERRORS,
            Severity.ERROR,
            "3",
        ),
        (
            {"ecc": Ecc(volatile_uncorrected=0, remap_pending=True, remap_failed=False)},
            Trouble.REMAP_PENDING,
            Severity.WARNING,
            "waits for a reset",
        ),
        (
            {"ecc": Ecc(volatile_uncorrected=0, remap_pending=False, remap_failed=True)},
            Trouble.REMAP_FAILED,
            Severity.ERROR,
            "could not be replaced",
        ),
        (
            {"state": DeviceState.LOST, "reason": "GPU is lost"},
            Trouble.DEVICE_STATE,
            Severity.CRITICAL,
            "GPU lost: the driver lost the GPU (GPU is lost)",
        ),
        ({"state": DeviceState.NEEDS_RESET}, Trouble.DEVICE_STATE, Severity.CRITICAL, "needs reset"),
        ({"state": DeviceState.NO_PERMISSION}, Trouble.DEVICE_STATE, Severity.WARNING, "no permission"),
        ({"state": DeviceState.FAILED}, Trouble.DEVICE_STATE, Severity.ERROR, "failed"),
    ],
)
def test_a_sick_device_is_told_at_once(changes, trouble, severity, told):
    found = one(device(**changes))
    assert (found.trouble, found.severity, found.device, found.since_s) == (trouble, severity, "GPU-0", NOW)
    assert told in found.what
    assert found.advice
    assert found.confirmed


def test_a_hung_device_is_hung_since_the_node_says():
    found = one(device(state=DeviceState.HUNG, reason="since 90 s"))
    assert (found.since_s, found.severity) == (NOW - 90, Severity.CRITICAL)
    later = device(state=DeviceState.HUNG, reason="since 95 s")
    assert one(later, [found], now_s=NOW + 5) == found


@pytest.mark.parametrize(
    ("sick", "trouble", "after_s"),
    [
        (device(gpu_utilization_ratio=0.9), Trouble.GHOST_BUSY, 60),
        (device(throttles=(Throttle.HW_THERMAL,)), Trouble.THROTTLED, 60),
        (device(throttles=(Throttle.POWER_CAP,), power_limit_w=300.0), Trouble.THROTTLED, 60),
        (replace(device(gpu_utilization_ratio=0.9, pcie=SLOW), processes=(JOB,)), Trouble.PCIE_DEGRADED, 60),
        (replace(NODE, processes=(JOB,)), Trouble.MEMORY_IDLE, 1800),
        (replace(NODE, claims=(CLAIM,)), Trouble.ALLOCATED_IDLE, 1800),
        (replace(NODE, host=replace(HOST, swap_in_bytes_per_s=5e6)), Trouble.SWAPPING, 300),
    ],
)  # fmt: skip
def test_what_must_hold_for_a_while_is_suspected_first(sick, trouble, after_s):
    suspected = one(sick)
    assert (suspected.trouble, suspected.confirmed) == (trouble, False)
    still = one(sick, [suspected], now_s=NOW + after_s - 1)
    assert (still.confirmed, still.since_s) == (False, NOW)
    told = one(sick, [still], now_s=NOW + after_s)
    assert (told.confirmed, told.since_s) == (True, NOW)
    assert one(sick, [told], now_s=NOW + 10 * after_s) == told


def test_a_suspicion_that_stops_begins_anew():
    busy = device(gpu_utilization_ratio=0.9)
    suspected = conditions(busy)
    assert conditions(NODE, suspected, now_s=NOW + 30) == ()
    assert one(busy, (), now_s=NOW + 40).since_s == NOW + 40


def test_work_on_a_busy_device_is_no_ghost_and_no_waste():
    busy = device(gpu_utilization_ratio=0.9, throttles=())
    assert conditions(replace(busy, processes=(JOB,))) == ()


def test_an_idle_device_may_slow_its_link_down():
    assert conditions(device(pcie=Pcie(1, 16, 5, 16))) == ()


@pytest.mark.parametrize("throttles", [(Throttle.POWER_CAP,), (Throttle.IDLE, Throttle.CLOCK_SETTING), ()])
def test_a_power_cap_at_the_boards_own_limit_is_normal(throttles):
    assert conditions(device(throttles=throttles)) == ()


def test_a_lowered_power_limit_is_good_to_know_and_heat_a_warning():
    capped = device(throttles=(Throttle.POWER_CAP,), power_limit_w=300.0)
    assert one(capped).severity is Severity.INFO
    hot = one(device(throttles=(Throttle.POWER_CAP, Throttle.SW_THERMAL), power_limit_w=300.0))
    assert (hot.severity, hot.what) == (Severity.WARNING, "its clocks are held down: thermal slowdown")


def test_memory_that_is_hardly_any_is_not_held():
    assert conditions(replace(NODE, processes=(replace(JOB, gpu_memory_used_mib=300),))) == ()


def test_who_holds_memory_is_named():
    more = tuple(replace(JOB, pid=pid) for pid in range(5))
    assert one(replace(NODE, processes=more)).what.startswith("ann (pid 0), ann (pid 1), ann (pid 2) and 2 more hold")


def test_real_use_counts_as_use():
    used = device(activity=Activity(sm_active_ratio=0.4))
    assert conditions(replace(used, processes=(JOB,))) == ()


class TestNvLinks:
    def links(self, up, errors=0):
        return tuple(NvLink(index, up=index < up, errors=errors) for index in range(4))

    def node(self, *ups):
        gpus = tuple(
            replace(
                WELL, uuid=f"GPU-{place}", index=place, nvlinks=self.links(up), board=Board(f"0000:{place:02x}:00.0")
            )
            for place, up in enumerate(ups)
        )
        return replace(NODE, devices=gpus, host=replace(HOST, gpus_on_bus=len(gpus)))

    @pytest.mark.parametrize("ups", [(4, 4, 4), (2, 2), (0, 0), (2, 0, 2, 0)])
    def test_what_is_wired_alike_is_well(self, ups):
        assert conditions(self.node(*ups), heard=None) == ()

    @pytest.mark.parametrize("ups", [(4, 3, 4), (4, 0, 4), (2, 1, 2)])
    def test_the_one_that_has_fewer_is_named(self, ups):
        found = one(self.node(*ups), heard=None)
        assert (found.trouble, found.device, found.severity) == (Trouble.NVLINK_DOWN, "GPU-1", Severity.ERROR)
        assert f"{ups[1]} are up, {ups[0]} on others" in found.what

    def test_errors_that_grow_are_told_until_they_are_calm_for_an_hour(self):
        before, heard = look(device(nvlinks=self.links(4, errors=5)), heard=None)
        assert before == ()
        found, heard = look(device(nvlinks=self.links(4, errors=9)), (), heard, NOW + 10)
        assert [each.trouble for each in found] == [Trouble.NVLINK_ERRORS]
        calm = device(nvlinks=self.links(4, errors=9))
        found, heard = look(calm, found, heard, NOW + 3609)
        assert [each.since_s for each in found] == [NOW + 10]
        assert look(calm, found, heard, NOW + 3610)[0] == ()

    def test_a_few_errors_now_and_then_are_harmless(self):
        _, heard = look(NODE, heard=None)
        assert look(device(nvlinks=self.links(4, errors=2)), (), heard, NOW + 10)[0] == ()


class TestMissing:
    def test_a_gpu_that_was_seen_and_is_gone_is_named(self):
        gone = replace(NODE, devices=())
        found = one(gone)
        assert (found.trouble, found.device, found.severity) == (Trouble.GPU_MISSING, "GPU-0", Severity.CRITICAL)
        assert found.what == ("GPU 0 at 0000:3b:00.0 is gone: the driver no longer tells of it, and still on the bus")
        off = replace(gone, host=replace(HOST, gpus_on_bus=0))
        assert "off the bus too" in one(off).what

    def test_fewer_than_configured(self):
        spec = replace(NODE.spec, gpus=8)
        found = one(replace(NODE, spec=spec))
        assert (found.trouble, found.device) == (Trouble.GPU_MISSING, None)
        assert found.what == "8 GPUs should be there (as configured), the driver tells of 1"

    def test_fewer_than_on_the_bus(self):
        assert "2 GPUs should be there (on its bus)" in one(replace(NODE, host=replace(HOST, gpus_on_bus=2))).what

    def test_the_configured_number_has_the_last_word(self):
        spec = replace(NODE.spec, gpus=1)
        assert conditions(replace(NODE, spec=spec, host=replace(HOST, gpus_on_bus=8))) == ()
        other = replace(WELL, uuid="GPU-1", board=Board("0000:5e:00.0"))
        found, heard = look(replace(NODE, spec=spec, devices=(other,)))
        assert found == ()
        assert [seen.uuid for seen in heard.devices] == ["GPU-1"]

    def test_a_board_in_the_same_slot_takes_the_place_of_the_old_one(self):
        found, heard = look(device(uuid="GPU-new"))
        assert found == ()
        assert [seen.uuid for seen in heard.devices] == ["GPU-new"]

    def test_nothing_is_missing_where_the_driver_is(self):
        lost = one(replace(NODE, devices=()))
        broken = replace(NODE, devices=(), nvml_reason="versions differ", nvml_state="mismatch")
        assert {each.trouble for each in conditions(broken)} == {Trouble.DRIVER}
        assert {each.trouble for each in conditions(broken, [lost])} == {Trouble.DRIVER, Trouble.GPU_MISSING}

    def test_it_is_over_when_the_gpu_is_back_at_another_index(self):
        gone = one(replace(NODE, devices=()))
        assert conditions(device(index=5), [gone]) == ()


class TestDriver:
    ABSENT = replace(NODE, devices=(), nvml_reason="libnvidia-ml.so.1 is not installed", nvml_state="absent")

    def test_a_node_without_gpus_needs_no_driver(self):
        bare = replace(self.ABSENT, host=replace(HOST, gpus_on_bus=0))
        assert conditions(bare, heard=None) == ()
        assert conditions(replace(bare, host=HostReading(swap_in_bytes_per_s=0)), heard=None) == ()

    @pytest.mark.parametrize(
        ("node", "heard"),
        [
            (ABSENT, None),
            (replace(ABSENT, host=HostReading(swap_in_bytes_per_s=0)), HEARD),
            (replace(ABSENT, host=HostReading(swap_in_bytes_per_s=0), spec=replace(NODE.spec, gpus=8)), None),
        ],
    )
    def test_one_that_should_have_gpus_does(self, node, heard):
        found = one(node, heard=heard)
        assert (found.trouble, found.severity) == (Trouble.DRIVER, Severity.CRITICAL)

    def test_a_mismatch_names_both_versions(self):
        reason = "the kernel driver is 570.1 and the library 580.2: reboot, or reload the driver"
        found = one(replace(NODE, devices=(), nvml_reason=reason, nvml_state="mismatch"))
        assert found.what == reason

    def test_nvml_that_does_not_come_back_blocks_the_sampler(self):
        reason = "the driver does not answer since 30 s"
        found = one(replace(NODE, devices=(), nvml_reason=reason, nvml_state="hung"))
        assert (found.trouble, found.severity) == (Trouble.SAMPLER_BLOCKED, Severity.CRITICAL)


@pytest.mark.parametrize(
    ("ahead_s", "told"), [(40, "more than 30 s ahead of"), (-600, "minutes behind"), (7e3, "hours")]
)
def test_a_clock_that_is_off(ahead_s, told):
    found = one(replace(NODE, clock_offset_s=ahead_s))
    assert (found.trouble, found.severity) == (Trouble.CLOCK, Severity.WARNING)
    assert told in found.what


def test_a_port_that_was_up_is_missed_and_one_that_never_was_is_not():
    ports = (NetworkPort("mlx5_0/1", "infiniband", up=True), NetworkPort("mlx5_1/1", "infiniband", up=False))
    found, heard = look(replace(NODE, host=replace(HOST, ports=ports)))
    assert found == ()
    down = tuple(replace(port, up=False) for port in ports)
    found, heard = look(replace(NODE, host=replace(HOST, ports=down)), found, heard)
    assert [(each.trouble, each.what) for each in found] == [(Trouble.LINK_DOWN, "mlx5_0/1 is down, and was up")]
    unplugged = look(replace(NODE, host=replace(HOST, ports=down[1:])), found, heard)[0]
    assert [each.what for each in unplugged] == ["mlx5_0/1 is gone, and was up"]
    assert look(NODE, found, heard)[0] == found, "an adapter that hangs says nothing"
    assert look(replace(NODE, host=replace(HOST, ports=ports)), found, heard)[0] == ()


@pytest.mark.parametrize("state", [state for state in NodeState if state is not NodeState.OK])
def test_a_node_that_is_not_reached_says_so_and_keeps_what_was_told(state):
    ecc = one(device(ecc=Ecc(volatile_uncorrected=1, remap_pending=False, remap_failed=False)))
    ghost = one(device(gpu_utilization_ratio=0.9))
    unreached = Node(NODE.spec, state, NOW, reason="no answer in 9.8 s")
    found = {each.trouble: each for each in conditions(unreached, [ecc, ghost], now_s=NOW + 100)}
    assert set(found) == {Trouble.NODE_STATE, Trouble.ECC_ERRORS}
    assert found[Trouble.ECC_ERRORS] == ecc
    assert found[Trouble.NODE_STATE].what == f"{state.value}: no answer in 9.8 s"
    again = replace(unreached, reason="no answer in 10.1 s")
    assert conditions(again, found.values(), now_s=NOW + 110) == tuple(
        sorted(found.values(), key=lambda each: each.key)
    )


def test_a_sick_device_neither_clears_nor_confirms_what_its_readings_said():
    ecc = one(device(ecc=Ecc(volatile_uncorrected=1, remap_pending=False, remap_failed=False)))
    hung = device(state=DeviceState.HUNG)
    assert {each.trouble for each in conditions(hung, [ecc])} == {Trouble.ECC_ERRORS, Trouble.DEVICE_STATE}


def test_the_worst_comes_first():
    found = conditions(device(pcie=Pcie(4, 8, 5, 16), ecc=Ecc(None, None, 0, 1, remap_pending=True)))
    assert [each.severity for each in worst_first(found, {})] == [Severity.ERROR, Severity.WARNING, Severity.WARNING]


# ---- invariants

RATIOS = st.one_of(st.none(), st.sampled_from([0.0, 0.005, 0.05, 0.5, 1.0]))
DEVICES = st.builds(
    lambda number, **fields: replace(
        WELL, uuid=f"GPU-{number}", index=number, board=Board(f"0000:{number:02x}:00.0"), **fields
    ),
    st.integers(0, 3),
    state=st.sampled_from([DeviceState.OK, DeviceState.OK, DeviceState.HUNG, DeviceState.LOST]),
    gpu_utilization_ratio=RATIOS,
    throttles=st.one_of(st.none(), st.just(()), st.just((Throttle.HW_THERMAL,))),
    ecc=st.builds(
        Ecc,
        volatile_uncorrected=st.sampled_from([None, 0, 2]),
        remap_pending=st.sampled_from([None, False, True]),
        remap_failed=st.sampled_from([None, False, True]),
    ),
    pcie=st.builds(Pcie, st.sampled_from([None, 1, 5]), st.sampled_from([None, 8, 16]), st.just(5), st.just(16)),
)
NODES = st.builds(
    lambda name, state, devices, on_bus, swap, ahead_s: replace(
        NODE if state is NodeState.OK else Node(NODE.spec, state, NOW, reason="no answer"),
        spec=NodeSpec(name, "p", "ssh"),
        devices=tuple({each.uuid: each for each in devices}.values()) if state is NodeState.OK else (),
        host=HostReading(gpus_on_bus=on_bus, swap_in_bytes_per_s=swap),
        clock_offset_s=ahead_s,
    ),
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from([NodeState.OK, NodeState.OK, NodeState.UNREACHABLE, NodeState.STALE]),
    st.lists(DEVICES, max_size=2),
    st.sampled_from([None, 0, 4]),
    st.sampled_from([None, 0.0, 9e6]),
    st.sampled_from([None, 0.0, 100.0]),
)
FLEETS = st.lists(NODES, max_size=2, unique_by=lambda node: node.name)
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
LOOKS = st.lists(FLEETS, min_size=1, max_size=3)


def live(looks):
    """Look again and again; yields what was kept before and after each, and the nodes."""
    kept, heard, now_s = {}, {}, NOW
    for nodes in looks:
        now_s += 45
        before = [each for node in nodes for each in kept.get(node.name, ())]
        looked = compare(nodes, before, heard, {}, now_s=now_s, rules=RULES)
        yield nodes, before, looked, now_s
        heard |= {each.node: each for each in looked.heard}
        for node in nodes:
            kept[node.name] = [each for each in looked.conditions if each.node == node.name]


@PATIENT
@given(LOOKS, st.randoms())
def test_the_order_of_nodes_and_devices_does_not_matter(looks, random):
    kept, heard = [], {}
    for nodes in looks:
        looked = compare(nodes, kept, heard, {}, now_s=NOW, rules=RULES)
        shuffled = [replace(node, devices=tuple(random.sample(node.devices, len(node.devices)))) for node in nodes]
        other = random.sample(kept, len(kept))
        again = compare(random.sample(shuffled, len(shuffled)), other, heard, {}, now_s=NOW, rules=RULES)
        assert again.conditions == looked.conditions
        assert again.heard == looked.heard
        assert sorted(event.key for event in again.events) == sorted(event.key for event in looked.events)
        kept, heard = list(looked.conditions), {each.node: each for each in looked.heard}


@PATIENT
@given(LOOKS)
def test_a_node_that_is_not_reached_never_clears_or_confirms_anything(looks):
    for nodes, before, looked, _ in live(looks):
        unreached = {node.name for node in nodes if node.state is not NodeState.OK}
        told = {
            each
            for each in before
            if each.confirmed and each.node in unreached and each.trouble is not Trouble.NODE_STATE
        }
        now = {each for each in looked.conditions if each.node in unreached and each.trouble is not Trouble.NODE_STATE}
        assert now == told
        assert not any(event.over and event.node in unreached for event in looked.events)


@PATIENT
@given(LOOKS)
def test_the_same_look_twice_changes_nothing(looks):
    for nodes, _before, looked, now_s in live(looks):
        heard = {each.node: each for each in looked.heard}
        again = compare(nodes, looked.conditions, heard, {}, now_s=now_s, rules=RULES)
        assert (again.conditions, again.heard, again.events) == (looked.conditions, looked.heard, ())


@PATIENT
@given(LOOKS)
def test_each_condition_that_is_told_begins_and_ends_with_an_event(looks):
    for _nodes, before, looked, _ in live(looks):
        told = {each.key for each in looked.conditions if each.confirmed}
        known = {each.key for each in before if each.confirmed}
        begun = {(event.node, event.device or "", event.trouble.value) for event in looked.events if not event.over}
        over = {(event.node, event.device or "", event.trouble.value) for event in looked.events if event.over}
        assert over == known - told
        assert told - known <= begun


def test_conditions_of_other_nodes_are_left_out():
    stranger = Condition(Trouble.SWAPPING, Severity.WARNING, "other", None, "x", None, NOW)
    assert judge([NODE], [stranger], {"gpu01": HEARD}, NOW, RULES) == ()
