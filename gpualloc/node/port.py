"""A port that leads out of the host, and the small files in which /sys tells of it."""

from typing import Any

_MAX_BYTES = 4096


class Port:
    """A network interface or a port of an RDMA adapter, as it was read.

    Args:
        name: `eth0`, or `mlx5_0/1`.
        kind: `ethernet`, `infiniband` or `roce`.
        up: whether it has a link; None when that is not told.
        speed_bytes_per_s: of the link as it is now; None when that is not told.
        counters: `rx` and `tx` in bytes, and `errors`; what is not counted is left out.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        up: "bool | None",
        speed_bytes_per_s: "float | None",
        counters: "dict[str, int]",
    ) -> None:
        self.name = name
        self.kind = kind
        self.up = up
        self.speed_bytes_per_s = speed_bytes_per_s
        self.counters = counters

    def row(self) -> "dict[str, Any]":
        """Its row in `sample` of docs/wire.md, without rates."""
        return {"name": self.name, "kind": self.kind, "up": self.up, "speed_bytes_per_s": self.speed_bytes_per_s}


def read_text(path: str) -> "str | None":
    """What the file holds, without white space around it; None when it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(_MAX_BYTES).decode("utf-8", "replace").strip()
    except OSError:
        return None


def read_number(path: str) -> "int | None":
    """The whole number in the file; None when it cannot be read or holds something else."""
    try:
        return int(read_text(path) or "")
    except ValueError:
        return None
