"""The node program that is begun while a command is still being imported ends with the command, whatever happens."""

import psutil
import pytest

from gpualloc.errors import StateError
from gpualloc.wiring import Options, open_context


@pytest.fixture
def options(tmp_path, monkeypatch):
    """A state of our own on this machine, without any configuration."""
    for name in ("GPUALLOC_SIM", "GPUALLOC_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return Options(state_dir=tmp_path / "state")


def children() -> set[psutil.Process]:
    return set(psutil.Process().children())


def test_it_runs_as_soon_as_the_world_is_open_and_answers_the_first_look(options):
    before = children()
    with open_context(options, looks=True) as world:
        (begun,) = children() - before
        (node,) = world.fleet.observe()
        assert node.state.value == "ok"
        assert children() - before == {begun}
    begun.wait(60)


def test_it_ends_when_nobody_asked_it(options):
    before = children()
    with open_context(options, looks=True):
        (begun,) = children() - before
    begun.wait(60)


def test_it_ends_when_the_world_cannot_be_opened(options):
    options.state_dir.mkdir()
    (options.state_dir / "state.db").write_bytes(b"no database" * 100)
    before = children()
    with pytest.raises(StateError), open_context(options, looks=True):
        pytest.fail("a damaged state was opened")
    assert children() == before


def test_nothing_is_begun_for_a_command_that_does_not_look(options):
    before = children()
    with open_context(options):
        assert children() == before


def test_a_policy_is_looked_up_when_it_decides(options):
    with open_context(options) as world:
        assert world.policy.name == "pack"
        assert world.policy.version
