"""Acceptance of a node: what it tells of itself, memory under test, the operator's own program, and a verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from gpualloc.engine.burnin_checks import clock, device_checks, kernel_log, memory_checks, node_checks
from gpualloc.engine.context import Context
from gpualloc.engine.devices import device_of
from gpualloc.engine.observe import check_names, look
from gpualloc.errors import InfeasibleError, LockedError, StepError, UnreachableError, UsageError
from gpualloc.model.audit import AuditEntry
from gpualloc.model.burnin import Burnin, BurninPart, BurninProgress, BurninSlice, Check, Outcome
from gpualloc.model.inventory import Device, DeviceState, Node, NodeState
from gpualloc.ports import HookEvent, HookOutcome

HOOK = "burnin"
FORMAT = 1
"""Version of what the hook reads on stdin."""
MAX_S = 24 * 3600.0
SLICE_S = 15.0
"""Longest slice: how often progress is told, and the next device has its turn."""
HOST_MIB = 1024
"""How much of the host's memory is tested; the node takes at most a quarter of what is free."""
RECORD_WAIT_S = 30.0
"""How long the end waits for the lock, to enter the result in the audit trail."""

_WHOLE = 1 << 30
_CANNOT = ("not-supported", "in-use", "memory", "busy", "bad-request")
"""Reasons of a node that say nothing of the health of what was to be tested; the last is an older node program's."""


def burnin(
    ctx: Context,
    name: str,
    device: str | None,
    for_s: float,
    tell: Callable[[BurninProgress], None] = lambda _progress: None,
) -> Burnin:
    """Put a cordoned node, or one device of it, to the test.

    Args:
        ctx: the ports.
        name: the node.
        device: index or UUID of the only device to be tested; None: all of them, and the host.
        for_s: how long its memory is tested, in seconds, beside the operator's program; each part at least once.
        tell: told how far it is.

    Raises:
        NotFoundError: there is no such node or device.
        UnreachableError: the node does not answer, or no longer.
        UsageError: it is not cordoned, or the time is out of range.
        InfeasibleError: the node is only observed, or the device is in use.
    """
    if not 1 <= for_s <= MAX_S:
        raise UsageError(f"--for {for_s:g}s is out of range", hint="between 1s and 24h")
    check_names(ctx, [name])
    began_s = ctx.clock.now_s()
    before = _seen(ctx, name)
    targets = _targets(ctx, before, device)
    trial = _Trial(ctx, before, targets, None if device is None else targets[0])
    trial.run(for_s, tell)
    after = _seen(ctx, name)
    checks = [*_told(before, after, trial), *trial.checks()]
    tell(BurninProgress(for_s, for_s, "hook"))
    said = ctx.hooks.run(HOOK, HookEvent(node=name, document=_document(ctx, after, targets)))
    if said is not None:
        checks.append(_hook(said))
    only = None if trial.only is None else trial.only.uuid
    return _recorded(ctx, Burnin(name, only, tuple(checks), began_s, ctx.clock.now_s()), said)


class _Trial(Struct):
    """The memory tests of a burn-in."""

    ctx: Context
    node: Node
    targets: Sequence[Device]
    only: Device | None
    slices: dict[str, list[BurninSlice]] = field(default_factory=dict)
    """By UUID, "" for the host."""
    refused: dict[str, Check] = field(default_factory=dict)
    """What could not be tested, or failed so that it is not tested again."""
    skew: Check | None = None

    def run(self, for_s: float, tell: Callable[[BurninProgress], None]) -> None:
        """Test each part once, and all of them in turn until the time is used up."""
        parts = self._parts()
        slice_s = min(SLICE_S, max(1.0, for_s / max(1, len(parts))))
        done_s, round_ = 0.0, 0
        while parts and (round_ == 0 or done_s < for_s):
            for key, device in list(parts.items()):
                what = "host memory" if device is None else f"GPU {device.index}"
                tell(BurninProgress(min(done_s, for_s), for_s, what))
                found = self._slice(key, device, slice_s, round_)
                if found is None or found.errors:
                    del parts[key]
                # What a slice says it took may be nothing; the budget ends all the same.
                done_s += slice_s if found is None else max(found.seconds, 0.1)
            round_ += 1

    def checks(self) -> Iterator[Check]:
        """What came of it."""
        if self.skew is not None:
            yield self.skew
        for key, slices in self.slices.items():
            device = next((each for each in self.targets if each.uuid == key), None)
            part = BurninPart.HOST_MEMORY if device is None else BurninPart.GPU
            if slices and key not in self.refused:
                yield from memory_checks(part, slices, device)
        yield from self.refused.values()

    def _parts(self) -> dict[str, Device | None]:
        parts: dict[str, Device | None] = {} if self.only is not None else {"": None}
        for device in self.targets:
            why = in_use(self.node, device)
            if device.state is not DeviceState.OK:
                self.refused[device.uuid] = Check("gpu-memory", Outcome.FAIL, device.state.value, device.uuid)
            elif why is not None:
                self.refused[device.uuid] = Check("gpu-memory", Outcome.SKIP, f"in use: {why}", device.uuid)
            elif device.mig_enabled:
                what = "it is in MIG mode, and only whole GPUs are tested"
                self.refused[device.uuid] = Check("gpu-memory", Outcome.SKIP, what, device.uuid)
            else:
                parts[device.uuid] = device
        return parts

    def _slice(self, key: str, device: Device | None, slice_s: float, round_: int) -> BurninSlice | None:
        """One slice; None where it cannot be, and then `refused` says why."""
        part, uuid = (BurninPart.HOST_MEMORY, None) if device is None else (BurninPart.GPU, device.uuid)
        mib = HOST_MIB if device is None else _WHOLE
        try:
            found = self.ctx.fleet.burnin(self.node.name, part, uuid, mib=mib, seconds=slice_s, round_=round_)
        except StepError as error:
            name = "host-memory" if device is None else "gpu-memory"
            outcome = Outcome.SKIP if error.reason in _CANNOT else Outcome.FAIL
            self.refused[key] = Check(name, outcome, error.message, uuid)
            return None
        if self.skew is None:
            self.skew = clock(found.at_s, self.ctx.clock.now_s())
        self.slices.setdefault(key, []).append(found)
        return found


def in_use(node: Node, device: Device) -> str | None:
    """Who has the device, in words; None when nobody does."""
    for claim in node.claims:
        if claim.device == device.uuid:
            return f"given to workload {claim.workload}"
    for process in node.processes:
        if process.device == device.uuid:
            return f"process {process.pid} of {process.user or 'somebody'}"
    return None


def _seen(ctx: Context, name: str) -> Node:
    (node,) = look(ctx, [name]).nodes
    if node.state is not NodeState.OK:
        said = f" ({node.reason})" if node.reason else ""
        raise UnreachableError(
            f"{name} does not answer: {node.state.value}{said}", hint="gpualloc doctor says what to do", node=name
        )
    if not node.manageable:
        why = node.limited or f"{', '.join(node.other_controllers) or 'its pool'} says so"
        raise InfeasibleError(f"{name} is only observed, so nothing can be tested there: {why}", node=name)
    return node


def _targets(ctx: Context, node: Node, device: str | None) -> tuple[Device, ...]:
    """The devices to test; refuses what may still be given to work, and a single device that is in use."""
    chosen = None if device is None else device_of(node, device)
    closed = {each.device for each in ctx.journal.cordons() if each.node == node.name}
    if None not in closed and (chosen is None or chosen.uuid not in closed):
        place = node.name if chosen is None else f"{node.name} --device {chosen.index}"
        raise UsageError(f"{node.name} still takes work", hint=f"gpualloc cordon {place}")
    if chosen is None:
        return node.devices
    why = in_use(node, chosen)
    if why is not None:
        raise InfeasibleError(
            f"GPU {chosen.index} of {node.name} is in use: {why}", hint=f"gpualloc drain {node.name}", node=node.name
        )
    return (chosen,)


def _told(before: Node, after: Node, trial: _Trial) -> Iterator[Check]:
    """What the node tells of itself."""
    if trial.only is None:
        yield from node_checks(after)
    yield kernel_log(before, after, None if trial.only is None else trial.only.board.pci_bus_id)
    later = {device.uuid: device for device in after.devices}
    for device in trial.targets:
        if device.uuid in later:
            yield from device_checks(device, later[device.uuid])
        else:
            yield Check("state", Outcome.FAIL, "it was there before the test and is gone", device.uuid)


def _hook(said: HookOutcome) -> Check:
    """The verdict of the operator's own program."""
    lines = [line for line in said.output.splitlines() if line.strip()]
    last = f": {lines[-1]}" if lines else ""
    outcome = Outcome.PASS if said.problem is None else Outcome.FAIL
    return Check(HOOK, outcome, f"{said.problem or 'exit code 0'}{last}", numbers={"seconds": round(said.seconds, 3)})


def _document(ctx: Context, node: Node, targets: Sequence[Device]) -> dict[str, object]:
    """What the operator's program reads on stdin (docs/burnin.md)."""
    return {
        "format": FORMAT,
        "node": node.name,
        "hostname": node.hostname,
        "pool": node.spec.pool,
        "labels": dict(node.spec.labels),
        "driver_version": node.driver_version,
        "simulated": ctx.simulated,
        "devices": [{"uuid": each.uuid, "index": each.index, "model": each.model} for each in targets],
    }


def _recorded(ctx: Context, result: Burnin, said: HookOutcome | None) -> Burnin:
    """Enter the result in the audit trail."""
    failed = [f"{check.name}: {check.what}" for check in result.checks if check.outcome is Outcome.FAIL]
    counts = {outcome.value: sum(check.outcome is outcome for check in result.checks) for outcome in Outcome}
    entry = AuditEntry(
        at_s=result.ended_s,
        kind="burnin",
        actor=ctx.actor,
        workload=None,
        node=result.node,
        detail={
            "device": result.device,
            "passed": result.passed,
            "checks": counts,
            "failed": failed,
            "hook": None if said is None else {"problem": said.problem, "output": said.output},
            "seconds": round(result.ended_s - result.began_s, 3),
        },
    )
    try:
        with ctx.journal.write("burnin", RECORD_WAIT_S) as writer:
            writer.save((), (entry,))
    except LockedError:
        return replace(result, recorded=False)
    return result
