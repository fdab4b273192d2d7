"""Answers requests: the rules that hold on every node, real or simulated.

What a node is made of comes in as `Machine` (hardware and processes) and `Ledger` (lock, fences, claims).
"""

import errno
from typing import TYPE_CHECKING, Any

from gpualloc.node import check, claims
from gpualloc.node.wire import VERBS, WIRE_VERSION, Refused, answer, refusal

if TYPE_CHECKING:
    from contextlib import AbstractContextManager  # novm
    from typing import Protocol  # novm
else:
    Protocol = object

LOCK_WAIT_S = 30.0
"""How long a request waits for the node's lock before it is refused as `locked`."""

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.ENOTDIR, errno.EIO)
"""What a state folder that cannot be used ends in."""

_UNDONE = (
    "claim",
    "limit",
    "start",
    "adopt",
    "suspend",
    "resume",
    "resize",
    "mps-start",
    "mig-mode",
    "mig-create",
    "mig-destroy",
    "set",
)
"""Kinds of step that can be taken back."""

_LONG = ("stop", "suspend", "resume", "resize", "evict", "signal")
"""Steps that last as long as the work's grace, or as its memory takes to move; they concern nobody else."""

_LOCATED = ("claim", "limit", "start", "adopt", "suspend", "resume", "mps-start")
"""Steps whose grants may name a MIG instance by its place."""


class Machine(Protocol):
    """A node's hardware and processes. Answers have the shape of docs/wire.md; refusals are raised as `Refused`.

    Steps were checked by `check.step` and carry `controller`; claim steps never arrive here.
    """

    def hello(self) -> "dict[str, Any]":
        """Who and what this node is."""

    def inventory(self) -> "dict[str, Any]":
        """`devices` and `host`: what does not change from second to second."""

    def present(self, paths: "list[str]") -> "dict[str, bool | None]":
        """For each path whether it is there; None when that cannot be told."""

    def sample(self) -> "dict[str, Any]":
        """`at_s`, `devices` and `host` as they stand now."""

    def processes(self) -> "dict[str, Any]":
        """`processes`: what the driver sees on the devices."""

    def kernel(self) -> "dict[str, Any]":
        """`messages` of the kernel log about GPUs, and `reason` when it cannot be read."""

    def cost(self) -> "dict[str, Any]":
        """`groups`: what each group of readings costs."""

    def burnin(self, asked: "dict[str, Any]") -> "dict[str, Any]":
        """Check memory for a slice: `part`, `device`, `mib`, `seconds`, `round`, as `check.burnin` leaves them."""

    def process(self, pid: int) -> "dict[str, Any]":
        """One process, those below it, and what they use; refuses as `gone` one that is not there."""

    def records(self) -> "list[dict[str, Any]]":
        """A record of each workload this node was asked to run and still remembers."""

    def preflight(self, step: "dict[str, Any]") -> None:
        """Refuse what `do` would refuse, without changing anything."""

    def do(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Carry the step out, or find it done; answers its facts."""

    def verify(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """`holds` and the facts read back."""

    def undo(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Take a limit or a start back, if it is there; answers the facts of the inverse."""

    def logs(self, workload: str, offset: int, limit: int) -> "dict[str, Any]":
        """`data` (base64), `next_offset` and `ended`."""

    def events(self, timeout_s: float) -> "dict[str, Any]":
        """`changed`: True as soon as a workload ended, False after the time."""


class Ledger(Protocol):
    """What a node remembers for all who give its devices away."""

    def locked(self, wait_s: float) -> "AbstractContextManager[object]":
        """Hold the node's lock; refuses as `locked` when another holds it for longer than `wait_s`."""

    def fence(self, controller: str) -> int:
        """The highest fence seen from that controller; 0 when none was."""

    def set_fence(self, controller: str, fence: int) -> None:
        """Remember a fence."""

    def claims(self) -> "list[dict[str, Any]]":
        """Every claim written down: the fields of the wire and `attempt`."""

    def add_claims(self, new: "list[dict[str, Any]]") -> None:
        """Write claims of one workload down, in place of any it had."""

    def remove_claims(self, workload: str) -> None:
        """Forget the claims of a workload; none is fine."""


class Server:
    """Dispatches verbs, checks arguments, keeps the lock and the fences, and decides on claims."""

    def __init__(self, machine: "Machine", ledger: "Ledger") -> None:
        self._machine = machine
        self._ledger = ledger

    def handle(self, request: "dict[str, Any]") -> "dict[str, Any]":
        """The end record of one request. Never raises: what fails becomes an error record."""
        number = request.get("id")
        if isinstance(number, bool) or not isinstance(number, int):
            return refusal(None, "bad-request", "id is not a whole number")
        verb = request.get("verb")
        if verb not in VERBS:
            return refusal(number, "bad-request", "no such verb: %r" % (verb,))
        try:
            args = check.mapping(request.get("args"), "args")
            return answer(number, getattr(self, "_" + verb)(args))
        except Refused as refused:
            return refusal(number, refused.reason, refused.message, refused.facts)
        except OSError as error:
            return refusal(number, "disk" if error.errno in _DISK_ERRORS else "failed", "%s: %s" % (verb, error))
        except Exception as error:  # noqa: BLE001 - a fault in one verb must not take the other readings away
            return refusal(number, "failed", "%s: %s: %s" % (verb, type(error).__name__, error))

    def _hello(self, _args: "dict[str, Any]") -> "dict[str, Any]":
        return dict(self._machine.hello(), wire=WIRE_VERSION)

    def _inventory(self, args: "dict[str, Any]") -> "dict[str, Any]":
        paths = check.paths(args.get("near"))
        told = self._machine.inventory()
        return dict(told, near=self._machine.present(paths)) if paths else told

    def _sample(self, _args: "dict[str, Any]") -> "dict[str, Any]":
        return self._machine.sample()

    def _processes(self, _args: "dict[str, Any]") -> "dict[str, Any]":
        return self._machine.processes()

    def _kernel(self, _args: "dict[str, Any]") -> "dict[str, Any]":
        return self._machine.kernel()

    def _cost(self, _args: "dict[str, Any]") -> "dict[str, Any]":
        return self._machine.cost()

    def _burnin(self, args: "dict[str, Any]") -> "dict[str, Any]":
        asked = check.burnin(args)
        if asked["device"] is not None:
            self._check_unused(asked["device"])
        return self._machine.burnin(asked)

    def _check_unused(self, device: str) -> None:
        """Refuse a device that somebody was given, or uses."""
        for claim in self._claims_in_force():
            if claim["device"] == device:
                raise Refused("in-use", "it is given to workload %s" % claim["workload"])
        for process in self._machine.processes()["processes"]:
            if process["device"] == device:
                raise Refused("in-use", "process %d of %s uses it" % (process["pid"], process["user"] or "somebody"))

    def _process(self, args: "dict[str, Any]") -> "dict[str, Any]":
        return self._machine.process(check.whole(args, "pid", 1, 1 << 22))

    def _claims(self, _args: "dict[str, Any]") -> "dict[str, Any]":
        records = self._machine.records()
        told = [
            {name: claim[name] for name in claims.CLAIM_FIELDS}
            for claim in claims.alive(self._ledger.claims(), records)
        ]
        return {"claims": told, "workloads": records}

    def _events(self, args: "dict[str, Any]") -> "dict[str, Any]":
        return self._machine.events(check.number(args, "timeout_s", 0, 30))

    def _logs(self, args: "dict[str, Any]") -> "dict[str, Any]":
        workload = check.workload_id(args)
        offset = check.whole(args, "offset", 0, 1 << 62)
        return self._machine.logs(workload, offset, check.whole(args, "limit", 0, 1 << 20))

    def _preflight(self, args: "dict[str, Any]") -> "dict[str, Any]":
        call = check.call(args.get("call"))
        self._check_fence(call)
        step = self._located(call["step"])
        if step["kind"] == "claim":
            self._check_claim(step)
        elif step["kind"] != "unclaim":
            self._machine.preflight(step)
        return {}

    def _do(self, args: "dict[str, Any]") -> "dict[str, Any]":
        return self._ordered(check.call(args.get("call")), self._carry_out)

    def _undo(self, args: "dict[str, Any]") -> "dict[str, Any]":
        call = check.call(args.get("call"))
        if call["step"]["kind"] not in _UNDONE:
            raise Refused("bad-request", "a step of kind %s cannot be undone" % call["step"]["kind"])
        return self._ordered(call, self._take_back)

    def _verify(self, args: "dict[str, Any]") -> "dict[str, Any]":
        return self._ordered(check.call(args.get("call")), self._read_back)

    def _ordered(self, call: "dict[str, Any]", action: "Any") -> "dict[str, Any]":
        """Under the node's lock: refuse an older fence, remember a newer one, act."""
        with self._ledger.locked(LOCK_WAIT_S):
            self._check_fence(call)
            if call["fence"] > self._ledger.fence(call["controller"]):
                self._ledger.set_fence(call["controller"], call["fence"])
            step = call["step"] if action == self._take_back else self._located(call["step"])
            # What lasts long may be asked for twice: it holds up nobody else.
            if not _lasts(step, action == self._take_back):
                facts: "dict[str, Any]" = action(step)
                return facts
        late: "dict[str, Any]" = action(step)
        return late

    def _located(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """The step with the UUID of each MIG instance that it names by place; refuses a place where none lies."""
        if step["kind"] not in _LOCATED or all(grant["place"] is None for grant in step["grants"]):
            return step
        return dict(step, grants=claims.located(step["grants"], self._machine.inventory()))

    def _check_fence(self, call: "dict[str, Any]") -> None:
        seen = self._ledger.fence(call["controller"])
        if call["fence"] < seen:
            raise Refused("fenced", "fence %d is over: this node obeys %d already" % (call["fence"], seen))

    def _carry_out(self, step: "dict[str, Any]") -> "dict[str, Any]":
        if step["kind"] == "claim":
            at_s = self._check_claim(step)
            if at_s is not None:
                self._ledger.add_claims(claims.made(step, at_s))
            return {"grants": step["grants"]}
        if step["kind"] == "unclaim":
            return self._unclaim(step)
        return _with_grants(step, self._machine.do(step))

    def _take_back(self, step: "dict[str, Any]") -> "dict[str, Any]":
        return self._unclaim(step) if step["kind"] == "claim" else self._machine.undo(step)

    def _read_back(self, step: "dict[str, Any]") -> "dict[str, Any]":
        if step["kind"] == "claim":
            return {"holds": claims.in_force(step, self._claims_in_force()), "grants": step["grants"]}
        if step["kind"] == "unclaim":
            return {"holds": all(claim["workload"] != step["workload"] for claim in self._claims_in_force())}
        return _with_grants(step, self._machine.verify(step))

    def _claims_in_force(self) -> "list[dict[str, Any]]":
        return claims.alive(self._ledger.claims(), self._machine.records())

    def _check_claim(self, step: "dict[str, Any]") -> "float | None":
        """The time of the new claims, or None when they are there already; refuses what cannot be given."""
        current = self._claims_in_force()
        if claims.in_force(step, current):
            return None
        sample, found = self._machine.sample(), self._machine.processes()["processes"]
        if step["process"] is not None:
            # What is claimed for a process is in use already: by it.
            own = self._machine.process(step["process"]["pid"])["pids"]
            found = [process for process in found if process["pid"] not in own]
        claims.check(step, current, self._machine.inventory(), sample, found)
        at_s: float = sample["at_s"]
        return at_s

    def _unclaim(self, step: "dict[str, Any]") -> "dict[str, Any]":
        for claim in self._ledger.claims():
            if claim["workload"] == step["workload"] and claim["controller"] != step["controller"]:
                raise Refused("claimed", "the claims of %s belong to another controller" % step["workload"])
        self._ledger.remove_claims(step["workload"])
        return {}


def _with_grants(step: "dict[str, Any]", facts: "dict[str, Any]") -> "dict[str, Any]":
    """The facts with the grants as they were found: a MIG instance named by place has its UUID now."""
    return dict(facts, grants=step["grants"]) if step["kind"] in _LOCATED else facts


def _lasts(step: "dict[str, Any]", taken_back: bool) -> bool:
    return step["kind"] in (("start", "suspend", "resume", "resize") if taken_back else _LONG)
