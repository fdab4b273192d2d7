"""`gpualloc config`."""

from __future__ import annotations

import json

import pytest

from gpualloc.config.load import load


@pytest.fixture
def file(world, tmp_path):
    """A configuration file, and wiring that loads what the options name."""
    world.load_config = lambda options: load(
        options.config, {"HOME": str(tmp_path), "GPUALLOC_APPLY__GRACE": "7s"}, {}, tmp_path / "cache", host="head"
    )
    written = tmp_path / "my.toml"
    written.write_text('policy = "spread"\n[pools.p]\nnodes = "n[1-2]"\nlabels = { a = "é" }\n')
    return written


def test_show_tells_every_key_with_its_origin(run, file):
    ran = run("config", "show", "--origin", "--config", str(file))
    assert ran.code == 0
    lines = [line.split() for line in ran.out.splitlines()]
    assert lines[0] == ["KEY", "VALUE", "FROM"]
    assert ["policy", "spread", f"{file},", "line", "1"] in lines
    assert ["apply.grace", "7", "s", "environment", "variable", "GPUALLOC_APPLY__GRACE"] in lines
    assert ["apply.step_timeout", "60", "s", "default"] in lines
    assert ["pools.p.manage", "-", "default"] in lines


def test_show_without_origin_is_two_columns(run, file):
    ran = run("config", "show", "--config", str(file))
    assert ran.out.splitlines()[0].split() == ["KEY", "VALUE"]
    assert str(file) not in ran.out


def test_show_as_json(run, file):
    ran = run("config", "show", "--json", "--config", str(file))
    answer = json.loads(ran.out)
    assert answer["schema"] == "gpualloc.config/1"
    entries = {entry["key"]: entry for entry in answer["data"]["entries"]}
    assert entries["pools.p.nodes"] == {
        "key": "pools.p.nodes",
        "value": ["n1", "n2"],
        "unit": None,
        "source": "file",
        "where": str(file),
        "line": 3,
    }
    assert entries["history.retention"]["source"] == "default"


def test_path_and_check(run, file):
    assert run("config", "path", "--config", str(file)).out == f"{file}\n"
    assert run("config", "check", "--config", str(file)).out == f"{file}: right; nodes: 2, pools: 1\n"
    without = run("config", "path")
    assert (without.code, without.out) == (0, "")
    assert "this machine is the whole fleet" in without.err


def test_a_wrong_file_is_told_about_with_exit_code_2(run, file):
    file.write_text("polcy = 1\n[pools]\n")
    ran = run("config", "check", "--config", str(file))
    assert (ran.code, ran.out) == (2, "")
    assert f"{file}, line 1: polcy: no such key" in ran.err
    assert "did you mean policy?" in ran.err
    answer = json.loads(run("config", "check", "--json", "--config", str(file)).out)
    assert answer["errors"][0]["code"] == "config"
