"""Alerts from look to look: when they fire, when they are resolved, and what leaves them as they are."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.engine.alerts import GAP_S, Seen, step
from gpualloc.engine.alerts_readings import OF_DEVICES
from gpualloc.engine.sample import samples_of
from gpualloc.model.alert import EVENT_HOLD_S, AlertRule, AlertState, MetricTest, Silence, TroubleTest
from gpualloc.model.health import Condition, Event, Severity, Trouble
from gpualloc.model.inventory import Device, HostReading, Node, NodeSpec, NodeState
from gpualloc.model.readings import Activity, Ecc, Pcie, Throttle
from gpualloc.model.sample import METRICS, SeriesKind
from gpualloc.ports import Standing

T0 = 1_800_000_000.0
TICK = 10.0
HOT = AlertRule(
    "hot", MetricTest("temperature_c", 85, below=False, clear=80), Severity.ERROR, for_s=120, clear_for_s=60
)
IDLE = AlertRule("idle", MetricTest("gpu_utilization_ratio", 0.05, below=True, clear=0.1), for_s=30)
DOWN = AlertRule("down", TroubleTest(Trouble.NODE_STATE), Severity.CRITICAL, for_s=60)
XID79 = AlertRule("fallen", TroubleTest(Trouble.XID, code=79), Severity.CRITICAL)


def device(uuid="GPU-1", **readings):
    return Device(uuid, 0, "NVIDIA H100 80GB HBM3", 81559, **readings)


def node(name="n1", *devices, state=NodeState.OK, pool="train"):
    return Node(NodeSpec(name, pool, "ssh"), state, T0, devices=devices)


def condition(trouble=Trouble.NODE_STATE, where="n1", uuid=None, severity=Severity.ERROR, since_s=T0):
    return Condition(trouble, severity, where, uuid, "unreachable: no route", None, since_s)


def event(at_s=T0, code=79, where="n1", uuid="GPU-1", **changes):
    known = {
        "at_s": at_s,
        "trouble": Trouble.XID,
        "severity": Severity.CRITICAL,
        "node": where,
        "device": uuid,
        "what": f"Xid {code}",
        "advice": None,
        "key": f"b:{at_s}:{code}",
        "code": code,
    }
    return Event(**{**known, **changes})


class Course:
    """Looks one after the other."""

    def __init__(self, *rules):
        self.rules = {rule.name: rule for rule in rules}
        self.standing = Standing()
        self.told = []
        self.now_s = T0 - TICK

    def look(self, *nodes, later_s=TICK, **seen):
        self.now_s += later_s
        specs = seen.pop("specs", {each.name: each.spec for each in nodes})
        changes = step(self.rules, self.standing, Seen(self.now_s, specs, nodes, **seen))
        self.standing = self.standing.after(self.now_s, changes)
        self.told += changes.transitions
        return changes

    def heat(self, *values):
        for value in values:
            self.look(node("n1", device(temperature_c=value)))
        return self

    @property
    def states(self):
        return [(key.rule, alert.state.value) for key, alert in sorted(self.standing.alerts.items())]

    @property
    def words(self):
        return ["reminder" if each.reminder else each.state.value for each in self.told]


def test_it_fires_when_every_reading_was_bad_for_the_time_and_not_before():
    course = Course(HOT).heat(*[86] * 12)
    assert course.states == [("hot", "pending")]
    assert not course.told
    course.heat(90)
    assert course.states == [("hot", "firing")]
    (told,) = course.told
    assert (told.node, told.device, told.severity, told.value) == ("n1", "GPU-1", Severity.ERROR, 90)
    assert told.since_s == T0
    assert told.what == "temperature_c is 90 °C, above 85"


def test_one_good_reading_begins_the_time_anew():
    course = Course(HOT).heat(*[86] * 12, 85, *[86] * 12)
    assert course.states == [("hot", "pending")]


def test_it_is_resolved_when_every_reading_was_well_for_the_time():
    course = Course(HOT).heat(*[90] * 13, *[80] * 6)
    assert course.words == ["firing"]
    course.heat(81, *[80] * 6)
    assert course.words == ["firing"]
    course.heat(79)
    assert course.words == ["firing", "resolved"]
    assert course.told[-1].what == "temperature_c is 79 °C"
    assert not course.standing.alerts


def test_at_once_where_no_time_is_asked_for():
    course = Course(replace(HOT, for_s=0.0, clear_for_s=None)).heat(86, 80)
    assert course.words == ["firing", "resolved"]


def test_too_low_is_the_other_way_round():
    course = Course(IDLE)
    for used in (0.04, 0.04, 0.04, 0.04, 0.07, 0.1):
        course.look(node("n1", device(gpu_utilization_ratio=used)))
    assert course.words == ["firing", "resolved"]


@given(st.lists(st.integers(81, 85), min_size=1, max_size=60))
def test_between_the_limits_nothing_changes(values):
    assert not Course(HOT).heat(*values).standing.alerts
    firing = Course(HOT).heat(*[90] * 13)
    before = firing.standing.alerts
    assert firing.heat(*values).standing.alerts == before
    assert firing.words == ["firing"]


@given(st.lists(st.sampled_from([None, 79, 83, 90]), max_size=80))
def test_it_fires_only_after_known_bad_readings_for_the_time(values):
    course = Course(HOT).heat(*values)
    for told in course.told:
        upto = values[: int((told.at_s - T0) / TICK) + 1]
        wanted, bad = (HOT.for_s, {90}) if told.state is AlertState.FIRING else (HOT.clear_for_s, {79})
        known = [value for value in upto if value is not None]
        stretch = 0
        for value in reversed(known):
            if value not in bad:
                break
            stretch += 1
        # So many known readings lie so far apart at least; what was unknown between them does not count.
        assert (stretch - 1) * TICK >= wanted - TICK * upto.count(None)
        assert stretch >= 2


@given(st.integers(0, 12), st.integers(1, 200))
def test_what_is_unknown_neither_fires_nor_clears_nor_counts(before, unknown):
    course = Course(HOT).heat(*[86] * (before + 1), *[None] * unknown)
    held = before * TICK
    assert course.states == [("hot", "firing" if held >= 120 else "pending")]
    (alert,) = course.standing.alerts.values()
    assert alert.unknown_since_s == T0 + (before + 1) * TICK
    missing = max(0, int((120 - held) / TICK))
    # One tick lies between the last known reading and the first unknown one, and counts.
    course.heat(*[86] * max(0, missing - 1))
    if missing > 1:
        assert course.states == [("hot", "pending")]
    course.heat(86)
    assert course.states == [("hot", "firing")]


def test_a_node_that_is_not_reached_leaves_alerts_as_they_are_but_those_about_its_state():
    course = Course(HOT, DOWN).heat(*[90] * 13)
    gone = node("n1", state=NodeState.UNREACHABLE)
    for _ in range(6):
        course.look(gone, conditions=[condition(since_s=T0 + 130)])
    assert course.states == [("down", "pending"), ("hot", "firing")]
    course.look(gone, conditions=[condition(since_s=T0 + 130)])
    assert course.states == [("down", "firing"), ("hot", "firing")]
    course.look(node("n1", device(temperature_c=90)))
    assert course.states == [("hot", "firing")]
    assert course.words == ["firing", "firing", "resolved"]


def test_the_condition_of_a_device_is_not_over_because_its_node_is_not_reached():
    lost = AlertRule("missing", TroubleTest(Trouble.GPU_MISSING))
    course = Course(lost)
    course.look(node("n1"), conditions=[condition(Trouble.GPU_MISSING, uuid="GPU-9")])
    course.look(node("n1", state=NodeState.UNREACHABLE))
    course.look(node("n2"), specs={"n1": NodeSpec("n1", "train", "ssh"), "n2": NodeSpec("n2", "train", "ssh")})
    assert course.states == [("missing", "firing")]
    course.look(node("n1"))
    assert course.words == ["firing", "resolved"]
    assert course.told[-1].what == "it is over: unreachable: no route"


def test_least_severity_and_code_choose_what_counts():
    bad = replace(XID79, test=TroubleTest(Trouble.XID, least=Severity.ERROR))
    course = Course(XID79, replace(bad, name="bad"))
    course.look(node("n1"), events=[event(code=31, severity=Severity.WARNING)])
    assert not course.standing.alerts
    course.look(node("n1"), events=[event(code=31, severity=Severity.ERROR)])
    assert course.states == [("bad", "firing")]
    course.look(node("n1"), events=[event(course.now_s)])
    assert course.states == [("bad", "firing"), ("fallen", "firing")]


def test_an_event_fires_for_a_while_and_longer_when_it_comes_again():
    course = Course(XID79)
    course.look(node("n1"), events=[event(T0 - 5)])
    assert course.told[0].what == "Xid 79"
    assert course.told[0].since_s == T0 - 5
    course.look(node("n1"), later_s=600, events=[event(T0 + 590)])
    course.look(node("n1"), later_s=EVENT_HOLD_S - 20)
    assert course.words == ["firing"]
    course.look(node("n1"), later_s=20)
    assert course.words == ["firing", "resolved"]


def test_an_event_that_is_long_past_is_history():
    course = Course(XID79)
    course.look(node("n1"), events=[event(T0 - EVENT_HOLD_S)])
    assert not course.told


def test_an_event_that_says_it_is_over_ends_it():
    rule = AlertRule("links", TroubleTest(Trouble.NVLINK_ERRORS))
    course = Course(rule)
    course.look(node("n1"), events=[event(trouble=Trouble.NVLINK_ERRORS, code=None)])
    course.look(node("n1"), events=[event(T0 + 9, trouble=Trouble.NVLINK_ERRORS, code=None, over=True)])
    assert course.words == ["firing", "resolved"]


def test_what_holds_goes_before_what_was_heard():
    rule = AlertRule("missing", TroubleTest(Trouble.GPU_MISSING))
    course = Course(rule)
    held = condition(Trouble.GPU_MISSING, uuid="GPU-1")
    course.look(node("n1"), events=[event(trouble=Trouble.GPU_MISSING, code=None)], conditions=[held])
    course.look(node("n1"))
    assert course.words == ["firing", "resolved"]


def test_rules_look_where_they_are_told_to():
    h100 = replace(HOT, for_s=0.0)
    rules = [
        replace(h100, name="here", pools=("train",), nodes=frozenset({"n1"}), model="*h100*"),
        replace(h100, name="pool", pools=("desk",)),
        replace(h100, name="node", nodes=frozenset({"n2"})),
        replace(h100, name="model", model="*A100*"),
    ]
    course = Course(*rules)
    course.look(node("n1", device(temperature_c=90)))
    assert course.states == [("here", "firing")]
    course.look(node("n1", device(temperature_c=90), pool="desk"))
    assert course.states == [("pool", "firing")]
    assert "no longer watched, since its rule does not cover it" in course.told[1].what


def test_alerts_of_rules_and_nodes_that_are_gone_are_resolved():
    course = Course(HOT, IDLE)
    for _ in range(13):
        course.look(node("n1", device(temperature_c=90, gpu_utilization_ratio=0.0)))
    assert course.states == [("hot", "firing"), ("idle", "firing")]
    del course.rules["hot"]
    course.look(node("n1", device(temperature_c=90, gpu_utilization_ratio=0.0)))
    assert course.states == [("idle", "firing")]
    course.look(node("n2"))
    assert [(each.rule, each.what.partition(":")[0]) for each in course.told[2:]] == [
        ("hot", "no longer watched, since its rule is gone"),
        ("idle", "no longer watched, since its node is not configured"),
    ]


def test_silence_keeps_it_back_and_its_end_tells_it():
    course = Course(replace(HOT, for_s=0.0, clear_for_s=None))
    quiet = Silence(1, "hot", "n1", T0 + 25, "new fans", "ann", T0)
    hot = node("n1", device(temperature_c=90))
    for _ in range(3):
        course.look(hot, silences=[quiet])
    assert [(each.silenced, each.reminder) for each in course.told] == [(True, False)]
    course.look(hot, silences=[quiet])
    assert [(each.silenced, each.reminder) for each in course.told[1:]] == [(False, True)]
    course.look(node("n1", device(temperature_c=70)), silences=[replace(quiet, until_s=T0 + 999)])
    assert not course.told[-1].silenced


def test_what_was_never_told_is_not_told_to_be_over():
    course = Course(replace(HOT, for_s=0.0, clear_for_s=None))
    quiet = Silence(1, None, "n1", T0 + 999, "", "ann", T0)
    course.look(node("n1", device(temperature_c=90)), silences=[quiet])
    course.look(node("n1", device(temperature_c=70)), silences=[])
    assert [(each.state, each.silenced) for each in course.told] == [
        (AlertState.FIRING, True),
        (AlertState.RESOLVED, True),
    ]


def test_it_is_told_again_while_it_goes_on():
    course = Course(replace(HOT, for_s=0.0, repeat_s=60)).heat(*[90] * 14)
    assert [each.at_s - T0 for each in course.told] == [0, 60, 120]
    assert course.words == ["firing", "reminder", "reminder"]
    assert len({each.id for each in course.told}) == 3


def test_a_clock_that_is_set_back_changes_nothing():
    straight, back = Course(HOT).heat(*[86] * 7), Course(HOT).heat(*[86] * 7)
    back.look(node("n1", device(temperature_c=86)), later_s=-3600)
    straight.look(node("n1", device(temperature_c=86)), later_s=0)
    assert straight.heat(*[86] * 6).states == back.heat(*[86] * 6).states == [("hot", "firing")]


def test_a_long_time_without_looks_says_nothing():
    course = Course(HOT).heat(*[86] * 7)
    course.look(node("n1", device(temperature_c=86)), later_s=GAP_S + 1)
    assert course.states == [("hot", "pending")]
    assert course.heat(*[86] * 6).states == [("hot", "firing")]


TEMPERATURES = st.lists(st.lists(st.sampled_from([None, 75, 83, 90]), min_size=3, max_size=3), max_size=40)


@settings(max_examples=50)
@given(TEMPERATURES, st.integers(0, 2**32))
def test_the_order_of_what_is_seen_does_not_matter(looks, seed):
    shuffled = random.Random(seed)
    rules = [HOT, replace(HOT, name="warm", for_s=20.0, clear_for_s=None), DOWN]
    straight, mixed = Course(*rules), Course(*rules)
    for values in looks:
        nodes = [node(f"n{at}", device(f"GPU-{at}", temperature_c=value)) for at, value in enumerate(values)]
        held = [condition(where=f"n{at}") for at, value in enumerate(values) if value is None]
        straight.look(*nodes, conditions=held)
        shuffled.shuffle(nodes)
        shuffled.shuffle(held)
        mixed.rules = dict(shuffled.sample(sorted(mixed.rules.items()), len(mixed.rules)))
        mixed.look(*nodes, conditions=held)
    assert mixed.told == straight.told
    assert mixed.standing == straight.standing


@pytest.mark.parametrize("kind", [SeriesKind.DEVICE, SeriesKind.NODE])
def test_rules_read_what_samples_keep(kind):
    full = device(
        memory_used_mib=1,
        gpu_utilization_ratio=0.2,
        memory_utilization_ratio=0.3,
        power_w=4.0,
        temperature_c=5,
        sm_clock_mhz=6,
        memory_temperature_c=7,
        memory_clock_mhz=8,
        energy_j=9.0,
        throttles=(Throttle.POWER_CAP,),
        activity=Activity(0.1, 0.2, 0.3, 0.4),
        ecc=Ecc(volatile_uncorrected=11),
        pcie=Pcie(rx_bytes_per_s=12.0, tx_bytes_per_s=13.0),
        nvlink_rx_bytes_per_s=14.0,
        nvlink_tx_bytes_per_s=15.0,
    )
    numbers = {name: 100.0 + at for at, name in enumerate(METRICS) if METRICS[name].kinds == {SeriesKind.NODE}}
    seen = replace(node("n1", full), host=HostReading(**numbers))
    kept = next(each for each in samples_of([seen], 0) if each.series.kind is kind)
    metrics = [metric.name for metric in METRICS.values() if kind in metric.kinds]
    assert (set(metrics) == set(OF_DEVICES)) is (kind is SeriesKind.DEVICE)
    for name in metrics:
        (rule,) = [AlertRule("any", MetricTest(name, -1, below=False, clear=-1))]
        changes = step({"any": rule}, Standing(), Seen(T0, {"n1": seen.spec}, [seen]))
        assert [each.value for each in changes.transitions] == [kept.values[name]], name
        assert kept.values[name] is not None
