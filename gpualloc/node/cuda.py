"""The checkpoint functions of the CUDA driver, through ctypes on `libcuda.so.1`.

Made for one process at a time, outside of it: lock (no new CUDA calls, the work under way ends), checkpoint (GPU
memory goes to host memory, the GPU is let go), restore, unlock. Drivers since 570 have them.
"""

import ctypes
from typing import Any

SONAME = "libcuda.so.1"

RUNNING, LOCKED, CHECKPOINTED, FAILED = "running", "locked", "checkpointed", "failed"
STATES = (RUNNING, LOCKED, CHECKPOINTED, FAILED, "checkpointing", "restoring")
"""States of a process by the driver's number; the last two last only as long as a call does."""

CHECKPOINT_VERSION = 12080
"""What cuDriverGetVersion tells from driver 570 on."""
REMAP_VERSION = 13000
"""What it tells from driver 580 on: a process can be restored on another GPU of the same type."""

INVALID_VALUE, OUT_OF_MEMORY, NOT_INITIALIZED = 1, 2, 3
OPERATING_SYSTEM, ILLEGAL_STATE, NOT_READY, NOT_PERMITTED, NOT_SUPPORTED = 304, 401, 600, 800, 801

_MEANINGS = {
    INVALID_VALUE: ("CUDA_ERROR_INVALID_VALUE", "not a CUDA process, or an argument the driver does not take"),
    OUT_OF_MEMORY: ("CUDA_ERROR_OUT_OF_MEMORY", "too little memory; processes on MIG instances end in this too"),
    NOT_INITIALIZED: ("CUDA_ERROR_NOT_INITIALIZED", "CUDA was not begun"),
    100: ("CUDA_ERROR_NO_DEVICE", "the driver shows no GPU here"),
    201: ("CUDA_ERROR_INVALID_CONTEXT", "the process has no usable context"),
    OPERATING_SYSTEM: ("CUDA_ERROR_OPERATING_SYSTEM", "a call of the operating system failed"),
    ILLEGAL_STATE: ("CUDA_ERROR_ILLEGAL_STATE", "the process is not in the state this needs"),
    NOT_READY: ("CUDA_ERROR_NOT_READY", "work on the GPU did not end in time"),
    NOT_PERMITTED: ("CUDA_ERROR_NOT_PERMITTED", "this account may not do that to the process"),
    NOT_SUPPORTED: (
        "CUDA_ERROR_NOT_SUPPORTED",
        "not for this process: managed memory, MPS, memory shared between processes, or this kind of host",
    ),
    803: ("CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "library and kernel driver differ: reboot, or reload the driver"),
    999: ("CUDA_ERROR_UNKNOWN", "the driver does not say why"),
}

_UUID_PREFIX = "GPU-"


class Uuid(ctypes.Structure):
    """CUuuid."""

    _fields_ = [("bytes", ctypes.c_ubyte * 16)]


class LockArgs(ctypes.Structure):
    """CUcheckpointLockArgs; a timeout of 0 waits for ever."""

    _fields_ = [
        ("timeout_ms", ctypes.c_uint32),
        ("reserved0", ctypes.c_uint32),
        ("reserved1", ctypes.c_uint64 * 7),
    ]


class CheckpointArgs(ctypes.Structure):
    """CUcheckpointCheckpointArgs; all zero: the memory goes to the host."""

    _fields_ = [("reserved", ctypes.c_uint64 * 8)]


class GpuPair(ctypes.Structure):
    """CUcheckpointGpuPair."""

    _fields_ = [("old", Uuid), ("new", Uuid)]


class RestoreArgs(ctypes.Structure):
    """CUcheckpointRestoreArgs; drivers before 580 take zeroes only."""

    _fields_ = [
        ("pairs", ctypes.POINTER(GpuPair)),
        ("pairs_count", ctypes.c_uint32),
        ("padding", ctypes.c_uint32),
        ("custom_storage", ctypes.c_void_p),
        ("reserved", ctypes.c_ubyte * 40),
    ]


class UnlockArgs(ctypes.Structure):
    """CUcheckpointUnlockArgs."""

    _fields_ = [("reserved", ctypes.c_uint64 * 8)]


class CudaError(Exception):
    """A function of the driver answered something else than success; `code` is its CUresult."""

    def __init__(self, function: str, code: int) -> None:
        name, meaning = _MEANINGS.get(code, ("CUresult %d" % code, "the driver's documentation tells what that is"))
        super().__init__("%s: %s (%d): %s" % (function, name, code, meaning))
        self.function = function
        self.code = code


class CudaMissing(Exception):
    """The library, or the part of it that suspends, is not on this host."""


class Cuda:
    """The driver library of this process. Raises CudaMissing, or CudaError when it cannot be begun.

    Begins CUDA, which a restore needs where persistence mode is off; it makes no context, so no GPU memory is used,
    but the devices stay open until the process ends.
    """

    def __init__(self) -> None:
        try:
            self._library: Any = ctypes.CDLL(SONAME)
        except OSError as error:
            raise CudaMissing("%s cannot be loaded: %s" % (SONAME, error)) from error
        self._call("cuInit", ctypes.c_uint(0))
        version = self.version()
        if version < CHECKPOINT_VERSION:
            told = version // 1000, version % 1000 // 10
            raise CudaMissing("driver >= 570 needed: this one is of CUDA %d.%d" % told)

    def version(self) -> int:
        """CUDA version of the driver: major * 1000 + minor * 10."""
        version = ctypes.c_int(0)
        self._call("cuDriverGetVersion", ctypes.byref(version))
        return version.value

    def state(self, pid: int) -> "str | None":
        """State of a process, one of STATES; None when it has nothing to do with CUDA, or is gone."""
        state = ctypes.c_int(-1)
        try:
            self._call("cuCheckpointProcessGetState", ctypes.c_int(pid), ctypes.byref(state))
        except CudaError as error:
            if error.code in (INVALID_VALUE, NOT_INITIALIZED):
                return None
            raise
        if not 0 <= state.value < len(STATES):
            raise CudaError("cuCheckpointProcessGetState answered state %d" % state.value, 999)
        return STATES[state.value]

    def lock(self, pid: int, timeout_ms: int) -> None:
        """RUNNING to LOCKED; NOT_READY after the time (> 0), and the process goes on."""
        args = LockArgs(timeout_ms=timeout_ms)
        self._call("cuCheckpointProcessLock", ctypes.c_int(pid), ctypes.byref(args))

    def checkpoint(self, pid: int) -> None:
        """LOCKED to CHECKPOINTED."""
        args = CheckpointArgs()
        self._call("cuCheckpointProcessCheckpoint", ctypes.c_int(pid), ctypes.byref(args))

    def restore(self, pid: int, pairs: "list[list[str]]") -> None:
        """CHECKPOINTED to LOCKED; `pairs` of old and new UUID, empty: where it was."""
        args = RestoreArgs()
        table = (GpuPair * len(pairs))(*[GpuPair(uuid(old), uuid(new)) for old, new in pairs])
        if pairs:
            args.pairs, args.pairs_count = table, len(pairs)
        self._call("cuCheckpointProcessRestore", ctypes.c_int(pid), ctypes.byref(args))

    def unlock(self, pid: int) -> None:
        """LOCKED to RUNNING."""
        args = UnlockArgs()
        self._call("cuCheckpointProcessUnlock", ctypes.c_int(pid), ctypes.byref(args))

    def _call(self, name: str, *args: Any) -> None:
        try:
            function = getattr(self._library, name)
        except AttributeError as error:
            raise CudaMissing("driver >= 570 needed: %s has no %s" % (SONAME, name)) from error
        code = function(*args)
        if code != 0:
            raise CudaError(name, code)


def uuid(text: str) -> "Uuid":
    """The 16 bytes of a GPU's UUID as NVML writes it; raises ValueError."""
    if not text.startswith(_UUID_PREFIX):
        raise ValueError("%r is not the UUID of a whole GPU" % text)
    raw = bytes.fromhex(text[len(_UUID_PREFIX) :].replace("-", ""))
    if len(raw) != 16:
        raise ValueError("%r is not the UUID of a whole GPU" % text)
    return Uuid((ctypes.c_ubyte * 16)(*raw))
