"""Ids of workloads, plans and runs: short enough to type, random, safe in paths and group names."""

from __future__ import annotations

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""32 characters; i, l, o and u are left out because they are misread."""
RANDOM_BYTES = 5
"""Randomness an id carries: 8 characters of 5 bits."""


def new_id(prefix: str, random: bytes) -> str:
    """An id such as `w3k7qd0xh`: the prefix and 8 characters made of the random bytes.

    Args:
        prefix: `w` for a workload, `p` for a plan, `r` for a run, `s` for an order of nodes.
        random: exactly `RANDOM_BYTES` bytes from the system's secure source.

    Raises:
        ValueError: another number of bytes.
    """
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"an id is made of {RANDOM_BYTES} random bytes, not {len(random)}")
    number = int.from_bytes(random, "big")
    return prefix + "".join(ALPHABET[number >> shift & 31] for shift in range(35, -1, -5))
