"""Evaluates nvidia-ml-py expressions, one per line of stdin, and answers each with one line of JSON."""

from __future__ import annotations

import ctypes
import json
import os
import sys
import threading
from typing import Any

import pynvml
from pynvml import *  # noqa: F403

try:
    from fakes.nvml_moves import *  # noqa: F403
except ImportError:
    pass  # only some callers put them on the path

kept: dict[str, Any] = {}
thread_answer: Any = None
_thread: threading.Thread | None = None


def gpu(index: int) -> Any:
    return pynvml.nvmlDeviceGetHandleByIndex(index)


def mig(index: int, number: int) -> Any:
    return pynvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu(index), number)


def place(index: int, gi: int) -> list[int]:
    info = pynvml.nvmlGpuInstanceGetInfo(pynvml.nvmlDeviceGetGpuInstanceById(gpu(index), gi))
    return [info.profileId, info.placement.start, info.placement.size]


def placements(index: int, profile: int) -> list[list[int]]:
    count = ctypes.c_uint(0)
    pynvml.nvmlDeviceGetGpuInstancePossiblePlacements(gpu(index), profile, None, ctypes.byref(count))
    places = (pynvml.c_nvmlGpuInstancePlacement_t * count.value)()
    pynvml.nvmlDeviceGetGpuInstancePossiblePlacements(gpu(index), profile, places, ctypes.byref(count))
    return [[place.start, place.size] for place in places]


def keep(name: str, value: Any) -> bool:
    kept[name] = value
    return True


def in_thread(expression: str) -> str:
    global _thread

    def work() -> None:
        global thread_answer
        thread_answer = evaluate(expression)

    _thread = threading.Thread(target=work, daemon=True)
    _thread.start()
    return "started"


def joined_answer() -> Any:
    assert _thread is not None
    _thread.join(timeout=60)
    return thread_answer


def forked(expression: str) -> Any:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, json.dumps(evaluate(expression)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    return json.loads(os.read(reading, 4096))


def evaluate(expression: str) -> Any:
    try:
        return eval(expression)
    except (pynvml.NVMLError, pynvml.NVMLLibraryMismatchError) as error:
        return {"error": type(error).__name__}


def main() -> None:
    start = evaluate("nvmlInit()")
    for line in sys.stdin:
        print(json.dumps(start or evaluate(line)), flush=True)


main()
