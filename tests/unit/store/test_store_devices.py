"""Cordons and what devices are meant to be: stored whole, one for each place, gone when removed."""

from contextlib import closing

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.model.desired import ComputeMode, Cordon, DesiredDevice, DeviceSettings
from gpualloc.store.state import SqliteJournal

NODE = Cordon("gpu01", None, "new disks", "ann", 1000.0)
DEVICE = Cordon("gpu01", "GPU-1", "fan noise", "bob", 1001.0, drain=True)
WANTED = DesiredDevice(
    "gpu01",
    "GPU-1",
    "3g.40gb@0,2g.20gb@4",
    DeviceSettings(power_limit_w=250.0, compute_mode=ComputeMode.DEFAULT),
    DeviceSettings(power_limit_w=400.0, persistence=True),
    1000.0,
)


def test_a_cordon_takes_the_place_of_the_one_before(journal, paths):
    with journal.write("cordon") as writer:
        writer.cordon([DEVICE, NODE])
        writer.cordon([replace(NODE, reason="new fans")])
    assert journal.cordons() == (replace(NODE, reason="new fans"), DEVICE)
    with closing(SqliteJournal(paths)) as other:
        assert other.cordons() == journal.cordons()


def test_the_cordon_of_a_node_and_of_its_device_go_each_by_itself(journal, make_entry):
    with journal.write("cordon") as writer:
        writer.cordon([DEVICE, NODE], [make_entry("cordon")])
        assert writer.uncordon("gpu01", None, [make_entry("uncordon")])
        assert not writer.uncordon("gpu01", None)
    assert journal.cordons() == (DEVICE,)
    assert [entry.kind for entry in journal.audit()] == ["cordon", "uncordon"]


def test_what_a_device_is_meant_to_be_comes_back_and_is_forgotten(journal):
    with journal.write("set") as writer:
        writer.save_desired([WANTED, replace(WANTED, device="GPU-2", layout=None)])
        writer.save_desired([replace(WANTED, layout="off")])
    assert journal.desired() == (replace(WANTED, layout="off"), replace(WANTED, device="GPU-2", layout=None))
    with journal.write("set") as writer:
        writer.forget_desired("gpu01", "GPU-1")
        writer.forget_desired("gpu01", "GPU-9")
    assert [each.device for each in journal.desired()] == ["GPU-2"]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.builds(
            Cordon,
            st.sampled_from(["a", "b"]),
            st.sampled_from([None, "GPU-1", "GPU-2"]),
            st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
            st.just("ann"),
            st.floats(0, 1e10),
            st.booleans(),
        )
    )
)
def test_the_last_cordon_of_each_place_is_the_one_that_holds(journal, made):
    with journal.write("cordon") as writer:
        for each in journal.cordons():
            assert writer.uncordon(each.node, each.device)
        for each in made:
            writer.cordon([each])
    expected = {(each.node, each.device): each for each in made}
    assert {(each.node, each.device): each for each in journal.cordons()} == expected
