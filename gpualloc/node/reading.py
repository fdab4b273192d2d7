"""One row of readings while it is filled in: each value stands alone, and what is None has its reason.

A name with a dot is a field of a part: `ecc.remap_pending` is `remap_pending` of the record `ecc`.
"""

from typing import TYPE_CHECKING, Any

import pynvml

if TYPE_CHECKING:
    from collections.abc import Callable

_REASONS = {
    pynvml.NVML_ERROR_NOT_SUPPORTED: "not supported",
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: "not supported",
    pynvml.NVML_ERROR_NO_PERMISSION: "no permission",
    pynvml.NVML_ERROR_GPU_IS_LOST: "lost",
}
_STATES = {
    pynvml.NVML_ERROR_GPU_IS_LOST: "GPU lost",
    pynvml.NVML_ERROR_RESET_REQUIRED: "needs reset",
}
_PASSING = frozenset(("failed", "not yet"))
"""Reasons that may be over at the next look."""


def reason_of(error: Any) -> str:
    """The word of the wire for why an NVMLError leaves a reading None."""
    return _REASONS.get(error.value, "failed")


def state_of(error: Any) -> "str | None":
    """What an NVMLError says about the whole GPU; None when it says nothing about it."""
    return _STATES.get(error.value)


def unknown(row: "dict[str, Any]") -> "list[str]":
    """The names of the values of a row that are None, those of its parts with a dot."""
    names = []
    for name, value in row.items():
        if isinstance(value, dict):
            names += ["%s.%s" % (name, field) for field, part in value.items() if part is None]
        elif value is None and name != "reason":
            names.append(name)
    return names


class Reading:
    """A row of one GPU, or a piece of it. `row` holds what is known so far with `state`, `reason`, `unavailable`."""

    def __init__(self, row: "dict[str, Any] | None" = None) -> None:
        self.row = dict(row or {}, state="ok", reason=None, unavailable={})
        self._known = 0

    @property
    def ok(self) -> bool:
        """Whether nothing was said against the GPU as a whole."""
        return bool(self.row["state"] == "ok")

    @property
    def lasting(self) -> bool:
        """Whether the same would be read again in a moment: nothing failed, and nothing waits for a second look."""
        return self.ok and _PASSING.isdisjoint(self.row["unavailable"].values())

    def number(self, name: str, function: "Callable[[], Any]", low: float, high: float) -> None:
        """Fill a number in, or the reason why it is None; one that is out of the range cannot be."""
        try:
            value = function()
        except pynvml.NVMLError as error:
            self.failed(name, error)
            return
        if low <= value <= high:
            self.put(name, value)
            self._known += 1
        else:
            self.miss(name, "implausible")

    def value(self, name: str, function: "Callable[[], Any]") -> None:
        """Fill in a value that is no number, or the reason why it is None."""
        try:
            self.put(name, function())
        except pynvml.NVMLError as error:
            self.failed(name, error)

    def flag(self, name: str, function: "Callable[[], Any]") -> None:
        """Fill in yes or no from a number that is 1 or 0."""
        self.number(name, function, 0, 1)
        if name not in self.row["unavailable"]:
            self.put(name, bool(self.get(name)))

    def put(self, name: str, value: Any) -> None:
        """Set a value that is known."""
        record, field = self._record(name)
        record[field] = value

    def get(self, name: str) -> Any:
        """A value filled in before."""
        record, field = self._record(name)
        return record[field]

    def miss(self, name: str, reason: str) -> None:
        """Leave a value out for that reason."""
        self.put(name, None)
        self.row["unavailable"][name] = reason

    def failed(self, name: str, error: Any) -> None:
        """Leave a value out for an NVMLError, and take over what that says about the whole GPU."""
        self.fail(error)
        self.miss(name, reason_of(error))

    def fail(self, error: Any) -> None:
        """Take over what an NVMLError says about the whole GPU, if it does."""
        state = state_of(error)
        if state is not None:
            self.row.update(state=state, reason=str(error))

    def take(self, piece: "Reading") -> None:
        """Fill in all that was read in a piece."""
        for name, value in piece.row.items():
            if name == "unavailable":
                self.row[name].update(value)
            elif name not in ("state", "reason"):
                self.row[name] = dict(self.row.get(name) or {}, **value) if isinstance(value, dict) else value
        self.stand_as(piece)
        self._known += piece._known

    def stand_as(self, piece: "Reading") -> None:
        """Take over what a piece says about the whole GPU, if it does."""
        if not piece.ok:
            self.row.update(state=piece.row["state"], reason=piece.row["reason"])

    def in_mig_mode(self, names: "frozenset[str]") -> None:
        """What the driver does not support of these is left out because of MIG mode."""
        for name, reason in self.row["unavailable"].items():
            if reason == "not supported" and name in names:
                self.row["unavailable"][name] = "mig"

    def judge(self) -> None:
        """Once all is read: a GPU that told nothing for want of permission is in that state."""
        reasons = set(self.row["unavailable"].values()) - {"not supported", "not yet"}
        if self.ok and not self._known and reasons == {"no permission"}:
            self.row.update(state="no permission", reason="the driver tells this account nothing of it")

    def _record(self, name: str) -> "tuple[dict[str, Any], str]":
        part, _, field = name.rpartition(".")
        return (self.row.setdefault(part, {}), field) if part else (self.row, name)
