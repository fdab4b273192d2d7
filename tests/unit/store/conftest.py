"""A state in a folder of its own, and things to put into it."""

import os
import sqlite3
import subprocess
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace
from sqlite_utils.migrations import Migrations

from gpualloc.model.allocation import Allocation, Grant, Share
from gpualloc.model.audit import AuditEntry
from gpualloc.model.plan import Plan, Step, StepKind, StepReason
from gpualloc.model.workload import Request, Workload, WorkloadState
from gpualloc.store import history_migrations
from gpualloc.store.database import Database, Schema
from gpualloc.store.history_upkeep import finish
from gpualloc.store.paths import StatePaths
from gpualloc.store.state import SqliteJournal


@pytest.fixture
def paths(tmp_path):
    return StatePaths(tmp_path / "state")


@pytest.fixture
def journal(paths):
    journal = SqliteJournal(paths)
    yield journal
    journal.close()


@pytest.fixture
def make_workload():
    def make(number=1, state=WorkloadState.PENDING, **changes):
        workload = Workload(
            id=f"w{number:08d}",
            name=f"name {number}",
            owner="ann",
            request=Request(command=("true",), env=(("TOKEN", "hunter2"),)),
            state=state,
            submitted_at_s=1000.0 + number,
        )
        return replace(workload, **changes)

    return make


@pytest.fixture
def make_plan():
    def make(plan_id="p00000001", created_at_s=1000.0, workload="w00000001"):
        allocation = Allocation(workload, "n1", (Grant("GPU-1", Share.EXCLUSIVE),), memory_mib=1024)
        steps = tuple(
            Step(seq, kind, "n1", workload, "GPU 0", StepReason.WAITING, "it fits", allocation, 1, 1)
            for seq, kind in enumerate((StepKind.CLAIM, StepKind.LIMIT, StepKind.START), start=1)
        )
        return Plan(
            plan_id, created_at_s, "first-fit", "1", 0, simulated=False, base={"n1": "x"}, base_digest="d", steps=steps
        )

    return make


@pytest.fixture
def make_entry():
    def make(kind="submit", workload=None, at_s=1000.0, **detail):
        return AuditEntry(at_s, kind, "ann", workload, None, detail)

    return make


@pytest.fixture
def earlier_history(paths):
    """Make the file that a release with that many migrations left behind; returns a connection to fill it."""

    def make(version):
        migrations = Migrations("gpualloc-history")
        for migration in history_migrations.migrations._migrations[:version]:
            migrations()(migration.fn)
        Database(paths.history_db, Schema(version, lambda: migrations, "NORMAL", "-")).close()
        return closing(sqlite3.connect(paths.history_db))

    return make


@pytest.fixture(scope="session")
def pack_all():
    """Pack and roll whatever there is in a history."""

    def pack(history):
        finish(history._database, 1e12)

    return pack


@pytest.fixture
def common_folder():
    """A folder that every account can reach, unlike pytest's own."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another account")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.fixture
def mounted(tmp_path):
    """Mount an own tmpfs with those options (`size=1m`); returns its folder."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    made = []

    def mount(options):
        folder = tmp_path / f"mount{len(made)}"
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "gpualloc-test", folder], check=True)
        made.append(folder)
        return folder

    yield mount
    for folder in made:
        subprocess.run(["umount", "--lazy", folder], check=True)
