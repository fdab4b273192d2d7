"""From what a workload was given to the device numbers it may use, over text files that stand for a driver's."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpualloc.node import device_rule

UUIDS = [f"GPU-{index:08d}-0000-0000-0000-000000000000" for index in range(3)]
INSTANCE = "MIG-11111111-2222-3333-4444-555555555555"


@pytest.fixture
def root(tmp_path):
    """A host with three GPUs; the driver names two of them, and has files for instances of the first."""
    proc = tmp_path / "proc"
    for index, (minor, uuid) in enumerate(
        [(4, UUIDS[0]), (0, UUIDS[1]), (2, "GPU-????????-????-????-????-????????????")]
    ):
        folder = proc / "driver" / "nvidia" / "gpus" / f"0000:0{index}:00.0"
        folder.mkdir(parents=True)
        text = f"Model: \t\t NVIDIA H100 80GB HBM3\nGPU UUID: \t {uuid}\nBus Location: \t 0000:0{index}:00.0\n"
        (folder / "information").write_text(f"{text}Device Minor: \t {minor}\n")
    (proc / "devices").write_text(
        "Character devices:\n  1 mem\n195 nvidia\n195 nvidiactl\n508 nvidia-caps\n509 nvidia-uvm\n\n"
        "Block devices:\n259 nvidia-caps\n"
    )
    (proc / "driver" / "nvidia-caps").mkdir()
    (proc / "driver" / "nvidia-caps" / "mig-minors").write_text(
        "config 1\nmonitor 2\ngpu4/gi1/access 30\ngpu4/gi1/ci0/access 31\ngpu4/gi1/ci1/access 32\ngpu4/gi2/access 39\n"
    )
    return tmp_path


def grant(uuid, instance=None):
    return {"device": uuid, "mig_instance": instance, "share": "mig" if instance else "exclusive"}


def rule(root, *grants, rows=()):
    found = device_rule.of_grants(list(grants), list(rows), str(root))
    return None if found is None else dict(found.majors)


def test_a_whole_gpu_is_let_through_and_no_capability(root):
    assert rule(root, grant(UUIDS[0])) == {195: (4, 254, 255), 508: ()}
    assert rule(root, grant(UUIDS[0]), grant(UUIDS[1])) == {195: (0, 4, 254, 255), 508: ()}


def test_work_without_gpus_reaches_none(root, tmp_path_factory):
    assert rule(root) == {195: (254, 255), 508: ()}
    assert rule(tmp_path_factory.mktemp("bare")) == {195: (254, 255)}


def test_an_instance_is_let_through_by_its_two_capabilities(root):
    row = {
        "uuid": UUIDS[0],
        "minor": 9,
        "mig_instances": [
            {"uuid": "MIG-other", "gpu_instance": None, "compute_instance": None},
            {"uuid": INSTANCE, "gpu_instance": 1, "compute_instance": 0},
        ],
    }
    assert rule(root, grant(UUIDS[0], INSTANCE), rows=[row]) == {195: (4, 254, 255), 508: (30, 31)}


def test_an_old_name_of_an_instance_says_where_it_is(root):
    assert rule(root, grant(UUIDS[0], f"MIG-{UUIDS[0]}/1/1")) == {195: (4, 254, 255), 508: (30, 32)}


def test_the_inventory_knows_what_the_driver_does_not_name(root):
    row = {"uuid": UUIDS[2], "minor": 2, "mig_instances": []}
    assert rule(root, grant(UUIDS[2]), rows=[row]) == {195: (2, 254, 255), 508: ()}


@pytest.mark.parametrize(
    ("given_to", "rows"),
    [
        (grant(UUIDS[2]), []),
        (grant(UUIDS[2]), [{"uuid": UUIDS[2], "minor": None, "mig_instances": []}]),
        (grant(UUIDS[0], INSTANCE), []),
        (dict(grant(UUIDS[0]), share="mig"), []),
        (grant(UUIDS[0], INSTANCE), [{"uuid": UUIDS[0], "minor": 4, "mig_instances": [{"uuid": INSTANCE}]}]),
        (grant(UUIDS[0], f"MIG-{UUIDS[0]}/7/0"), []),
        (grant(UUIDS[0], f"MIG-{UUIDS[0]}/2/0"), []),
    ],
)
def test_what_is_not_known_gives_no_rule(root, given_to, rows):
    assert rule(root, given_to, rows=rows) is None


def test_without_a_major_of_capabilities_an_instance_gives_no_rule(root):
    (root / "proc" / "devices").write_text("Character devices:\n195 nvidia\n")
    assert rule(root, grant(UUIDS[0], f"MIG-{UUIDS[0]}/1/0")) is None
    assert rule(root, grant(UUIDS[0])) == {195: (4, 254, 255)}


@settings(deadline=None)
@given(st.dictionaries(st.integers(0, 511), st.sets(st.integers(0, 1 << 20), max_size=5), max_size=4))
def test_a_rule_is_the_same_after_the_wire(majors):
    one = device_rule.made(majors)
    assert device_rule.from_json(json.loads(json.dumps(device_rule.to_json(one)))) == one
