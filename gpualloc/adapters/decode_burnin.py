"""What a node says of a slice of a burn-in."""

from __future__ import annotations

from gpualloc.adapters.fields import Fields
from gpualloc.model.burnin import BurninSlice

_MAX_MIB = 1 << 40


def decode_burnin(result: object) -> BurninSlice:
    """The answer to `burnin`."""
    told = Fields(result, "burnin")
    first = told.record("first_error") if told.has("first_error") else None
    return BurninSlice(
        at_s=told.number("at_s"),
        seconds=told.number("seconds"),
        passes=told.integer("passes"),
        compared_mib=told.integer("compared_mib", 0, _MAX_MIB),
        memory_mib=told.integer("memory_mib" if told.has("memory_mib") else "mib", 0, _MAX_MIB),
        errors=told.integer("errors"),
        first_error=None if first is None else _place(first),
        to_gpu_bytes_per_s=told.number_or_none("to_gpu_bytes_per_s"),
        from_gpu_bytes_per_s=told.number_or_none("from_gpu_bytes_per_s"),
    )


def _place(first: Fields) -> str:
    offset, expected, read = (first.integer(name) for name in ("offset", "expected", "read"))
    return f"{read:#010x} read where {expected:#010x} was written, {offset:#x} bytes in"
