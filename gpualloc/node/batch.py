"""Many values of a GPU in one call, each with its own error."""

from typing import TYPE_CHECKING, Any

import pynvml

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gpualloc.node.driver import Driver

    Field = int | tuple[int, int]
    """A number NVML_FI_*, or that and what the value is of, such as a link."""

ALL_LINKS = 0xFFFFFFFF
_MOST = 96
"""Fields asked for in one call."""
_MEMBERS = {
    pynvml.NVML_VALUE_TYPE_DOUBLE: "dVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_INT: "uiVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG: "ulVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG: "ullVal",
    pynvml.NVML_VALUE_TYPE_SIGNED_LONG_LONG: "sllVal",
    getattr(pynvml, "NVML_VALUE_TYPE_SIGNED_INT", 5): "siVal",
    getattr(pynvml, "NVML_VALUE_TYPE_UNSIGNED_SHORT", 6): "usVal",
}
_ABSENT = (pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_FUNCTION_NOT_FOUND, pynvml.NVML_ERROR_INVALID_ARGUMENT)
"""A driver does not know fields that are younger than itself."""


class Batch:
    """The answers to a list of fields, asked for at once.

    Args:
        driver: whose.
        group: what the call is counted under.
        fields: what is asked for; none asks nothing.
    """

    def __init__(self, driver: "Driver", group: str, fields: "Sequence[Field]") -> None:
        self._answers: "dict[Field, Any]" = {}
        for first in range(0, len(fields), _MOST):
            asked = tuple(fields[first : first + _MOST])
            try:
                told = driver.ask(group, "nvmlDeviceGetFieldValues", asked)
            except pynvml.NVMLError as error:
                self._answers.update(dict.fromkeys(asked, error))
            else:
                self._answers.update((field, _answer(told[place])) for place, field in enumerate(asked))

    def value(self, field: "Field", otherwise: "Callable[[], Any] | None" = None) -> Any:
        """One value; `otherwise` is another way to read it where the driver has no such field. Raises NVMLError."""
        answer = self._answers[field]
        if isinstance(answer, pynvml.NVMLError):
            if otherwise is not None and answer.value in _ABSENT:
                return otherwise()
            if answer.value in _ABSENT:
                raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
            raise answer
        return answer


def _answer(told: Any) -> Any:
    """The number, or the error in its place."""
    if told.nvmlReturn != pynvml.NVML_SUCCESS:
        return pynvml.NVMLError(told.nvmlReturn)
    member = _MEMBERS.get(told.valueType)
    return pynvml.NVMLError(pynvml.NVML_ERROR_UNKNOWN) if member is None else getattr(told.value, member)
