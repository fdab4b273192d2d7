"""One GPU read through nvidia-ml-py; runs in that GPU's own thread (`node.roster`).

Each reading stands alone: what cannot be read is None with its reason, and never a made-up 0.
"""

import glob
import re
import threading
from typing import TYPE_CHECKING, Any

import pynvml

from gpualloc.node import activity, board, mig, profiles, reliability, sensors, settings
from gpualloc.node.holders import running
from gpualloc.node.opened import Opened
from gpualloc.node.peers import Peer
from gpualloc.node.reading import Reading, reason_of, state_of, unknown

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpualloc.node.costs import Costs

_VALUES = ("uuid", "index", "model", "mig_enabled", "mig_pending", *board.CONSTANTS)
"""What of `inventory` is known of a GPU even when it says nothing any more, beside its board and its peers."""


class Gone(Exception):
    """The driver does not list the GPU any more."""


class Gpu:
    """A GPU. What once was learnt of it names it even when it hangs, is lost or was unplugged.

    Args:
        index: its place in the driver's list, which may become another one.
        costs: where calls are counted.
        others: the other GPUs of the node.
    """

    def __init__(self, index: int, costs: "Costs", others: "Callable[[Gpu], list[Gpu]]") -> None:
        self.index = index
        self.introduced = threading.Event()
        """Set once an attempt to open it is over."""
        self.gone: "str | None" = None
        """Why the driver lists it no more; None while it does."""
        self.displaced = False
        """Whether another GPU was found in its place, and it was not looked for elsewhere yet."""
        self._costs = costs
        self._others = others
        self._opened: "Opened | None" = None
        self._profiles: "list[dict[str, Any]] | None" = None
        self._known: "dict[str, Any]" = dict.fromkeys(_VALUES)
        self._known.update(model="unknown", board=dict.fromkeys(board.FIELDS), peers={})
        self._listing: "str | None" = None
        self._listed = False

    @property
    def uuid(self) -> str:
        """Full UUID; when the driver never told it, from /proc, else a name by the index."""
        # Not kept: another thread may be learning the real one at this moment.
        known: str = self._known["uuid"] or _uuid_from_proc(self.index) or "GPU-unknown-%d" % self.index
        return known

    @property
    def learnt_uuid(self) -> "str | None":
        """The UUID as the driver itself told it; None before it did."""
        uuid: "str | None" = self._known["uuid"]
        return uuid

    def as_peer(self) -> "Peer | None":
        """What others need to ask about the way to it; None unless it is open."""
        opened = self._opened
        return None if opened is None else Peer(self.uuid, opened.handle, opened.address.text)

    def blank_inventory(self) -> "dict[str, Any]":
        """The inventory row of a GPU that says nothing."""
        row = dict(self._known, index=self.index, uuid=self.uuid, mig_instances=[], mig_profiles=self._profiles or [])
        row["settings"] = dict.fromkeys(settings.FIELDS)
        return row

    def blank_sample(self) -> "dict[str, Any]":
        """The sample row of a GPU that says nothing."""
        return dict(
            dict.fromkeys(sensors.FIELDS),
            uuid=self.uuid,
            activity=dict.fromkeys(activity.FIELDS),
            ecc=dict.fromkeys(reliability.ECC),
            pcie=dict.fromkeys(reliability.PCIE),
            nvlinks=None,
            mig_instances=[],
        )

    def inventory(self) -> "dict[str, Any]":
        """The row of `inventory` in docs/wire.md."""
        reading = Reading(self.blank_inventory())
        opened = self._open(reading)
        if opened is None:
            return reading.row
        reading.take(opened.mode())
        opened.fill_inventory(reading, self._others(self))
        self._known["memory_total_mib"] = reading.row["memory_total_mib"]
        if reading.row["mig_enabled"] is not None:
            reading.value("mig_profiles", self.profiles)
            reading.row["mig_profiles"] = reading.row["mig_profiles"] or []
        if reading.ok:
            self._known.update({name: reading.row[name] for name in self._known})
        return self._closed(reading)

    def sample(self) -> "dict[str, Any]":
        """The row of `sample` in docs/wire.md."""
        reading = Reading(self.blank_sample())
        opened = self._open(reading)
        if opened is None:
            return reading.row
        reading.stand_as(opened.mode())
        opened.fill_sample(reading)
        if not self._listed:
            self._list(opened, reading)
        if self._listing is not None:
            reading.row["unavailable"]["processes"] = self._listing
        return self._closed(reading)

    def processes(self) -> "dict[str, Any]":
        """`uuid` and `processes` of everything the driver sees here.

        Each is (pid, MIG instance, MiB used or None, share of time its kernels ran or None).
        """
        reading = Reading({"uuid": self.uuid, "processes": []})
        opened = self._open(reading)
        if opened is None:
            return reading.row
        reading.stand_as(opened.mode())
        found = self._list(opened, reading)
        use = opened.usage.read(opened.driver) if found and not opened.mig_on else {}
        reading.row["processes"] = [(pid, uuid, used, use.get(pid)) for pid, uuid, used in found]
        return self._closed(reading)

    def is_known_as(self, uuid: str) -> bool:
        """Whether the driver itself told that this is the GPU of that UUID."""
        return self.learnt_uuid == uuid

    def opened(self) -> Any:
        """The handle, looked up anew after any trouble; raises NVMLError, or Gone when the driver does not list it."""
        return self._reach().handle

    def profiles(self) -> "list[dict[str, Any]]":
        """The MIG profiles as `mig_profiles` of docs/wire.md, asked once; empty without MIG; raises NVMLError."""
        if self._profiles is None:
            opened = self._reach()
            total_mib = self._known["memory_total_mib"] or sensors.memory_total_mib(opened.driver)
            self._profiles = opened.driver.ask("constants", profiles.of_device, total_mib)
        return self._profiles

    def forget(self) -> None:
        """Let everything be read anew: something was changed."""
        if self._opened is not None:
            self._opened.forget()

    def move(self, index: int) -> None:
        """It is at another place of the driver's list, or back in it."""
        self.index = index
        self.gone, self.displaced = None, False
        self.let_go()

    def vanish(self, why: str) -> None:
        """The driver does not list it any more."""
        self.gone, self.displaced = why, False
        self.let_go()

    def let_go(self) -> None:
        """Give the handle back; the next reading looks it up anew."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    def _reach(self) -> "Opened":
        if self.gone is not None:
            raise Gone(self.gone)
        if self._opened is None:
            try:
                self._opened = self._look_up()
            finally:
                self.introduced.set()
        return self._opened

    def _look_up(self) -> "Opened":
        handle = pynvml.nvmlDeviceGetHandleByIndex(self.index)
        uuid = pynvml.nvmlDeviceGetUUID(handle)
        if self.learnt_uuid not in (None, uuid):
            self.displaced = True
            raise Gone("the driver lists %s in its place" % uuid)
        self._known["model"] = pynvml.nvmlDeviceGetName(handle)
        self._known["uuid"] = uuid
        return Opened(handle, self._costs)

    def _open(self, reading: "Reading") -> "Opened | None":
        """What is open now; None when nothing can be (the row says why)."""
        try:
            opened = self._reach()
        except Gone as gone:
            _stands(reading, "GPU lost", "lost", str(gone))
        except pynvml.NVMLError as error:
            permission = "no permission" if error.value == pynvml.NVML_ERROR_NO_PERMISSION else "failed"
            state = state_of(error) or permission
            _stands(reading, state, "lost" if state == "GPU lost" else reason_of(error), str(error))
        else:
            reading.row["uuid"] = self.uuid
            if "model" in reading.row:
                reading.row["model"] = self._known["model"]
            return opened
        reading.row["uuid"] = self.uuid
        return None

    def _closed(self, reading: "Reading") -> "dict[str, Any]":
        reading.judge()
        if not reading.ok:
            self.let_go()
        return reading.row

    def _list(self, opened: "Opened", reading: "Reading") -> "list[tuple[int, str | None, int | None]]":
        """Pid, MIG instance and MiB of each process; none, with the reason for the next sample, when it is not told."""
        try:
            found = opened.driver.ask("processes", _listed, bool(opened.mig_on))
        except pynvml.NVMLError as error:
            reading.fail(error)
            self._listing, found = reason_of(error), []
        else:
            self._listing = None
        self._listed = True
        return list(found)


def _listed(handle: Any, mig_on: bool) -> "list[tuple[int, str | None, int | None]]":
    if not mig_on:
        return [(pid, None, used) for pid, used in running(handle)]
    return [(pid, uuid, used) for uuid, instance in mig.handles(handle) for pid, used in running(instance)]


def _stands(reading: "Reading", state: str, reason: str, why: str) -> None:
    missing = dict.fromkeys(unknown(reading.row), reason)
    reading.row.update(state=state, reason=why, unavailable=missing)


def _uuid_from_proc(index: int) -> "str | None":
    """The kernel driver lists GPUs by PCI address, the order NVML counts in."""
    paths = sorted(glob.glob("/proc/driver/nvidia/gpus/*/information"))
    if index >= len(paths):
        return None
    try:
        with open(paths[index], encoding="utf-8", errors="replace") as file:
            found = re.search(r"GPU UUID:\s+(GPU-[0-9a-f-]{36})\s", file.read(4096))
    except OSError:
        return None
    return found.group(1) if found else None
