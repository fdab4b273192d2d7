"""What belongs to one opened GPU: its handle, what was read of it last, and what rates are made of."""

import time
from typing import TYPE_CHECKING, Any

import pynvml

from gpualloc.node import board, mig, peers, reliability, sensors, settings
from gpualloc.node.activity import FIELDS, Activity
from gpualloc.node.driver import Driver
from gpualloc.node.groups import Kept
from gpualloc.node.links import Links
from gpualloc.node.reading import Reading
from gpualloc.node.usage import Usage

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from gpualloc.node.costs import Costs
    from gpualloc.node.gpu import Gpu

_INTRODUCTION_S = 0.3
"""How long the other GPUs of a node get to be opened before this one says how it reaches them."""

_IN_MIG_MODE = sensors.WITHOUT_MIG | reliability.WITHOUT_MIG | {"settings.compute_mode"}

_ACTIVITY = frozenset("activity." + name for name in FIELDS)


class Opened:
    """One GPU as long as its handle is good; used in that GPU's own thread.

    Args:
        handle: what the driver gave.
        costs: where calls are counted.
    """

    def __init__(self, handle: Any, costs: "Costs") -> None:
        self.handle = handle
        self.driver = Driver(handle, costs)
        self.address = board.Address(self.driver)
        self.mig_on: "bool | None" = None
        self._kept = Kept()
        self._activity = Activity()
        self._links = Links()
        self.usage = Usage()
        self._counters = sensors.Counters()
        self._traffic = reliability.PcieTraffic()
        self._met: "set[str] | None" = None

    def mode(self) -> "Reading":
        """`mig_enabled` and `mig_pending`; another mode than before makes everything due."""
        piece = self._kept.piece("mode", self._read_mode)
        on = bool(piece.row["mig_enabled"])
        if self.mig_on not in (None, on):
            self.forget()
        self.mig_on = on
        return piece

    def forget(self) -> None:
        """Let everything be read anew: something was changed."""
        self._kept.forget()
        self.driver.forget()

    def close(self) -> None:
        """Give back what the driver allotted."""
        self._activity.close()

    def fill_inventory(self, reading: "Reading", others: "list[Gpu]") -> None:
        """What stays the same, and what is set."""
        driver, address = self.driver, self.address
        self._take(reading, "constants", lambda: board.constants(driver, address))
        self._take(reading, "board", lambda: board.board(driver, address))
        self._take(reading, "settings", self._read_settings)
        self._take_peers(reading, others)
        if self.mig_on:
            self._take_instances(reading, mig.inventory)
            reading.in_mig_mode(_IN_MIG_MODE)

    def fill_sample(self, reading: "Reading") -> None:
        """The load, and what is read more seldom."""
        driver = self.driver
        for group, read in (
            ("memory", sensors.memory),
            ("utilization", sensors.utilization),
            ("power", sensors.power),
            ("power limit", sensors.power_limit),
            ("temperature", sensors.temperature),
            ("clocks", sensors.clocks),
            ("counters", self._counters.read),
            ("activity", self._activity.read),
            ("ecc", reliability.ecc),
            ("pcie link", reliability.pcie_link),
            ("pcie throughput", self._traffic.read),
            ("nvlink", self._links.read),
        ):
            self._take(reading, group, lambda r=read: r(driver))  # type: ignore[misc]
        if self.mig_on:
            self._take_instances(reading, mig.sample)
            self._fill_activity(reading.row["mig_instances"])
            reading.in_mig_mode(_IN_MIG_MODE | _ACTIVITY if self._activity.supported else _IN_MIG_MODE)

    def _take(self, reading: "Reading", group: str, read: "Callable[[], Reading]") -> None:
        reading.take(self._kept.piece(group, read))

    def _read_mode(self) -> "Reading":
        piece = Reading()
        modes: "list[int]" = []

        def told(place: int) -> int:
            modes[:] = modes or self.driver.ask("mode", "nvmlDeviceGetMigMode")
            return modes[place]

        piece.flag("mig_enabled", lambda: told(0))
        piece.flag("mig_pending", lambda: told(1))
        return piece

    def _read_settings(self) -> "Reading":
        piece = Reading()
        for name, function in settings.READ.items():
            piece.value("settings." + name, lambda f=function: self.driver.ask("settings", f))  # type: ignore[misc]
        return piece

    def _take_peers(self, reading: "Reading", others: "list[Gpu]") -> None:
        if self._met is None:
            _wait_for([other.introduced for other in others])
        known = [peer for peer in (other.as_peer() for other in others) if peer is not None]
        names = {peer.uuid for peer in known}
        if names != self._met:
            self._kept.drop("peers")
            self._met = names
        reading.put("peers", {})
        if not known:
            return
        links = self._kept.piece("nvlink", lambda: self._links.read(self.driver))
        self._take(reading, "peers", lambda: peers.read(self.driver, links.row["nvlinks"] or [], known))

    def _take_instances(self, reading: "Reading", function: "Callable[[Any], list[Any]]") -> None:
        try:
            reading.row["mig_instances"] = self.driver.ask("instances", function)
        except pynvml.NVMLError as error:
            reading.failed("mig_instances", error)
            reading.row["mig_instances"] = []

    def _fill_activity(self, instances: "list[dict[str, Any]]") -> None:
        """Per instance; the driver's number of the instance is no reading."""
        numbers = [instance.pop("gpu_instance") for instance in instances]
        self._activity.keep_only(numbers)
        for place, number in enumerate(numbers):
            if number is not None:
                instances[place].update(_values(self._activity.read(self.driver, number)))


def _values(piece: "Reading") -> "dict[str, Any]":
    return {name: value for name, value in piece.row.items() if name not in ("state", "reason", "unavailable")}


def _wait_for(events: "list[threading.Event]") -> None:
    until_s = time.monotonic() + _INTRODUCTION_S
    for event in events:
        event.wait(max(0.0, until_s - time.monotonic()))
