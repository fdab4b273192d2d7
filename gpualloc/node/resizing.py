"""The step `resize`: running work gets other devices of its node, and its own command tells it so.

    claims of old and new devices -> the device rule lets both in -> command -> nothing of it on what it gives up
    -> claims and rule of the new devices

`resizing.json` in the workload's folder says from where a change is under way. Whatever ends this program, the next one
does the change again or takes it back, and the command is told once more.
"""

import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from gpualloc.node import accounts, claims, processes, resize_hook
from gpualloc.node.ledger import FileLedger
from gpualloc.node.state import FORMAT, read_json, write_json
from gpualloc.node.suspending import Surroundings, let_through, take_turn
from gpualloc.node.wire import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpualloc.node.parts import Parts
    from gpualloc.node.workloads import Folder

_LOCK_S = 30.0
"""How long others may hold the node's lock."""
_POLL_S = 0.05
_SHOWN_CHARACTERS = 200


class Handler:
    """Changes the devices of running work."""

    def __init__(self, parts: "Parts") -> None:
        self._parts = parts
        self._workloads = parts.workloads

    def preflight(self, step: "dict[str, Any]") -> None:
        """Refuse what can be known to be refused, without changing anything."""
        with self._turn(step) as (folder, _):
            accounts.resolve(step["user"])
            if not self._in_force(folder, step):
                self._check(folder, step)

    def do(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Give the work the devices of the step and tell it; answers `devices` and `seconds`.

        Raises:
            Refused: and it has what it had before; `failed` when its command did not do it, or processes of it stay on
                devices that it gives up.
        """
        began_s = time.monotonic()
        with self._turn(step) as (folder, lock_fd):
            if not self._in_force(folder, step):
                self._resize(folder, step, lock_fd)
        return {"devices": _devices(step), "seconds": round(time.monotonic() - began_s, 3)}

    def verify(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Whether it has exactly the devices of the step, and no change is under way."""
        if not self._workloads.runs(step["workload"], step["attempt"]):
            return {"holds": False, "devices": []}
        with self._turn(step) as (folder, _):
            had = [claim["device"] for claim in self._own(step)]
            return {"holds": self._in_force(folder, step), "devices": had}

    def undo(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Resize it back to what it had before; what has ended is left alone."""
        if not self._workloads.runs(step["workload"], step["attempt"]):
            return {}
        whole = {"mig_instance": None, "place": None, "share": "exclusive", "fraction": 1.0, "memory_mib": None}
        grants = [dict(whole, device=device) for device in step["devices_before"]]
        return self.do(dict(step, grants=grants, devices_before=_devices(step)))

    # ---- what it has

    @contextmanager
    def _turn(self, step: "dict[str, Any]") -> "Iterator[tuple[Folder, int]]":
        """The folder of the work and the lock of its changes, for nobody else at the same time."""
        if not self._workloads.runs(step["workload"], step["attempt"]):
            raise Refused("gone", "start %d of %s does not run here" % (step["attempt"], step["workload"]))
        folder = self._workloads.folder(step["workload"])
        lock_fd = take_turn(folder.file("suspending"))
        try:
            yield folder, lock_fd
        finally:
            os.close(lock_fd)

    def _in_force(self, folder: "Folder", step: "dict[str, Any]") -> bool:
        return self._marker(folder, step) is None and claims.in_force(step, self._claims())

    def _marker(self, folder: "Folder", step: "dict[str, Any]") -> "dict[str, Any] | None":
        """What was noted when a change began that is not over; None when none is under way."""
        noted = read_json(folder.file("resizing.json"))
        return noted if noted is not None and noted["attempt"] == step["attempt"] else None

    def _claims(self) -> "list[dict[str, Any]]":
        return claims.alive(self._ledger().claims(), self._workloads.records())

    def _own(self, step: "dict[str, Any]") -> "list[dict[str, Any]]":
        return [claim for claim in self._claims() if claim["workload"] == step["workload"]]

    def _check(self, folder: "Folder", step: "dict[str, Any]") -> None:
        """Refuse unless the work runs with what the step says that it has, and what it gets is free."""
        if os.path.exists(folder.file("suspended.json")) or self._parts.cgroups.frozen(step["workload"]):
            raise Refused("busy", "it stands still, and cannot be told of other devices")
        own, noted = self._own(step), self._marker(folder, step)
        had = [claim["device"] for claim in own]
        if noted is None and set(had) != set(step["devices_before"]):
            raise Refused(
                "claimed", "it has %s, not what it was to be resized from" % (", ".join(sorted(had)) or "none")
            )
        sample = {"devices": self._parts.nvml.ask(lambda gpu: gpu.sample(), lambda gpu: gpu.blank_sample())}
        inventory = {"devices": self._parts.devices()}
        added = dict(step, grants=_added(step, own, noted))
        claims.check(added, self._claims(), inventory, sample, self._on_devices())

    def _on_devices(self) -> "list[dict[str, Any]]":
        """The processes on the devices, as claims ask about them."""
        roots = self._ledger().keepers()
        roots.update(self._workloads.roots())
        rows = self._parts.nvml.ask(lambda gpu: gpu.processes(), lambda gpu: {"uuid": gpu.uuid, "processes": []})
        return [
            dict(processes.describe(pid, roots), device=row["uuid"], mig_instance=instance)
            for row in rows
            for pid, instance, _, _ in row["processes"]
        ]

    def _ledger(self) -> "FileLedger":
        return FileLedger(self._parts.state_dir, self._parts.boot_id, self._parts.claim_folders)

    # ---- the change

    def _resize(self, folder: "Folder", step: "dict[str, Any]", lock_fd: int) -> None:
        """Widen, tell, see that it left what it gives up, narrow."""
        spec = self._spec(folder, step)
        before = self._widen(folder, step)
        until_s = time.monotonic() + step["grace_s"]
        try:
            let_through(self._parts, step["workload"], self._own(step))
            _check_answer(resize_hook.run(spec, lock_fd), step["grace_s"])
            self._await_left(step, until_s)
            self._settle(folder, step, _kept(step, self._own(step)))
        except (Refused, OSError):
            self._settle(folder, step, before)
            raise

    def _widen(self, folder: "Folder", step: "dict[str, Any]") -> "list[dict[str, Any]]":
        """Claim what it gets beside what it has; answers the claims to go back to. Nothing is changed when refused."""
        ledger = self._ledger()
        with ledger.locked(_LOCK_S):
            self._check(folder, step)
            own, noted = self._own(step), self._marker(folder, step)
            before: "list[dict[str, Any]]" = own if noted is None else noted["before"]
            if noted is None:
                marker = {"format": FORMAT, "attempt": step["attempt"], "before": before}
                write_json(folder.file("resizing.json"), marker)
            added = dict(step, grants=_added(step, own, noted))
            self._write(ledger, step, own + claims.made(added, time.time()))
        return before

    def _settle(self, folder: "Folder", step: "dict[str, Any]", left: "list[dict[str, Any]]") -> None:
        """Let it keep these claims and no others; the change is over."""
        if not self._workloads.runs(step["workload"], step["attempt"]):
            with suppress(FileNotFoundError):
                os.unlink(folder.file("resizing.json"))
            return  # its claims went, or count no more, with its end
        let_through(self._parts, step["workload"], left)
        ledger = self._ledger()
        with ledger.locked(_LOCK_S):
            self._write(ledger, step, left)
        os.unlink(folder.file("resizing.json"))

    def _write(self, ledger: "FileLedger", step: "dict[str, Any]", own: "list[dict[str, Any]]") -> None:
        """Write the claims of the work down, bound to its keeper as a start binds them."""
        ledger.add_claims(own)
        started = self._workloads.folder(step["workload"]).started()
        if started is not None:
            ledger.keep_claims(step["workload"], started["keeper_pid"], started["keeper_start_ticks"])

    def _spec(self, folder: "Folder", step: "dict[str, Any]") -> "dict[str, Any]":
        """What `resize_hook.run` takes."""
        account = accounts.resolve(step["user"])
        devices = ",".join(_devices(step))
        env = dict(account.environment(), **step["env"])
        env.update(
            CUDA_DEVICE_ORDER="PCI_BUS_ID",
            CUDA_VISIBLE_DEVICES=devices,
            GPUALLOC_WORKLOAD=step["workload"],
            GPUALLOC_PID=str((folder.started() or {}).get("pid", "")),
            GPUALLOC_DEVICES=devices,
            GPUALLOC_DEVICES_BEFORE=",".join(step["devices_before"]),
        )
        return {
            "workload": step["workload"],
            "command": step["command"],
            "env": env,
            "cwd": account.home if step["cwd"] is None and os.path.isdir(account.home) else step["cwd"],
            "account": {"name": account.name, "uid": account.uid, "gid": account.gid},
            "grants": step["grants"],
            "require_hard": step["require_hard"],
            "grace_s": step["grace_s"],
        }

    def _await_left(self, step: "dict[str, Any]", until_s: float) -> None:
        """Wait until none of its processes is on a device that it gives up; a device that does not answer is in use."""
        given_up = {claim["device"] for claim in self._own(step)} - set(_devices(step))
        site = Surroundings(self._parts, step["workload"])
        while given_up:
            seen, known = site.on_devices(), site.devices()
            left = sorted(pid for pid in site.members() if given_up & set(seen.get(pid, ())))
            dark = sorted(device for device in given_up if not known.get(device, {}).get("ok"))
            if not left and not dark:
                return
            if time.monotonic() >= until_s:
                who = "process %d still uses" % left[0] if left else "nobody can tell what uses"
                raise Refused("failed", "%s a device that it gives up: its resize command did not do it" % who)
            time.sleep(_POLL_S)


def _check_answer(answer: "dict[str, Any]", grace_s: float) -> None:
    """Refuse unless the command ended with 0."""
    if answer["outcome"] == resize_hook.DONE:
        return
    if answer["refused"] is not None:
        raise Refused(answer["refused"]["reason"], "its resize command: %s" % answer["refused"]["message"])
    if answer["outcome"] == resize_hook.LATE:
        why = "took longer than %g s and was ended" % grace_s
    elif answer["exit_code"] is None:
        why = "was ended in the middle"
    else:
        why = "ended with exit code %d" % answer["exit_code"]
    first = next((line for line in answer["output"].splitlines() if line.strip()), "")
    shown = ": %s" % ascii(first[:_SHOWN_CHARACTERS]) if first else ""
    raise Refused("failed", "its resize command %s%s" % (why, shown))


def _devices(step: "dict[str, Any]") -> "list[str]":
    return [grant["device"] for grant in step["grants"]]


def _added(
    step: "dict[str, Any]", own: "list[dict[str, Any]]", noted: "dict[str, Any] | None"
) -> "list[dict[str, Any]]":
    """What it is to have and has not: of the step, and of what it had when a change began that was cut short."""
    had = {claim["device"] for claim in own}
    asked = step["grants"] + ([] if noted is None else noted["before"])
    return list({grant["device"]: grant for grant in asked if grant["device"] not in had}.values())


def _kept(step: "dict[str, Any]", own: "list[dict[str, Any]]") -> "list[dict[str, Any]]":
    return [claim for claim in own if claim["device"] in _devices(step)]
