"""How much memory the control group of a process uses, whichever version and whoever made the group."""

from gpualloc.node.group_files import read_value


def memory_used_mib(pid: int, mounts: "str | None" = None, groups: "str | None" = None) -> "int | None":
    """MiB in use in the group of that process; None where no memory controller counts it.

    Args:
        pid: a process of the group.
        mounts: content of /proc/self/mounts; read when None.
        groups: content of the process's /proc/<pid>/cgroup; read when None.
    """
    roots = _roots(read_value("/proc/self/mounts") or "" if mounts is None else mounts)
    groups = read_value("/proc/%d/cgroup" % pid) or "" if groups is None else groups
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        for version, file in (("memory", "memory.usage_in_bytes"), ("", "memory.current")):
            if version in controllers.split(",") and version in roots:
                used = read_value(roots[version] + path.rstrip("/") + "/" + file)
                if used is not None and used.isdigit():
                    return int(used) >> 20
    return None


def _roots(mounts: str) -> "dict[str, str]":
    """Where the hierarchies are that count memory: `memory` of version 1, the empty name of version 2."""
    found: "dict[str, str]" = {}
    for line in mounts.splitlines():
        _, path, kind, options = line.split()[:4]
        if kind == "cgroup2":
            found.setdefault("", path)
        elif kind == "cgroup" and "memory" in options.split(","):
            found.setdefault("memory", path)
    return found
