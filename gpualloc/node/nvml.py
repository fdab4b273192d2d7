"""NVML through nvidia-ml-py: opened once, asked with a deadline, one thread per GPU.

A call into a sick driver can block for ever and cannot be cancelled; here only the row of that GPU suffers.
"""

import os
import re
import threading
import time
from typing import TYPE_CHECKING, Any

from gpualloc.node.costs import Costs
from gpualloc.node.wire import Refused
from gpualloc.node.worker import Hung, Job, Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpualloc.node.gpu import Gpu
    from gpualloc.node.roster import Roster

    Ask = Callable[[Gpu], dict[str, Any]]

DEFAULT_DEADLINE_S = 1.5
"""Short enough that a look at a node with one hung GPU takes less than 2 s."""

_WATCH_S = 0.2

_DRIVER_NOT_LOADED, _LIBRARY_NOT_FOUND, _MISMATCH = 9, 12, 18


def deadline_s() -> float:
    """Seconds a GPU gets to answer: GPUALLOC_NVML_DEADLINE_S when that is a positive number, else 1.5."""
    try:
        value = float(os.environ.get("GPUALLOC_NVML_DEADLINE_S", ""))
    except ValueError:
        return DEFAULT_DEADLINE_S
    return value if 0 < value < 3600 else DEFAULT_DEADLINE_S


class Nvml:
    """The driver library of this process and the GPUs it knows. Begins to open the library when made.

    Args:
        deadline: seconds a GPU gets to answer.
        asked_to_let_go: says why another program needs the driver for itself, or None. Asked before every reading and,
            in a thread of its own, a few times a second: for as long as it says so the library is closed.
    """

    def __init__(self, deadline: float, asked_to_let_go: "Callable[[], str | None] | None" = None) -> None:
        self._deadline_s = deadline
        self._asked_to_let_go = asked_to_let_go or _nobody_asks
        self._opener = Worker("nvml")
        self._opening = self._opener.begin(self._open_when_nobody_asks)
        self._closed = False
        self._use = threading.RLock()
        self._roster: "Roster | None" = None
        self._costs: "Costs | None" = None
        if asked_to_let_go is not None:
            threading.Thread(target=self._watch, name="quiesce", daemon=True).start()

    def status(self) -> "dict[str, Any]":
        """`state` (ok, absent, mismatch, hung or failed), `reason` and the two versions, as the wire's hello tells."""
        try:
            result: "dict[str, Any]" = self._opening.result(self._until())
        except Hung as hung:
            why = self._asked_to_let_go() or "the driver does not answer since %d s" % hung.for_s
            return _status("hung", why)
        return {name: result[name] for name in ("state", "reason", "driver_version", "library_version")}

    def ask(self, what: "Ask", row: "Ask") -> "list[Any]":
        """What each GPU answers, by index; a GPU that does not answer in time gives `row` with its state filled in."""
        with self._use:
            why = self._asked_to_let_go()
            if why is not None:
                rows = [row(gpu) for _, gpu in self._gpus()]
                self._close()
                return [_silent(blank, why, "failed") for blank in rows]
            asked_of = self._opened_gpus(recount=True)
            until_s = self._until()
            asked = [(gpu, worker.begin(_bound(what, gpu))) for worker, gpu in asked_of]
            return [_answer(job, until_s, _bound(row, gpu)) for gpu, job in asked]

    def change(self, uuid: str, action: "Callable[[Gpu], Any]", within_s: float) -> "Any":
        """What `action` gives, in the thread of that GPU; it raises what it raises.

        Raises Refused: there is no such GPU (`gone`), another program needs the driver for itself (`busy`), or the GPU
        did not answer in time (`unhealthy`); the call may then still be under way, and until it returns the GPU
        answers nothing else.
        """
        with self._use:
            why = self._asked_to_let_go()
            if why is not None:
                raise Refused("busy", why)
            worker, gpu = self._named(uuid)
            try:
                return worker.begin(lambda: _acted(gpu, uuid, action)).result(time.monotonic() + within_s)
            except Hung as hung:
                raise Refused("unhealthy", "device %s: the driver does not answer %s" % (uuid, hung)) from None

    def reopen(self) -> None:
        """Let go of every handle and learn the GPUs anew: a change of MIG mode may have given them other minors."""
        with self._use:
            if self._close():
                self._opened_gpus()

    def costs(self) -> "list[dict[str, Any]]":
        """What each group of readings cost so far, as `groups` of the wire's `cost`."""
        return [] if self._costs is None else self._costs.rows()

    def _named(self, uuid: str) -> "tuple[Worker, Gpu]":
        for attempt in ("known", "asked"):
            for worker, gpu in self._opened_gpus():
                if gpu.is_known_as(uuid):
                    return worker, gpu
            if attempt == "known":
                self.ask(lambda gpu: gpu.inventory(), lambda gpu: gpu.blank_inventory())
        raise Refused("gone", "device %s does not exist on this node" % uuid)

    def _opened_gpus(self, recount: bool = False) -> "list[tuple[Worker, Gpu]]":
        if self._closed and not self._opener.busy:
            self._opening = self._opener.begin(_open)
            # What cannot be opened just after a change may be there at the next reading.
            status = self.status()["state"]
            self._closed = status not in ("ok", "hung")
            if self._roster is not None and status == "ok":
                self._roster.reopened(self._count())
        if self._closed:
            return []
        gpus = self._gpus()
        if recount and self._roster is not None:
            self._roster.bring_up_to_date()
            gpus = self._roster.members
        return gpus

    def _gpus(self) -> "list[tuple[Worker, Gpu]]":
        if self._roster is None:
            if self.status()["state"] != "ok":
                return []
            from gpualloc.node.groups import EVERY_S
            from gpualloc.node.roster import Roster  # needs pynvml, which is there only now

            self._costs = Costs(EVERY_S)
            self._roster = Roster(self._count(), self._costs)
        return self._roster.members

    def _count(self) -> int:
        count: int = self._opening.result(self._until())["count"]
        return count

    def _close(self) -> bool:
        """Whether the library is closed now; it stays open under a call that hangs."""
        if self._closed or self.status()["state"] != "ok" or any(worker.busy for worker, _ in self._gpus()):
            return self._closed
        try:
            if self._roster is not None:
                self._roster.let_go(self._until())
            self._opener.begin(_shut_down).result(self._until())
        except Hung:
            return False
        self._closed = True
        return True

    def _open_when_nobody_asks(self) -> "dict[str, Any]":
        while self._asked_to_let_go() is not None:
            time.sleep(_WATCH_S)
        return _open()

    def _watch(self) -> None:
        while self._closed or self.status()["state"] in ("ok", "hung"):
            time.sleep(_WATCH_S)
            if not self._closed and self._asked_to_let_go() is not None:
                with self._use:
                    if self._asked_to_let_go() is not None:
                        self._close()

    def _until(self) -> float:
        return time.monotonic() + self._deadline_s


def _nobody_asks() -> "str | None":
    return None


def _acted(gpu: "Gpu", uuid: str, action: "Callable[[Gpu], Any]") -> Any:
    from gpualloc.node.gpu import Gone  # these need pynvml
    from gpualloc.node.refusals import told

    try:
        with told(gpu, "open it", "the right to open its device file"):
            gpu.opened()
    except Gone as gone:
        raise Refused("gone", "device %s does not exist on this node any more: %s" % (uuid, gone)) from None
    try:
        return action(gpu)
    finally:
        gpu.forget()


def _bound(what: "Callable[[Gpu], dict[str, Any]]", gpu: "Gpu") -> "Callable[[], dict[str, Any]]":
    return lambda: what(gpu)


def _answer(job: "Job", until_s: float, blank: "Callable[[], dict[str, Any]]") -> "dict[str, Any]":
    try:
        answer: "dict[str, Any]" = job.result(until_s)
    except Hung as hung:
        return _silent(blank(), str(hung), "hung")
    return answer


def _silent(row: "dict[str, Any]", why: str, reading: str) -> "dict[str, Any]":
    """A row of a GPU that cannot be asked now."""
    from gpualloc.node.reading import unknown  # needs pynvml

    return dict(row, state="driver not answering", reason=why, unavailable=dict.fromkeys(unknown(row), reading))


def _status(state: str, reason: "str | None") -> "dict[str, Any]":
    return {"state": state, "reason": reason, "driver_version": None, "library_version": None}


def _open() -> "dict[str, Any]":
    """Load the library and start it. Its count of GPUs comes along, since that call may hang like the others."""
    try:
        import pynvml
    except ImportError as error:
        return _status("absent", "nvidia-ml-py cannot be imported: %s" % error)
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return _why_not_open(error)
    try:
        return dict(
            _status("ok", None),
            count=pynvml.nvmlDeviceGetCount(),
            driver_version=pynvml.nvmlSystemGetDriverVersion(),
            library_version=pynvml.nvmlSystemGetNVMLVersion(),
        )
    except pynvml.NVMLError as error:
        _shut_down()
        return _why_not_open(error)


def _shut_down() -> None:
    import pynvml

    try:
        pynvml.nvmlShutdown()
    except pynvml.NVMLError_Uninitialized:
        pass


def _why_not_open(error: Any) -> "dict[str, Any]":
    if error.value == _LIBRARY_NOT_FOUND:
        return _status("absent", "libnvidia-ml.so.1 is not installed")
    if error.value == _DRIVER_NOT_LOADED:
        return _status("absent", "the NVIDIA kernel driver is not loaded")
    if error.value == _MISMATCH:
        driver, library = _kernel_driver_version(), _loaded_library_version()
        told = _status(
            "mismatch",
            "the kernel driver is %s and the library %s: reboot, or reload the driver"
            % (driver or "of an unknown version", library or "of an unknown version"),
        )
        return dict(told, driver_version=driver, library_version=library)
    return _status("failed", str(error))


def _kernel_driver_version() -> "str | None":
    try:
        with open("/proc/driver/nvidia/version", encoding="utf-8", errors="replace") as file:
            found = re.search(r"Kernel Module\s+(?:for \S+\s+)?(\d+(?:\.\d+)+)", file.read(4096))
    except OSError:
        return None
    return found.group(1) if found else None


def _loaded_library_version() -> "str | None":
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
        for line in file:
            found = re.search(r"/libnvidia-ml\.so\.(\d+(?:\.\d+)+)\s*$", line)
            if found:
                return found.group(1)
    return None
