"""What a device or node is meant to be: its settings, its MIG layout, and whether it takes new work."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace


class ComputeMode(StrEnum):
    """Who may open contexts on a device."""

    DEFAULT = "default"
    EXCLUSIVE_PROCESS = "exclusive-process"
    PROHIBITED = "prohibited"


class Repartition(StrEnum):
    """What of MIG may be changed for waiting work."""

    OFF = "off"
    """Nothing: work gets the instances that exist."""
    INSTANCES = "instances"
    """Instances on devices that are in MIG mode already."""
    MODE = "mode"
    """Also the MIG mode of idle devices."""


class DeviceSettings(Struct, frozen=True):
    """Volatile settings of a device: all but `persistence` are lost at the latest with the next reboot.

    None is not told (in what was read) or not touched (in what is wanted).
    """

    power_limit_w: float | None = None
    sm_clock_min_mhz: int | None = None
    """Lower end of the locked clock range; 0 with `sm_clock_max_mhz` 0 means not locked."""
    sm_clock_max_mhz: int | None = None
    compute_mode: ComputeMode | None = None
    persistence: bool | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing is told or wanted."""
        return all(getattr(self, name) is None for name in self.__struct_fields__)


NOTHING_SET = DeviceSettings()
"""No setting told, or none wanted."""


class DesiredDevice(Struct, frozen=True):
    """What gpualloc made of a device, to be compared with what is there and made again after a reboot."""

    node: str
    device: str
    """UUID."""
    layout: str | None
    """MIG layout such as `3g.40gb@0,2g.20gb@4`; empty text is MIG mode without instances, `off` is MIG mode off,
    None was never decided by gpualloc."""
    settings: DeviceSettings = NOTHING_SET
    """Settings decided by gpualloc; None in it is not ours."""
    before: DeviceSettings = NOTHING_SET
    """What the device had before we changed it, to be given back on release."""
    at_s: float = 0.0
    automatic: bool = False
    """Whether it was brought into MIG mode for waiting work, and may be brought out of it for other work."""
    made: tuple[str, ...] = ()
    """Places of instances that were made for waiting work and may go for other work; an operator's own stay."""
    cap_w: float | None = None
    """Power limit that the budget of its pool holds it to while work runs there; None: it is not capped."""
    uncapped_w: float | None = None
    """Power limit it had before that, to be given back when nothing runs there."""

    @property
    def settings_now(self) -> DeviceSettings:
        """The settings that should be in force: those decided, but for a cap."""
        return self.settings if self.cap_w is None else replace(self.settings, power_limit_w=self.cap_w)


MAX_REASON_CHARS = 200
"""Longest reason of a cordon: it shows in tables."""


class Cordon(Struct, frozen=True):
    """A node or device that takes no new work, by an operator's word."""

    node: str
    device: str | None
    """UUID; None is the whole node."""
    reason: str
    """In the operator's words; without any, who it was."""
    actor: str
    at_s: float
    drain: bool = False
    """Whether the work that is there is to go, too: by its own end, or because it was made to give way."""


class CordonState(StrEnum):
    """How a cordoned node or device stands; the words are part of the JSON contract."""

    CORDONED = "cordoned"
    """It takes no new work; what runs there may run on."""
    DRAINING = "draining"
    """Work is still there that is to go."""
    DRAINED = "drained"
    """No work of ours is there any more."""
