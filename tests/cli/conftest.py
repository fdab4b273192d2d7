"""The command line called in process, over a world in memory."""

import sys
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
from fakes.memory_context import memory_context
from msgspec import Struct

from gpualloc.adapters.workers import Workers
from gpualloc.cli.app import main
from gpualloc.store.keeping import StateFiles
from gpualloc.store.parquet import write_parquet
from gpualloc.store.paths import StatePaths
from gpualloc.store.profiles import SavedProfiles


class Ran(Struct, frozen=True):
    """How a command ended."""

    code: int
    out: str
    err: str


class Options(Struct, frozen=True):
    """As `wiring.Options`."""

    config: Path | None
    sim: str | None
    state_dir: Path | None
    overrides: Mapping[str, str]


@pytest.fixture
def world(tmp_path):
    """The context that commands get; a test may put another in `world.context`."""
    seen = ModuleType("gpualloc.wiring")
    seen.context = memory_context()
    seen.options = []

    @contextmanager
    def open_context(options, *, looks=False):
        seen.options.append(options)
        if isinstance(seen.context, Exception):
            raise seen.context
        yield seen.context

    seen.Options = Options
    seen.open_context = open_context
    seen.saved_profiles = lambda options: SavedProfiles(tmp_path / "profiles")
    seen.kept_files = lambda options: StateFiles(StatePaths(tmp_path / "state"), simulated=seen.context.simulated)
    seen.remembered_file = lambda options: tmp_path / "state" / "top.json"
    seen.may_not_write = lambda options: None
    seen.parquet_writer = lambda: write_parquet
    seen.workers = Workers
    return seen


@pytest.fixture
def run(world, monkeypatch, capsys):
    """Call the command line; returns a `Ran`."""
    monkeypatch.setitem(sys.modules, "gpualloc.wiring", world)
    for name in ("GPUALLOC_SIM", "GPUALLOC_STATE_DIR", "GPUALLOC_DEBUG"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments):
        code = main(list(arguments))
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return call
