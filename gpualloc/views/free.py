"""What could be had now, in one line."""

from __future__ import annotations

from gpualloc.views.text import escape, memory, plural

Largest = tuple[str, int]
"""A node and its number of free devices."""


def free_data(
    gpus: int, largest_on_one_node: Largest | None, memory_mib_largest: int | None, *, simulated: bool
) -> dict[str, object]:
    """`data` of `free --json`."""
    return {
        "simulated": simulated,
        "gpus": gpus,
        "largest_on_one_node": (
            None if largest_on_one_node is None else {"node": largest_on_one_node[0], "gpus": largest_on_one_node[1]}
        ),
        "memory_mib_largest": memory_mib_largest,
    }


def free_text(
    gpus: int, largest_on_one_node: Largest | None, memory_mib_largest: int | None, *, simulated: bool
) -> str:
    """The line."""
    said = " (simulated)" if simulated else ""
    if not gpus:
        return f"no whole GPU is free{said}"
    parts = [f"{plural(gpus, 'GPU')} free{said}"]
    if largest_on_one_node is not None:
        parts.append(f"up to {largest_on_one_node[1]} together on {escape(largest_on_one_node[0])}")
    if memory_mib_largest is not None:
        parts.append(f"up to {memory(memory_mib_largest)} free on one GPU")
    return ", ".join(parts)
