"""Where the kernel counts the memory of a process's group."""

import os

import pytest

from gpualloc.node.group_memory import memory_used_mib

V1 = "cgroup {root} cgroup rw,memory 0 0\n"
V2 = "cgroup2 {root} cgroup2 rw 0 0\n"


@pytest.mark.parametrize(
    ("mounts", "groups", "file"),
    [
        (V1, "4:memory:/gpualloc/w1\n0::/\n", "gpualloc/w1/memory.usage_in_bytes"),
        (V1, "9:name=systemd:/x\n4:cpu,memory:/gpualloc/w1\n", "gpualloc/w1/memory.usage_in_bytes"),
        (V2, "0::/gpualloc.slice/w1.scope\n", "gpualloc.slice/w1.scope/memory.current"),
    ],
)
def test_both_versions_tell(tmp_path, mounts, groups, file):
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(f"{(70 << 20) + 5}\n")
    assert memory_used_mib(os.getpid(), mounts.format(root=tmp_path), groups) == 70


def test_where_nobody_counts_it_is_unknown(tmp_path):
    assert memory_used_mib(os.getpid(), V2.format(root=tmp_path), "0::/\n") is None
    assert memory_used_mib(os.getpid(), "", "4:memory:/\n") is None
    assert memory_used_mib(2**22 + 1) is None
