"""What `nvidia-smi -q -x` and `nvidia-smi -L` tell of MIG: instances, and which process is in which.

The text is untrusted. Documents with entities or declarations of their own are refused, and so are deep or long ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from xml.parsers import expat

from msgspec import Struct, field

from gpualloc.adapters.smi_cells import Missing, whole

MAX_BYTES = 8 * 1024 * 1024
_MAX_DEPTH = 16
_MAX_ELEMENTS = 200_000
_MAX_TEXT = 1000
_MIB = re.compile(r"([0-9]{1,12}) MiB")
_GPU_LINE = re.compile(r"GPU ([0-9]{1,4}): .*\(UUID: (GPU-[A-Za-z0-9-]{1,120})\)\s*")
_MIG_LINE = re.compile(r"\s+MIG (\S{1,40})\s+Device\s+([0-9]{1,3}): \(UUID: (MIG-[A-Za-z0-9/-]{1,120})\)\s*")


class BadXmlError(ValueError):
    """The text is not the XML of nvidia-smi; the message says why."""


class Instance(Struct, frozen=True):
    """A MIG instance as the XML tells it, which has no UUID for it."""

    index: int
    """Number within its GPU, the one that `nvidia-smi -L` gives with the UUID."""
    gpu_instance: int | None
    compute_instance: int | None
    memory_total_mib: int | None
    memory_used_mib: int | None


class Details(Struct, frozen=True):
    """What the XML tells of one GPU."""

    instances: tuple[Instance, ...]
    places: dict[int, tuple[int, int]]
    """By pid the GPU and compute instance in which the process is."""


class _Element(Struct):
    name: str
    text: str = ""
    children: list[_Element] = field(default_factory=list)

    def all(self, *path: str) -> Iterator[_Element]:
        """Every element at that path below this one."""
        if not path:
            yield self
            return
        for child in self.children:
            if child.name == path[0]:
                yield from child.all(*path[1:])

    def word(self, *path: str) -> str:
        """The text at that path; empty when there is none."""
        return next((element.text.strip() for element in self.all(*path)), "")


class _Tree:
    """Makes elements of what expat tells, within limits."""

    def __init__(self) -> None:
        self.root = _Element("")
        self._open = [self.root]
        self._count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:  # noqa: ARG002 - of expat
        self._count += 1
        if len(self._open) > _MAX_DEPTH or self._count > _MAX_ELEMENTS:
            raise BadXmlError("it is nested too deep or too long")
        element = _Element(name)
        self._open[-1].children.append(element)
        self._open.append(element)

    def end(self, name: str) -> None:  # noqa: ARG002 - of expat
        self._open.pop()

    def text(self, data: str) -> None:
        element = self._open[-1]
        element.text += data[: _MAX_TEXT - len(element.text)]

    def doctype(self, name: str, system: str | None, public: str | None, has_internal: int) -> None:  # noqa: ARG002
        if has_internal:
            raise BadXmlError("it declares things of its own")

    def refuse(self, *_: object) -> int:
        raise BadXmlError("it declares or uses entities")


def read_details(data: bytes) -> dict[str, Details]:
    """By UUID what the XML tells of each GPU.

    Raises:
        BadXmlError: see there.
    """
    if len(data) > MAX_BYTES:
        raise BadXmlError(f"it is longer than {MAX_BYTES} bytes")
    tree = _Tree()
    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = tree.start, tree.end
    parser.CharacterDataHandler = tree.text
    parser.StartDoctypeDeclHandler = tree.doctype
    parser.EntityDeclHandler = tree.refuse
    parser.ExternalEntityRefHandler = tree.refuse
    parser.buffer_text = True
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise BadXmlError(str(error)) from error
    return {gpu.word("uuid"): _details(gpu) for gpu in tree.root.all("nvidia_smi_log", "gpu")}


def read_uuids(lines: Sequence[str]) -> dict[tuple[str, int], tuple[str, str]]:
    """UUID and profile of each MIG instance of `nvidia-smi -L`, by the UUID of its GPU and its number there."""
    found: dict[tuple[str, int], tuple[str, str]] = {}
    gpu = None
    for line in lines:
        if match := _GPU_LINE.fullmatch(line):
            gpu = match[2]
        elif (match := _MIG_LINE.fullmatch(line)) and gpu is not None:
            found[gpu, int(match[2])] = (match[3], match[1])
    return found


def _details(gpu: _Element) -> Details:
    instances = (_instance(each) for each in gpu.all("mig_devices", "mig_device"))
    places: dict[int, tuple[int, int]] = {}
    for process in gpu.all("processes", "process_info"):
        pid, place = _whole(process.word("pid")), _place(process)
        if pid is not None and place is not None:
            places[pid] = place
    return Details(tuple(each for each in instances if each is not None), places)


def _instance(element: _Element) -> Instance | None:
    index = _whole(element.word("index"))
    if index is None:
        return None
    return Instance(
        index,
        _whole(element.word("gpu_instance_id")),
        _whole(element.word("compute_instance_id")),
        _mib(element.word("fb_memory_usage", "total")),
        _mib(element.word("fb_memory_usage", "used")),
    )


def _place(process: _Element) -> tuple[int, int] | None:
    gpu_instance, compute_instance = (_whole(process.word(f"{kind}_instance_id")) for kind in ("gpu", "compute"))
    return None if gpu_instance is None or compute_instance is None else (gpu_instance, compute_instance)


def _whole(text: str) -> int | None:
    try:
        return whole(0, 1 << 31)(text)  # type: ignore[return-value]
    except Missing:
        return None


def _mib(text: str) -> int | None:
    match = _MIB.fullmatch(text)
    return int(match[1]) if match else None
