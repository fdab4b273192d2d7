"""The GPU models that can be simulated, with their MIG tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from msgspec import Struct

from gpualloc.errors import ConfigError

_DOUBLE_MEMORY = 9
"""Index of the single slice with twice the memory."""
_COMPUTE_INDEX = {1: 0, 2: 1, 3: 2, 4: 3, 6: 6, 7: 4, 8: 5}
"""Index of the compute-instance profile with so many slices."""
ENGINES = ("copy", "nvdec", "nvenc", "nvjpg", "ofa")


class MigProfile(Struct, frozen=True):
    """One kind of GPU instance of a GPU model. None is not sourced."""

    name: str
    """Such as `2g.10gb`; a label, never a source of bytes."""
    index: int
    """Number a program asks the driver for this profile by; the same on every GPU."""
    id: int
    """Number the driver creates by; differs between GPU families."""
    slices: int
    size: int
    """Width in units of the placement axis, which are not compute slices."""
    max_instances: int
    memory_mib: int
    sm: int
    engines: Mapping[str, int | None]
    """Media and copy engines by the names of `ENGINES`."""
    starts: tuple[int, ...]
    """Units of the axis where an instance may begin."""

    @property
    def holds_media_extension(self) -> bool:
        """Whether it takes the one media extension of the GPU (`+me`), which excludes others of its kind."""
        return "+me" in self.name


class ComputeProfile(Struct, frozen=True):
    """One kind of compute instance of a GPU instance."""

    index: int
    """Number a program asks the driver for it by."""
    id: int
    """Number the driver creates by."""
    slices: int
    max_instances: int
    sm: int


class MigTable(Struct, frozen=True):
    """What MIG can do on one GPU model."""

    units: int
    """Length of the placement axis."""
    max_instances: int
    mode_needs_reset: bool
    """Whether a change of MIG mode needs a reset of an idle GPU (Ampere)."""
    mode_survives_reboot: bool
    engine_totals: Mapping[str, int]
    """Engines that instances share out; empty when the model does not count them."""
    profiles: tuple[MigProfile, ...]

    def profile(self, name: str) -> MigProfile:
        """The profile of that name; raises KeyError."""
        for profile in self.profiles:
            if profile.name == name:
                return profile
        raise KeyError(name)

    def profile_by_id(self, number: int) -> MigProfile:
        """The profile with that id of the driver; raises KeyError."""
        for profile in self.profiles:
            if profile.id == number:
                return profile
        raise KeyError(number)


class GpuKind(Struct, frozen=True):
    """A GPU model. Memory, power and clock are nominal; None is not sourced."""

    key: str
    product: str
    """Name as the driver reports it."""
    architecture: str
    memory_total_mib: int
    power_limit_w: float | None
    max_sm_clock_mhz: int | None
    has_mig: bool
    mig: MigTable | None
    """None when the model has no MIG or its table is not fully sourced."""
    status: str
    """How well its MIG table is known."""

    @property
    def power_limit_min_w(self) -> float | None:
        """Lowest power limit that can be set: a quarter of the highest, which is the default. Nominal, not sourced."""
        return None if self.power_limit_w is None else self.power_limit_w / 4

    @property
    def generation(self) -> str:
        """Its architecture in the word that node programs use, such as `ampere`."""
        return self.architecture.split()[0].casefold()


def find(name: str) -> GpuKind:
    """The GPU model with that key (`A100-40GB`) or product name (`NVIDIA L4`, `L4`), whatever the case.

    Raises:
        ConfigError: there is none; names the nearest.
    """
    by_name = _by_name()
    kind = by_name.get(_fold(name))
    if kind is not None:
        return kind
    import difflib  # only a misspelt name needs it

    near = difflib.get_close_matches(_fold(name), by_name, n=3, cutoff=0.4)
    nearest = dict.fromkeys(by_name[match].key for match in near)
    raise ConfigError(
        f"{name!r} is not a GPU model that can be simulated",
        hint=f"nearest: {', '.join(nearest)}" if nearest else f"known: {', '.join(keys())}",
    )


def compute_profiles(profile: MigProfile) -> tuple[ComputeProfile, ...]:
    """What a GPU instance of that profile can be split into; the last takes all of it.

    After published listings: single slices and halves where there are several, and the double-memory single slice under
    a number of its own.
    """
    if profile.slices == 1:
        number = 7 if profile.index == _DOUBLE_MEMORY else 0
        return (ComputeProfile(number, number, 1, 1, profile.sm),)
    parts = [slices for slices in (1, 2) if slices < profile.slices]
    return tuple(
        ComputeProfile(_COMPUTE_INDEX[slices], _COMPUTE_INDEX[slices], slices, profile.slices // slices, sm)
        for slices, sm in (
            *((slices, profile.sm * slices // profile.slices) for slices in parts),
            (profile.slices, profile.sm),
        )
    )


def mig_table(kind: GpuKind) -> MigTable:
    """The MIG table of a model.

    Raises:
        ConfigError: it has no MIG, or its table is not fully sourced.
    """
    if kind.mig is not None:
        return kind.mig
    if not kind.has_mig:
        raise ConfigError(f"{kind.product} has no MIG mode")
    raise ConfigError(
        f"the MIG table of {kind.product} is not fully known ({kind.status}), so MIG cannot be simulated on it",
        hint="use a model whose table is known, such as A100-40GB, H100-80GB or A30-24GB",
    )


@cache
def keys() -> tuple[str, ...]:
    """Keys of all models, sorted."""
    return tuple(sorted({kind.key for kind in _by_name().values()}))


@cache
def _by_name() -> Mapping[str, GpuKind]:
    kinds: dict[str, GpuKind] = {}
    for file in ("plain_models.json", "mig_profiles.json"):
        document = json.loads(files("gpualloc.sim").joinpath(file).read_text("utf-8"))
        for model in document["models"]:
            for product in model["products"]:
                kinds[_fold(product)] = _kind(model, product)
            kinds[_fold(model["key"])] = _kind(model, model["products"][0])
    return MappingProxyType(kinds)


def _fold(name: str) -> str:
    return name.strip().casefold().removeprefix("nvidia ").replace(" ", "-")


def _kind(model: dict[str, Any], product: str) -> GpuKind:
    return GpuKind(
        key=model["key"],
        product=product,
        architecture=model["architecture"],
        memory_total_mib=model["memory_mib"],
        power_limit_w=model["power_limit_w"],
        max_sm_clock_mhz=model["max_sm_clock_mhz"],
        has_mig="profiles" in model,
        mig=_table(model) if _fully_sourced(model) else None,
        status=model.get("status", "no MIG"),
    )


def _fully_sourced(model: dict[str, Any]) -> bool:
    profiles = model.get("profiles", [])
    needed = ("id", "size", "memory_mib", "sm", "starts")
    return bool(profiles) and all(profile[field] is not None for profile in profiles for field in needed)


def _table(model: dict[str, Any]) -> MigTable:
    return MigTable(
        units=model["units"],
        max_instances=model["max_instances"],
        mode_needs_reset=model["mode_needs_reset"],
        mode_survives_reboot=model["mode_survives_reboot"],
        engine_totals=MappingProxyType(model["engine_totals"] or {}),
        profiles=tuple(_profile(profile) for profile in model["profiles"]),
    )


def _profile(row: dict[str, Any]) -> MigProfile:
    return MigProfile(
        name=row["name"],
        index=row["index"],
        id=row["id"],
        slices=row["slices"],
        size=row["size"],
        max_instances=row["max"],
        memory_mib=row["memory_mib"],
        sm=row["sm"],
        engines=MappingProxyType(dict(zip(ENGINES, row["engines"], strict=True))),
        starts=tuple(row["starts"]),
    )
