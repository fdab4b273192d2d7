"""gpualloc as an operator runs it on this machine, with the guest as its one node, reached over ssh."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fakes.command import Command
from fakes.nvml_stub import FakeGpu, build_library, write_state
from vm.qemu import Guest

NVML_STATE = "/etc/gpualloc-nvml"
"""What the sessions of the guest are told by the image: where the driver library of the tests finds its GPUs."""

WORKER_UID = 5
"""An account that both machines have (`games`): who submits the work here, and whom it runs as there."""

PATIENT = """
import sys
from gpualloc.__main__ import main
from gpualloc.adapters.fleet import LinkedFleet

LinkedFleet.__init__.__kwdefaults__["observe_s"] = 120.0
sys.exit(main())
"""
"""gpualloc, but for the time that a look at a node may take: an emulated one is slow on a busy machine."""


@dataclass(kw_only=True)
class Head(Command):
    """The operator's side: configuration, state, control sockets."""

    guest: Guest
    program: tuple[str, ...] = (sys.executable, "-c", PATIENT)
    patience_s: float = 400

    @property
    def env(self) -> dict[str, str]:
        # The guest's folder, because the paths of sockets must be short.
        return {**super().env, "XDG_RUNTIME_DIR": str(self.guest.folder), "SUDO_UID": str(WORKER_UID)}

    def log_in_as(self, user: str) -> None:
        """Reach the guest as that account from now on."""
        # The first login starts the account's manager, which takes a while when it is emulated.
        self.guest.run("true", user=user)
        options = [f"HostName={self.guest.host}", *(f"{name}={value}" for name, value in self.guest.ssh_options)]
        lines = [
            *(
                "[apply]",
                'grace = "2s"',
                'step_timeout = "3m"',
                "[pools.guest]",
                'nodes = "guest"',
                "[pools.guest.ssh]",
            ),
            *(f'user = "{user}"', f"port = {self.guest.port}", f"options = {json.dumps(options)}"),
        ]
        self.configure("\n".join(lines) + "\n")

    def give_gpus(self, gpus: Sequence[FakeGpu]) -> None:
        """Install the driver library of the tests in the guest, showing these GPUs."""
        self.guest.put(build_library(), "/usr/local/lib")
        self.guest.run("ldconfig")
        state = self.root / Path(NVML_STATE).name
        write_state(state, gpus)
        self.guest.put(state, str(Path(NVML_STATE).parent))

    def started(self, *args: str) -> dict:
        """Work that was submitted, planned, applied, and runs; its row of `ps`."""
        identity = self.json("submit", "--name", "work", *args)["id"]
        plan = self.root / f"{identity}.plan"
        self.run("plan", "-o", str(plan))
        self.run("apply", "--yes", str(plan))
        row = self.workload(identity)
        assert row["state"] == "running", row
        return row
