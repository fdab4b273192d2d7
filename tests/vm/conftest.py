"""A virtual node with the node program's code in it, and ways to ask the groups of that node."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from vm.image import image
from vm.qemu import Guest, started

REPOSITORY = Path(__file__).parents[2]
CODE = "/opt/gpualloc"
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"

ASK = """
import json, sys
sys.path.insert(0, sys.argv[1])
from gpualloc.node import cgroup, cgroup2, device_rule
groups = cgroup2.Cgroup2("/sys/fs/cgroup") if sys.argv[2] == "v2" else cgroup.probe()
told = []
for name, *arguments in json.loads(sys.argv[3]):
    if name in ("restrict", "expected"):
        arguments[-1] = device_rule.from_json(arguments[-1])
    try:
        told.append(getattr(groups, name) if name == "mode" else getattr(groups, name)(*arguments))
    except OSError as error:
        told.append({"error": str(error)})
print(json.dumps(told))
"""


class Node:
    """The guest as a node: what its groups say, and processes to put into them."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest

    def ask(self, *calls: tuple, user: str = "root", backend: str = "probed") -> list:
        """Call methods of the back end, each `(name, *arguments)`; what each answered, or {"error": why}."""
        done = self.guest.run("python3", "-c", ASK, CODE, backend, json.dumps(calls), user=user)
        return json.loads(done.stdout)

    def sleeper(self, user: str = "root") -> int:
        """Start a process that does nothing; its pid."""
        script = "sleep 3600 >/dev/null 2>&1 </dev/null & echo $!"
        return int(self.guest.run("setsid", "sh", "-c", script, user=user).stdout)

    def file(self, path: str) -> str:
        """Content of a file of the guest."""
        return self.guest.run("cat", path).stdout

    def units(self, user: str = "root") -> list[str]:
        """Units of gpualloc that systemd knows, in whatever state."""
        own = ["--user"] if user != "root" else []
        command = ["systemctl", *own, "list-units", "--all", "--plain", "--no-legend", "gpualloc*"]
        return sorted(line.split()[0] for line in self.guest.run(*command, user=user).stdout.splitlines())

    def traces(self) -> str:
        """Files that systemd keeps of units of gpualloc, for any account."""
        return self.guest.run("find", "/run/systemd", "/run/user", "-name", "*gpualloc*").stdout


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """A node that has just booted."""
    with started(image()) as guest:
        guest.put(REPOSITORY / "gpualloc" / "node", f"{CODE}/gpualloc/node")
        guest.put(REPOSITORY / "gpualloc" / "__init__.py", f"{CODE}/gpualloc")
        yield Node(guest)


@pytest.fixture
def workload() -> str:
    """An id that nothing else has."""
    return "w" + "".join(secrets.choice(ALPHABET) for _ in range(8))
