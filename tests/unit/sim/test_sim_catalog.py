"""Which GPU models can be simulated, by which names."""

from __future__ import annotations

import pytest

from gpualloc.errors import ConfigError
from gpualloc.sim.catalog import find, keys, mig_table


@pytest.mark.parametrize(
    ("name", "product"),
    [
        ("A100-40GB", "NVIDIA A100-SXM4-40GB"),
        ("a100-40gb", "NVIDIA A100-SXM4-40GB"),
        ("NVIDIA A100-PCIE-40GB", "NVIDIA A100-PCIE-40GB"),
        ("nvidia h100 80gb hbm3", "NVIDIA H100 80GB HBM3"),
        ("H100 PCIe", "NVIDIA H100 PCIe"),
        ("t4", "Tesla T4"),
        ("RTX-4090", "NVIDIA GeForce RTX 4090"),
    ],
)
def test_found_by_key_or_product_name(name: str, product: str) -> None:
    assert find(name).product == product


@pytest.mark.parametrize(("name", "nearest"), [("A100-48GB", "A100-40GB"), ("H100", "H100-80GB"), ("L40X", "L40S")])
def test_unknown_model_names_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(ConfigError) as raised:
        find(name)
    assert name in raised.value.message
    assert nearest in (raised.value.hint or "")


def test_a_name_like_nothing_lists_the_known_keys() -> None:
    with pytest.raises(ConfigError) as raised:
        find("zzzzzz")
    assert "A30-24GB" in (raised.value.hint or "")


@pytest.mark.parametrize(("key", "why"), [("T4", "has no MIG"), ("B300", "names and counts only")])
def test_mig_is_refused_where_the_table_is_not_known(key: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        mig_table(find(key))


def test_every_mig_table_fits_its_axis_and_its_memory() -> None:
    for kind in map(find, keys()):
        if kind.mig is None:
            continue
        for profile in kind.mig.profiles:
            assert profile.memory_mib <= kind.memory_total_mib, (kind.key, profile.name)
            assert all(0 <= start <= kind.mig.units - profile.size for start in profile.starts), (
                kind.key,
                profile.name,
            )
