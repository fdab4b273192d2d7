"""The work of one slice of a burn-in: patterns are written to memory and compared with what is read back.

    {"part": "host-memory", "mib": 1024, "seconds": 10, "round": 0}  ->  {"found": {...}}
                                                                     |   {"refused": "memory", "message": "..."}

Of a GPU also the speed of copies over its bus. Everything that was taken is given back by the end of the process.
"""

import ctypes
import json
import mmap
import os
import signal
import struct
import sys
import time
from typing import TYPE_CHECKING, Any

from gpualloc.node.burnin import HOST_MEMORY
from gpualloc.node.cuda import OUT_OF_MEMORY, SONAME, CudaError, CudaMissing

if TYPE_CHECKING:
    from collections.abc import Callable

PATTERNS = (0x00000000, 0xFFFFFFFF, 0xAAAAAAAA, 0x55555555, 0x0F0F0F0F, 0xDEADBEEF)
"""What is written, round by round; the number of the block is mixed in, so that two that are one are seen."""
HOST_BLOCK = 1 << 20
GPU_BLOCK = 64 << 20
COPY_BYTES = 64 << 20
COPIES = 4
"""How often the copy is timed in each direction; the fastest counts."""
GPU_RESERVE_MIB = 512
"""Left to the driver."""

_MIX = 0x9E3779B9
_PR_SET_PDEATHSIG = 1
_LIBC: Any = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Read what is asked from stdin, do it, tell what was found."""
    _be_the_first_to_go()
    asked = json.loads(sys.stdin.readline())
    answer: "dict[str, Any]" = {}
    try:
        answer["found"] = check_host(asked) if asked["part"] == HOST_MEMORY else check_gpu(asked)
    except CudaMissing as missing:
        answer = {"refused": "not-supported", "message": str(missing)}
    except CudaError as error:
        reason = "memory" if error.code == OUT_OF_MEMORY else "failed"
        answer = {"refused": reason, "message": str(error)}
    except (OSError, MemoryError) as error:
        answer = {"refused": "memory", "message": "the memory could not be taken: %s" % error}
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
    os._exit(0)


def check_host(asked: "dict[str, Any]") -> "dict[str, Any]":
    """Write and compare memory of the host until the time is over, the whole of it at least once."""
    found = _Found(asked)
    size = asked["mib"] << 20
    with mmap.mmap(-1, size) as region:
        anchor = ctypes.c_char.from_buffer(region)
        first = ctypes.addressof(anchor)
        while found.goes_on():
            pattern = found.pattern()
            for at in range(size // HOST_BLOCK):
                words = struct.pack("<I", _word(pattern, at)) * (HOST_BLOCK // 4)
                ctypes.memmove(first + at * HOST_BLOCK, words, HOST_BLOCK)
            for at in range(size // HOST_BLOCK):
                offset = at * HOST_BLOCK
                found.compare(first + offset, _word(pattern, at), HOST_BLOCK, offset)
            found.passes += 1
        # A region that is still pointed to cannot be closed.
        del anchor
    return found.told()


def check_gpu(asked: "dict[str, Any]") -> "dict[str, Any]":
    """Time copies over the bus, then write and compare memory of the GPU until the time is over, at least a block."""
    found = _Found(asked)
    gpu = Gpu()
    buffer = gpu.host_memory(GPU_BLOCK)
    free_mib = (gpu.free_bytes() >> 20) - GPU_RESERVE_MIB
    mib = min(asked["mib"], free_mib)
    blocks = gpu.take(mib << 20)
    if not blocks:
        raise CudaError("cuMemAlloc_v2", OUT_OF_MEMORY)
    told = {
        "to_gpu_bytes_per_s": _speed(lambda: gpu.write(blocks[0], buffer, COPY_BYTES)),
        "from_gpu_bytes_per_s": _speed(lambda: gpu.read(buffer, blocks[0], COPY_BYTES)),
        "memory_mib": len(blocks) * (GPU_BLOCK >> 20),
    }
    # Each slice begins elsewhere, so that short ones come round to everything.
    start = asked["round"] * len(blocks) // 7 % len(blocks)
    order = [(start + at) % len(blocks) for at in range(len(blocks))]
    while found.goes_on():
        pattern = found.pattern()
        for at in order:
            gpu.fill(blocks[at], _word(pattern, at), GPU_BLOCK)
        for at in order:
            gpu.read(buffer, blocks[at], GPU_BLOCK)
            found.compare(buffer, _word(pattern, at), GPU_BLOCK, at * GPU_BLOCK)
            if found.late():
                break
        else:
            found.passes += 1
    told.update(found.told())
    return told


class Gpu:
    """The first GPU that CUDA shows this process: CUDA_VISIBLE_DEVICES names it. Raises CudaMissing, CudaError."""

    def __init__(self) -> None:
        try:
            self._library: Any = ctypes.CDLL(SONAME)
        except OSError as error:
            raise CudaMissing("%s cannot be loaded: %s" % (SONAME, error)) from error
        self._call("cuInit", ctypes.c_uint(0))
        device, context = ctypes.c_int(0), ctypes.c_void_p()
        self._call("cuDeviceGet", ctypes.byref(device), ctypes.c_int(0))
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._call("cuCtxSetCurrent", context)

    def free_bytes(self) -> int:
        """Memory that can be had."""
        free, total = ctypes.c_size_t(0), ctypes.c_size_t(0)
        self._call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value

    def host_memory(self, size: int) -> int:
        """Address of host memory that the GPU reads and writes directly."""
        address = ctypes.c_void_p()
        self._call("cuMemAllocHost_v2", ctypes.byref(address), ctypes.c_size_t(size))
        return address.value or 0

    def take(self, size: int) -> "list[int]":
        """Blocks of GPU memory, together at most so large; fewer where there is less."""
        blocks: "list[int]" = []
        while (len(blocks) + 1) * GPU_BLOCK <= size:
            address = ctypes.c_uint64(0)
            try:
                self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(GPU_BLOCK))
            except CudaError as error:
                if error.code != OUT_OF_MEMORY:
                    raise
                break
            blocks.append(address.value)
        return blocks

    def fill(self, block: int, word: int, size: int) -> None:
        """Let a block hold this word of 32 bits again and again."""
        self._call("cuMemsetD32_v2", ctypes.c_uint64(block), ctypes.c_uint(word), ctypes.c_size_t(size // 4))

    def write(self, block: int, address: int, size: int) -> None:
        """Copy from the host; returns when it is done."""
        self._call("cuMemcpyHtoD_v2", ctypes.c_uint64(block), ctypes.c_void_p(address), ctypes.c_size_t(size))

    def read(self, address: int, block: int, size: int) -> None:
        """Copy to the host; returns when it is done, and so is all that was begun before."""
        self._call("cuMemcpyDtoH_v2", ctypes.c_void_p(address), ctypes.c_uint64(block), ctypes.c_size_t(size))

    def _call(self, name: str, *args: Any) -> None:
        try:
            function = getattr(self._library, name)
        except AttributeError as error:
            raise CudaMissing("%s has no %s" % (SONAME, name)) from error
        code = function(*args)
        if code != 0:
            raise CudaError(name, code)


class _Found:
    """What a slice came to so far."""

    def __init__(self, asked: "dict[str, Any]") -> None:
        self._began_s = time.monotonic()
        self._until_s: float = self._began_s + asked["seconds"]
        self._round = asked["round"]
        self.passes = 0
        self.compared = 0
        self._begun = 0
        self._errors = 0
        self._first: "dict[str, int] | None" = None

    def late(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self._until_s

    def goes_on(self) -> bool:
        """Whether another pass is due: the first always is begun, and none after an error."""
        return self._begun == 0 or not (self._errors or self.late())

    def pattern(self) -> int:
        """What the next pass writes."""
        pattern = PATTERNS[(self._round + self._begun) % len(PATTERNS)]
        self._begun += 1
        return pattern

    def compare(self, address: int, word: int, size: int, offset: int) -> None:
        """Compare memory with the word that was written all over it."""
        self.compared += size
        same = _same_words(address, word, size)
        if same == size:
            return
        self._errors += 1
        if self._first is None:
            read = ctypes.c_uint32.from_address(address + same).value
            self._first = {"offset": offset + same, "expected": word, "read": read}

    def told(self) -> "dict[str, Any]":
        """As the wire says it."""
        return {
            "passes": self.passes,
            "compared_mib": self.compared >> 20,
            "errors": self._errors,
            "first_error": self._first,
            "seconds": round(time.monotonic() - self._began_s, 3),
        }


def _be_the_first_to_go() -> None:
    """Give way to everything else on the host, and end with the program that began this."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    os.nice(10)
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("1000")
    except OSError:
        return  # a kernel without it kills whom it likes


def _word(pattern: int, block: int) -> int:
    return (pattern ^ block * _MIX) & 0xFFFFFFFF


def _same_words(address: int, word: int, size: int) -> int:
    """How many bytes from there on hold the word again and again: `size` where all do."""
    if ctypes.c_uint32.from_address(address).value != word:
        return 0
    # Each word is compared with the one before it, so that nothing else has to lie in memory.
    if _alike(address, size - 4):
        return size
    known, wrong = 4, size
    while wrong - known > 4:
        middle = (known + wrong) // 8 * 4
        if _alike(address, middle - 4):
            known = middle
        else:
            wrong = middle
    return known


def _alike(address: int, size: int) -> bool:
    """Whether so many bytes are those that begin a word later."""
    return bool(_LIBC.memcmp(ctypes.c_void_p(address), ctypes.c_void_p(address + 4), ctypes.c_size_t(size)) == 0)


def _speed(copy: "Callable[[], None]") -> float:
    """Bytes per second of the fastest of some copies."""
    best_s = float("inf")
    for _ in range(COPIES):
        began_s = time.monotonic()
        copy()
        best_s = min(best_s, time.monotonic() - began_s)
    return round(COPY_BYTES / max(best_s, 1e-9))
