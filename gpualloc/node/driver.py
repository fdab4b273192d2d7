"""Calls about one opened GPU: each measured, asked once more when the driver stumbles, and not asked for in vain."""

import time
from typing import TYPE_CHECKING, Any

import pynvml

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpualloc.node.costs import Costs

    Function = Callable[..., Any] | str

_AGAIN_S = 60.0
"""What the driver did not have may have come with another mode: it is asked for again once a minute."""
_ABSENT = (pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)


class Driver:
    """What nvidia-ml-py answers about one GPU.

    Args:
        handle: the opened GPU.
        costs: where each call is counted.
    """

    def __init__(self, handle: Any, costs: "Costs") -> None:
        self.handle = handle
        self._costs = costs
        self._absent: "dict[Any, tuple[int, float]]" = {}

    def ask(self, group: str, function: "Function", *arguments: Any) -> Any:
        """What a function, or the one of that name, answers for this GPU; raises NVMLError.

        A function that nvidia-ml-py or the driver lacks raises like one that is not supported. Either is remembered.
        """
        code, since_s = self._absent.get((function, arguments), (0, 0.0))
        if code and time.monotonic() - since_s < _AGAIN_S:
            raise pynvml.NVMLError(code)
        try:
            return measured(self._costs, group, function, self.handle, *arguments)
        except pynvml.NVMLError as error:
            if error.value in _ABSENT:
                self._absent[(function, arguments)] = error.value, time.monotonic()
            raise

    def ask_of(self, handle: Any, group: str, function: "Function", *arguments: Any) -> Any:
        """The same for another handle, such as a MIG instance's; nothing is remembered."""
        return measured(self._costs, group, function, handle, *arguments)

    def forget(self) -> None:
        """Ask anew for what was not there: the mode of the GPU changed."""
        self._absent = {}


def measured(costs: "Costs", group: str, function: "Function", *arguments: Any) -> Any:
    """What the function of nvidia-ml-py answers; raises NVMLError."""
    call = function if callable(function) else getattr(pynvml, function, None)
    if call is None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)
    try:
        return _timed(costs, group, call, arguments)
    except pynvml.NVMLError_Unknown:
        # Often over at the next call.
        return _timed(costs, group, call, arguments)


def _timed(costs: "Costs", group: str, call: "Callable[..., Any]", arguments: "tuple[Any, ...]") -> Any:
    began_s = time.perf_counter()
    try:
        return call(*arguments)
    except pynvml.NVMLLibraryMismatchError:
        # No NVMLError: nvidia-ml-py's way to say that a function of an older layout is missing.
        raise pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND) from None
    finally:
        costs.add(group, time.perf_counter() - began_s)
