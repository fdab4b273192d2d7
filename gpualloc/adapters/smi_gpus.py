"""The GPUs of a node without python3: what is asked of its nvidia-smi, how often, and what stays known of them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import Struct

from gpualloc.adapters.shell_proc import read_information
from gpualloc.adapters.shell_talk import HUNG, Told
from gpualloc.adapters.smi_cells import Column, bus_within
from gpualloc.adapters.smi_rows import Gpu
from gpualloc.adapters.smi_table import (
    APPS,
    BOARD,
    LOAD,
    OLD_BOARD,
    OLD_LOAD,
    ROWS,
    THROTTLE_LOAD,
    Row,
    Table,
    Unheld,
    read_table,
)
from gpualloc.adapters.smi_xml import BadXmlError, Instance, read_details, read_uuids

Ask = Callable[..., list[Told]]

SLOW_EVERY_S = 60.0
"""How often is asked for what hardly changes."""
DETAILS_EVERY_S = 10.0
"""How often the XML is asked for where there are MIG instances: it takes a second where a GPU sleeps."""
_SLOWEST_S = 7.0
"""Longest that one nvidia-smi may take, until it is given up and killed."""

QUERIES: Mapping[str, Sequence[tuple[str, Sequence[Column]]]] = {
    "load": (("load", LOAD), ("load-throttle", THROTTLE_LOAD), ("load-old", OLD_LOAD)),
    "board": (("board", BOARD), ("board-old", OLD_BOARD)),
    "rows": (("rows", ROWS),),
}
"""What is asked for, each in the words of the newest driver first: the word of the shell program and its columns."""

_NOT_KNOWN = re.compile("is not a valid field|not recognized|Invalid combination|unknown option", re.IGNORECASE)
_GPU_UUID = re.compile(r"GPU-[A-Za-z0-9-]{1,120}")
_TROUBLES = (
    ("mismatch", "mismatch"),
    ("couldn't communicate with the NVIDIA driver", "failed"),
    ("No devices were found", "ok"),
)
"""Words of an nvidia-smi that failed, and the wire's state of NVML."""


class Use(Struct, frozen=True):
    """A process on a GPU."""

    pid: int
    device: str
    mig_instance: str | None
    memory_mib: int | None


class SmiGpus:
    """Looks at the GPUs through nvidia-smi and remembers them; one connection's."""

    def __init__(self) -> None:
        self.gpus: dict[str, Gpu] = {}
        """By UUID, as of the last look."""
        self.uses: tuple[Use, ...] = ()
        self.driver_version: str | None = None
        self.state = "ok"
        """How nvidia-smi as a whole stands, in the words of the wire for NVML."""
        self.reason: str | None = None
        self._hung_since_s: float | None = None
        self._form = dict.fromkeys(QUERIES, 0)
        """Which form of each query is in use; one beyond the last: this driver knows none."""
        self._asked_at_s: dict[str, float] = {}
        self._information: list[dict[str, str]] = []
        self._places: dict[tuple[str, int], str] = {}
        """UUID of the MIG instance of a process, by device and pid."""

    def look(self, ask: Ask, left_s: Callable[[], float]) -> None:
        """Ask for what changes, and for what is due of the rest as far as the time allows."""
        if self._due("information"):
            self._information = read_information(ask("information")[0].lines)
        table = self._query(ask, "load")
        if table is None:
            return
        self._take_load(table)
        for name in ("board", "rows"):
            if self._columns(name) and left_s() > _SLOWEST_S and self._due(name):
                self._take_slow(name, self._query(ask, name))
        for gpu in self.gpus.values():
            gpu.instances = gpu.instances if gpu.mig_enabled else ()
        with_mig = any(gpu.mig_enabled for gpu in self.gpus.values())
        if with_mig and left_s() > _SLOWEST_S and self._due("details", DETAILS_EVERY_S):
            self._take_details(*ask("list", "details"))
        self._take_apps(ask("apps")[0] if left_s() > _SLOWEST_S else None)

    def _due(self, word: str, every_s: float = SLOW_EVERY_S) -> bool:
        """Whether it is time to ask for that again; if so it counts as asked."""
        now_s = time.monotonic()
        if now_s - self._asked_at_s.get(word, -every_s) < every_s:
            return False
        self._asked_at_s[word] = now_s
        return True

    def _columns(self, name: str) -> Sequence[Column]:
        """The columns that are asked for; none when the driver knows no form of the query."""
        forms = QUERIES[name]
        return forms[self._form[name]][1] if self._form[name] < len(forms) else ()

    def _query(self, ask: Ask, name: str) -> Table | None:
        """The answer to a query, in the newest form of it that the driver knows; None when there is none."""
        self._asked_at_s[name] = time.monotonic()
        for word, columns in QUERIES[name][self._form[name] :]:
            told = ask(word)[0]
            table = read_table(told.lines, columns)
            if told.well or not _NOT_KNOWN.search(table.words or ""):
                break
            self._form[name] += 1
        else:
            if name == "load":
                self._fail("failed", "its nvidia-smi is too old: it does not know what is asked")
            return None
        if name == "load" and not self._answers(told, table):
            return None
        return None if told.status == HUNG else table

    def _answers(self, told: Told, table: Table) -> bool:
        """Whether nvidia-smi works; else every GPU gets its trouble."""
        if told.status == HUNG:
            self._hung_since_s = self._hung_since_s or self._asked_at_s["load"]
            self._fail("hung", f"nvidia-smi does not answer since {time.monotonic() - self._hung_since_s:.0f} s")
            return False
        self._hung_since_s = None
        if table.rows or table.unheld or told.well:
            self.state, self.reason = "ok", None
            return True
        words = table.words or f"nvidia-smi ended with status {told.status}"
        state = next((state for part, state in _TROUBLES if part in words), "failed")
        self._fail("absent" if told.status == "127" else state, words[:300])
        return False

    def _fail(self, state: str, reason: str) -> None:
        self.state, self.reason = state, None if state == "ok" else reason
        self.uses = ()
        if state == "ok":
            self.gpus = {}
        elif not self.gpus:
            self.gpus = {gpu.uuid: gpu for gpu in self._informed()}
        for gpu in self.gpus.values():
            gpu.load, gpu.no_processes = None, "hung" if state == HUNG else "failed"
            gpu.state, gpu.reason = "driver not answering" if state == HUNG else "failed", reason

    def _informed(self) -> Iterator[Gpu]:
        """The GPUs that the kernel's part of the driver lists."""
        for index, facts in enumerate(self._information):
            uuid = facts.get("GPU UUID", "")
            if _GPU_UUID.fullmatch(uuid):
                yield self._with_facts(Gpu(uuid, index), facts)

    def _with_facts(self, gpu: Gpu, facts: dict[str, str]) -> Gpu:
        gpu.model = facts.get("Model", gpu.model)
        gpu.bus = bus_within(facts.get("Bus Location", "")) or gpu.bus
        minor = facts.get("Device Minor", "")
        gpu.minor = int(minor) if minor.isascii() and minor.isdigit() and len(minor) < 5 else None
        return gpu

    def _take_load(self, table: Table) -> None:
        seen: dict[str, Gpu] = {}
        for row in table.rows:
            gpu = self.gpus.get(row.uuid) or Gpu(row.uuid)
            seen[row.uuid] = gpu
            self._take_row(gpu, row)
        for unheld in table.unheld:
            gpu = self._unheld(unheld)
            seen.setdefault(gpu.uuid, gpu)
        self.gpus = seen

    def _take_row(self, gpu: Gpu, row: Row) -> None:
        values = row.values
        gpu.load, gpu.state, gpu.reason, gpu.no_processes = row, row.state, row.reason, None
        for name in ("index", "model", "memory_total_mib"):
            if name in values:
                setattr(gpu, name, values[name])
        gpu.bus = str(values["board.pci_bus_id"]) if "board.pci_bus_id" in values else gpu.bus
        if "driver_version" in values:
            self.driver_version = str(values["driver_version"])
        self._note_unasked(gpu, "load")
        facts = next((each for each in self._information if bus_within(each.get("Bus Location", "")) == gpu.bus), None)
        if gpu.minor is None and facts is not None:
            model = gpu.model
            self._with_facts(gpu, facts).model = model

    def _unheld(self, unheld: Unheld) -> Gpu:
        """The GPU that cannot be opened: one that was seen before, one that the kernel lists, or one without a name."""
        by_bus = (gpu for gpu in (*self.gpus.values(), *self._informed()) if gpu.bus is not None)
        gpu = next((gpu for gpu in by_bus if gpu.bus == unheld.bus), None)
        if gpu is None and unheld.index is not None:
            gpu = next((gpu for gpu in self.gpus.values() if gpu.index == unheld.index), None)
        if gpu is None:
            name = str(unheld.index) if unheld.bus is None else unheld.bus.replace(":", "-").replace(".", "-")
            gpu = Gpu(f"GPU-unknown-{name}", unheld.index or 0, bus=unheld.bus)
        gpu.load, gpu.state, gpu.reason = None, unheld.state, f"nvidia-smi says: {unheld.reason[:200]}"
        gpu.no_processes = "lost" if unheld.state == "GPU lost" else "failed"
        return gpu

    def _take_slow(self, name: str, table: Table | None) -> None:
        rows = {row.uuid: row for row in table.rows} if table is not None else {}
        nothing = {column.field: "failed" for column in self._columns(name)[1:]}
        for gpu in self.gpus.values():
            # What an answer lacks is not kept from the one before.
            gpu.slow[name] = rows.get(gpu.uuid) or Row(gpu.uuid, missing=nothing)
            self._note_unasked(gpu, name)

    def _note_unasked(self, gpu: Gpu, name: str) -> None:
        """Say of the columns that this driver does not know that they are not seen."""
        asked = {column.field for column in self._columns(name)}
        newest = QUERIES[name][0][1]
        gpu.unasked.update((column.field, "not seen") for column in newest if column.field not in asked)

    def _take_apps(self, told: Told | None) -> None:
        """The processes of the answer; None: there was no time to ask."""
        self.uses = ()
        if told is None or not told.well:
            why = "not yet" if told is None else "hung" if told.status == HUNG else "failed"
            for gpu in self.gpus.values():
                gpu.no_processes = gpu.no_processes or why
            return
        self.uses = tuple(use for use in map(self._use, read_table(told.lines, APPS).rows) if use is not None)

    def _use(self, row: Row) -> Use | None:
        owners = (gpu.uuid for gpu in self.gpus.values() if any(each["uuid"] == row.uuid for each in gpu.instances))
        device = next(owners, row.uuid)
        pid, used = row.values.get("pid"), row.values.get("gpu_memory_used_mib")
        if device not in self.gpus or not isinstance(pid, int):
            return None
        instance = self._places.get((device, pid)) if device == row.uuid else row.uuid
        return Use(pid, device, instance, used if isinstance(used, int) else None)

    def _take_details(self, listed: Told, details: Told) -> None:
        uuids = read_uuids(listed.lines)
        try:
            told = read_details("\n".join(details.lines).encode()) if details.well else {}
        except BadXmlError:
            told = {}
        self._places = {}
        for gpu in self.gpus.values():
            gpu.instances = ()
            for each in told[gpu.uuid].instances if gpu.uuid in told else ():
                uuid, profile = uuids.get((gpu.uuid, each.index), (None, ""))
                if uuid is None:
                    continue
                gpu.instances += (_instance_row(uuid, profile, each),)
                place = (each.gpu_instance, each.compute_instance)
                here = [pid for pid, where in told[gpu.uuid].places.items() if where == place]
                self._places.update({(gpu.uuid, pid): uuid for pid in here})


def _instance_row(uuid: str, profile: str, told: Instance) -> dict[str, object]:
    return {
        "uuid": uuid,
        "profile": profile,
        "start": None,
        "size": None,
        "memory_total_mib": told.memory_total_mib,
        "memory_used_mib": told.memory_used_mib,
        "gpu_instance": told.gpu_instance,
        "compute_instance": told.compute_instance,
    }
