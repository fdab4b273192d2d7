"""SIGKILL while a real node program changes a device: gone on with it ends as undisturbed, taken back as it began."""

import pytest
from fakes.command import Command
from fakes.nvml_stub import fake_gpu, instances, with_plan, without_plans, write_state
from msgspec import Struct
from msgspec.structs import replace

from gpualloc.sim.catalog import find
from gpualloc.sim.gpu import GpuModel

pytestmark = pytest.mark.root

DEVICE = "GPU-00000000-0000-0000-0000-000000000000"
POINTS = ("mid-effect", "before-done")
"""Those at which the device may have changed; the others are tried on simulated nodes."""
GONE_ON = (("rebalance",), ("apply", "--resume", "latest"))


def laid_out(layout):
    return ("mig", "apply", "--device", DEVICE, "--layout", layout, "--yes")


class Row(Struct, frozen=True):
    """A command whose run has a step of the kind, and what comes before it."""

    args: tuple[str, ...]
    before: tuple[str, ...] = ()


_MADE = Row(laid_out("3g.20gb@0,2g.10gb@4"))
ROWS = {
    "mig-mode": _MADE,
    "mig-create": _MADE,
    "mig-destroy": Row(laid_out("3g.20gb@0,2g.10gb@4"), before=laid_out("2g.10gb@0,2g.10gb@4")),
    "set": Row(("set", DEVICE, "--power", "250W", "--persistence", "on", "--compute-mode", "prohibited", "--yes")),
}


def make_world(root, row):
    """A machine with one GPU that needs a reset for a change of its MIG mode, as the row begins."""
    root.mkdir(exist_ok=True)
    world = Command(root)
    gpu = fake_gpu(GpuModel(find("A100-40GB"), DEVICE, 0, seed=5), 0.0)
    # Slow readings keep the node program at work after its controller died.
    write_state(world.nvml_state, [replace(gpu, call_delay_ms=2.0)])
    if row.before:
        world.run(*row.before)
    return world


def live(world):
    """The device as its driver has it."""
    told = ("mig ", "power_mw ", "locked ", "compute_mode ", "persistence ")
    lines = [line for line in world.nvml_state.read_text().splitlines() if line.startswith(told)]
    return lines, instances(world.nvml_state)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Gives how the device is before the row's command, and after one that nobody disturbed."""
    known = {}

    def ask(row):
        if row not in known:
            world = make_world(tmp_path_factory.mktemp("undisturbed"), row)
            before = live(world)
            world.run(*row.args)
            known[row] = (before, live(world))
        return known[row]

    return ask


@pytest.fixture
def killed(server, tmp_path):
    """A function that gives a world in which the row's command was killed at the point."""

    def kill(kind, point):
        world = make_world(tmp_path / "world", ROWS[kind])
        assert server.run(point, kind, list(ROWS[kind].args), world.env) == -9
        return world

    return kill


def assert_settled(world):
    assert world.json("drift")["drift"] == []


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("kind", ROWS)
def test_a_killed_change_of_a_device_ends_as_an_undisturbed_one(killed, undisturbed, kind, point):
    before, wanted = undisturbed(ROWS[kind])
    assert before != wanted
    world = killed(kind, point)
    world.run(*GONE_ON[POINTS.index(point) % 2])
    assert live(world) == wanted
    assert_settled(world)


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("kind", ROWS)
def test_a_killed_change_of_a_device_is_taken_back(killed, undisturbed, kind, point):
    before, wanted = undisturbed(ROWS[kind])
    world = killed(kind, point)
    world.run("apply", "--rollback", "latest")
    assert live(world) == before
    assert_settled(world)
    world.run(*ROWS[kind].args)
    assert live(world) == wanted


@pytest.mark.parametrize("how", ["gone on with", "taken back"])
@pytest.mark.parametrize(
    ("kind", "function"),
    [
        ("mig-mode", "nvmlDeviceSetMigMode"),
        ("mig-create", "nvmlGpuInstanceCreateComputeInstance"),
        ("mig-destroy", "nvmlGpuInstanceDestroy"),
        ("set", "nvmlDeviceSetPersistenceMode"),
    ],
)
def test_a_node_program_killed_in_the_middle_of_a_change_is_made_good(tmp_path, undisturbed, kind, function, how):
    before, wanted = undisturbed(ROWS[kind])
    world = make_world(tmp_path / "world", ROWS[kind])
    with_plan(world.nvml_state, function, 1, "kill")
    world.run(*ROWS[kind].args, check=6)
    without_plans(world.nvml_state)
    assert live(world) != wanted
    assert [row["field"] for row in world.json("drift")["drift"] if row["class"] == "doubtful"] == ["run"]
    if how == "gone on with":
        world.run("rebalance")
        assert live(world) == wanted
    else:
        world.run("apply", "--rollback", "latest")
        assert live(world) == before
    assert_settled(world)
