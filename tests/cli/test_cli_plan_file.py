"""Plan files: whole or refused."""

import os

import pytest
from fakes import sample_world

from gpualloc.cli.plan_file import read_plan, write_plan
from gpualloc.errors import BrokenInputError, GpuallocError


@pytest.fixture
def file(tmp_path):
    """A plan file as `plan -o` leaves it."""
    from msgspec.structs import replace

    from gpualloc.planning.base import base_digest

    plan = replace(sample_world.PLAN, base_digest=base_digest(sample_world.PLAN.base))
    path = tmp_path / "change.plan"
    write_plan(plan, path)
    return path, plan


def test_a_plan_comes_back_as_it_was(file):
    path, plan = file
    assert read_plan(path) == plan
    assert os.listdir(path.parent) == [path.name]


def test_an_edited_plan_is_refused(file):
    path, _ = file
    path.write_text(path.read_text().replace("gpu01", "gpu02"))
    with pytest.raises(BrokenInputError, match=r"change\.plan: the plan was edited"):
        read_plan(path)


@pytest.mark.parametrize("size", [0, 1, 100, -2])
def test_a_truncated_plan_is_refused(file, size):
    path, _ = file
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(BrokenInputError, match=r"change\.plan"):
        read_plan(path)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[]", b"{}", b"null", b"[" * 100_000])
def test_what_is_no_plan_is_refused(tmp_path, content):
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(BrokenInputError):
        read_plan(path)


def test_a_missing_plan_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(BrokenInputError, match="cannot be read"):
            read_plan(path)


def test_a_plan_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(GpuallocError, match="cannot be written"):
        write_plan(sample_world.PLAN, tmp_path / "none" / "x")
    (tmp_path / "taken").mkdir()
    with pytest.raises(GpuallocError, match="cannot be written"):
        write_plan(sample_world.PLAN, tmp_path / "taken")
    assert os.listdir(tmp_path) == ["taken"]
