"""The file that `init` writes is right as it is, and with every example taken into use."""

from __future__ import annotations

import re

import pytest

from gpualloc.config.keys import KEYS, matching
from gpualloc.config.load import load
from gpualloc.config.starter import Surroundings, starter_file

PLAIN = Surroundings("head", (), "libnvidia-ml.so.1 is not installed", (), ())
RICH = Surroundings(
    "head",
    ("NVIDIA A100", "NVIDIA A100", 'bad\n[pools]\x1b"'),
    None,
    ("gpu01", "gpu02", "head", "bastion"),
    ("Slurm",),
)


def loaded(text, tmp_path):
    file = tmp_path / "config.toml"
    file.write_text(text)
    return load(file, {}, {}, tmp_path / "cache", host="head")


@pytest.mark.parametrize("found", [PLAIN, RICH])
def test_it_is_valid_as_written(found, tmp_path):
    result = loaded(starter_file(found), tmp_path)
    (node,) = result.config.nodes
    assert (node.name, node.transport) == ("head", "local")
    assert {key: None for key in result.origins if matching(key)}.keys() == {
        "pools.default.nodes",
        "pools.default.transport",
    }


@pytest.mark.parametrize("found", [PLAIN, RICH])
def test_it_is_valid_with_every_comment_taken_away(found, tmp_path):
    text = re.sub(r"(?m)^#(?=[^ ])", "", starter_file(found))
    result = loaded(text, tmp_path)
    of_pools = [key for key in KEYS if not key.path.startswith(("alerts.", "channels."))]
    assert {key.path.replace("*", "default") for key in of_pools} <= result.origins.keys()
    assert (sorted(result.config.alerts.rules), sorted(result.config.alerts.channels)) == (["fallen", "hot"], ["pager"])
    assert len(result.config.pools) == 2


def test_it_tells_what_was_seen(tmp_path):
    text = starter_file(RICH)
    assert '# This machine has 2 × NVIDIA A100, 1 × bad?[pools]?".' in text
    assert "# Slurm was found on this machine" in text
    assert '#nodes = "bastion,gpu[01-02]"' in text
    assert "# This machine shows no GPUs: libnvidia-ml.so.1 is not installed." in starter_file(PLAIN)
