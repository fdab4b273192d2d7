"""Types and ranges of what arrives over the wire; everything that does not fit is refused as `bad-request`."""

import math
import re
import signal
from typing import Any

from gpualloc.node.wire import DEVICE_KINDS, MAX_PATHS, PROCESS_KINDS, SIGNALS, STEP_KINDS, Refused

WORKLOAD_ID = re.compile(r"w[0-9a-hjkmnp-tv-z]{8}")
"""Workload ids enter paths and group names, so nothing else passes."""
_RUN_ID = re.compile(r"[a-z0-9]{1,32}")
_CONTROLLER_ID = re.compile(r"[0-9a-f]{32}")
_DEVICE_UUID = re.compile(r"[A-Za-z0-9][A-Za-z0-9/-]{0,127}")
_CPUSET = re.compile(r"[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*")
_ACCOUNT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}\$?")
_SHARES = ("exclusive", "mig", "mps", "time-slice")
_PLACE = re.compile(r"[0-9]{1,2}g\.[0-9]{1,4}gb(?:[+-][a-z.]{1,16})*@[0-9]{1,3}")
_SIGNAL = re.compile(r"[A-Z][A-Z0-9]{1,8}")
_COMPUTE_MODES = ("default", "exclusive-process", "prohibited")
_ACTIONS = ("suspend", "terminate")

_MAX_START_BYTES = 1 << 20
_MAX_GRANTS = 256
_MAX_MIB = 1 << 40


def number(fields: "dict[str, Any]", name: str, low: float, high: float) -> "float":
    """The number in that field, finite and in low..high; raises Refused."""
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise Refused("bad-request", "%s is not a number" % name)
    if not low <= value <= high:
        raise Refused("bad-request", "%s %g is not in %g..%g" % (name, value, low, high))
    return value


def whole(fields: "dict[str, Any]", name: str, low: int, high: int) -> "int":
    """The whole number in that field, in low..high; raises Refused."""
    value = number(fields, name, low, high)
    if not isinstance(value, int):
        raise Refused("bad-request", "%s is not a whole number" % name)
    return value


def text(fields: "dict[str, Any]", name: str, pattern: "re.Pattern[str] | None" = None, limit: int = 4096) -> "str":
    """The text in that field: at most `limit` characters, no NUL, matching the whole pattern; raises Refused."""
    value = fields.get(name)
    if not isinstance(value, str) or len(value) > limit or "\0" in value:
        raise Refused("bad-request", "%s is not a text of at most %d characters without NUL" % (name, limit))
    if pattern is not None and not pattern.fullmatch(value):
        raise Refused("bad-request", "%s %r has the wrong form" % (name, value[:80]))
    return value


def mapping(value: Any, name: str) -> "dict[str, Any]":
    """The value itself when it is a JSON object; raises Refused."""
    if not isinstance(value, dict):
        raise Refused("bad-request", "%s is not an object" % name)
    return value


def workload_id(fields: "dict[str, Any]") -> "str":
    """The workload id in field `workload`; raises Refused."""
    return text(fields, "workload", WORKLOAD_ID, 9)


def controller_id(fields: "dict[str, Any]") -> "str":
    """The controller's id in field `controller`; raises Refused."""
    return text(fields, "controller", _CONTROLLER_ID, 32)


def paths(value: Any) -> "list[str]":
    """Whole paths of printable characters, none when the value is None; raises Refused."""
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > MAX_PATHS:
        raise Refused("bad-request", "near is not a list of at most %d" % MAX_PATHS)
    found = [text({"path": path}, "path") for path in value]
    if not all(path.startswith("/") and path.isprintable() for path in found):
        raise Refused("bad-request", "near holds a text that is not a whole path")
    return found


def burnin(fields: "dict[str, Any]") -> "dict[str, Any]":
    """What a slice of a burn-in is to do; raises Refused."""
    part, device = text(fields, "part"), fields.get("device")
    if part not in ("host-memory", "gpu") or (device is None) is (part == "gpu"):
        raise Refused("bad-request", "part is host-memory, or gpu with a device")
    return {
        "part": part,
        "device": None if device is None else text(fields, "device", _DEVICE_UUID, 128),
        "mib": whole(fields, "mib", 1, _MAX_MIB),
        "seconds": number(fields, "seconds", 0, 20),
        "round": whole(fields, "round", 0, 1 << 30),
    }


def call(value: Any) -> "dict[str, Any]":
    """A call (docs/wire.md) holding known, well-typed fields only; its step carries the controller too."""
    fields = mapping(value, "call")
    controller = text(fields, "controller", _CONTROLLER_ID, 32)
    checked = step(fields.get("step"))
    checked["controller"] = controller
    if checked["kind"] in PROCESS_KINDS:
        # Nothing that they make could name them.
        checked["order"] = "%s-%d" % (text(fields, "run", _RUN_ID, 32), whole(fields, "seq", 1, 1 << 31))
    return {"fence": whole(fields, "fence", 0, 1 << 62), "controller": controller, "step": checked}


def step(value: Any) -> "dict[str, Any]":
    """A step holding known, well-typed fields only; raises Refused."""
    fields = mapping(value, "step")
    kind = fields.get("kind")
    if kind not in STEP_KINDS:
        raise Refused("bad-request", "no such kind of step: %r" % (kind,))
    checked: "dict[str, Any]" = {"kind": kind, "attempt": whole(fields, "attempt", 0, 1 << 31)}
    if kind in DEVICE_KINDS:
        checked.update(workload=None, device=text(fields, "device", _DEVICE_UUID))
    elif kind in PROCESS_KINDS:
        checked.update(workload=None, device=None)
    else:
        checked.update(workload=workload_id(fields), device=None)
    for kinds, check in _CHECKS:
        if kind in kinds:
            checked.update(check(fields))
    return checked


def _grants(fields: "dict[str, Any]") -> "dict[str, Any]":
    value = fields.get("grants")
    if not isinstance(value, list) or len(value) > _MAX_GRANTS:
        raise Refused("bad-request", "grants is not a list of at most %d" % _MAX_GRANTS)
    return {"grants": [_grant(mapping(item, "grant")) for item in value]}


def _grant(fields: "dict[str, Any]") -> "dict[str, Any]":
    share = fields.get("share")
    if share not in _SHARES:
        raise Refused("bad-request", "this node cannot share a device as %r" % (share,))
    named = [name for name in ("mig_instance", "place") if fields.get(name) is not None]
    if len(named) != (1 if share == "mig" else 0):
        raise Refused("bad-request", "a grant names a MIG instance or its place when, and only when, its share is mig")
    fraction = 1.0 if fields.get("fraction") is None else number(fields, "fraction", 0, 1)
    if fraction <= 0:
        raise Refused("bad-request", "fraction 0 gives nothing")
    return {
        "device": text(fields, "device", _DEVICE_UUID),
        "mig_instance": text(fields, "mig_instance", _DEVICE_UUID) if "mig_instance" in named else None,
        "place": text(fields, "place", _PLACE) if "place" in named else None,
        "share": share,
        "fraction": float(fraction),
        "memory_mib": None if fields.get("memory_mib") is None else whole(fields, "memory_mib", 1, _MAX_MIB),
    }


def claim(fields: "dict[str, Any]") -> "dict[str, Any]":
    """A claim as another program wrote it down; raises Refused."""
    checked = _grant(fields)
    checked.update(
        workload=workload_id(fields),
        controller=text(fields, "controller", _CONTROLLER_ID, 32),
        attempt=whole(fields, "attempt", 0, 1 << 31),
        at_s=number(fields, "at_s", 0, 1e12),
    )
    return checked


def _limits(fields: "dict[str, Any]") -> "dict[str, Any]":
    def given(name: str) -> bool:
        return fields.get(name) is not None

    return {
        "cpus": number(fields, "cpus", 0.001, 65536) if given("cpus") else None,
        "cpuset": text(fields, "cpuset", _CPUSET) if given("cpuset") else None,
        "memory_mib": whole(fields, "memory_mib", 1, _MAX_MIB) if given("memory_mib") else None,
        "pids": whole(fields, "pids", 1, 4194304) if given("pids") else None,
        "cpu_weight": whole(fields, "cpu_weight", 1, 10000) if given("cpu_weight") else None,
        "io_weight": whole(fields, "io_weight", 1, 10000) if given("io_weight") else None,
        "require_hard": fields.get("require") == "hard",
    }


def _command(fields: "dict[str, Any]") -> "dict[str, Any]":
    hook = _checkpoint(mapping(fields.get("checkpoint") or {}, "checkpoint"))
    checked = _executed(fields, hook["command"])
    checked["at_most_s"] = None if fields.get("at_most_s") is None else number(fields, "at_most_s", 0.001, 1e9)
    return dict(checked, checkpoint=hook)


def _executed(fields: "dict[str, Any]", more: "list[Any]") -> "dict[str, Any]":
    """What is executed, where and as whom; with `more` words it is not too long."""
    command = fields.get("command")
    if not isinstance(command, list) or not command or not command[0]:
        raise Refused("bad-request", "command is not a list with something to execute")
    env = mapping({} if fields.get("env") is None else fields["env"], "env")
    words = list(command) + list(env) + list(env.values()) + more
    if not all(isinstance(word, str) and "\0" not in word for word in words):
        raise Refused("bad-request", "command and env hold texts without NUL only")
    if any(not key or "=" in key for key in env):
        raise Refused("bad-request", "env holds a name that cannot be one")
    if sum(len(word) for word in words) > _MAX_START_BYTES:
        raise Refused("bad-request", "command and env are longer than %d characters" % _MAX_START_BYTES)
    return {
        "command": command,
        "env": env,
        "cwd": None if fields.get("cwd") is None else text(fields, "cwd"),
        "user": None if fields.get("user") is None else text(fields, "user", _ACCOUNT),
    }


def _checkpoint(fields: "dict[str, Any]") -> "dict[str, Any]":
    """How the work saves itself: `signal` (None: not by one), `command` (empty: not by one), `grace_s`."""
    command = fields.get("command") or []
    if not isinstance(command, list):
        raise Refused("bad-request", "the checkpoint command is not a list")
    name = None if fields.get("signal") is None else text(fields, "signal", _SIGNAL)
    if name is not None and not hasattr(signal, "SIG" + name):
        raise Refused("bad-request", "this node knows no signal %s" % name)
    return {
        "signal": name,
        "command": command,
        "grace_s": 60.0 if fields.get("grace_s") is None else number(fields, "grace_s", 0, 86400),
    }


def _user(fields: "dict[str, Any]") -> "dict[str, Any]":
    return {"user": None if fields.get("user") is None else text(fields, "user", _ACCOUNT)}


def _stop(fields: "dict[str, Any]") -> "dict[str, Any]":
    grace_s = 10.0 if fields.get("grace_s") is None else number(fields, "grace_s", 0, 86400)
    return {"grace_s": grace_s, "checkpoint": bool(fields.get("checkpoint"))}


def _resume(fields: "dict[str, Any]") -> "dict[str, Any]":
    before = fields.get("devices_before")
    if not isinstance(before, list) or len(before) > _MAX_GRANTS:
        raise Refused("bad-request", "devices_before is not a list of at most %d" % _MAX_GRANTS)
    return {"devices_before": [text({"uuid": uuid}, "uuid", _DEVICE_UUID) for uuid in before]}


def _resize(fields: "dict[str, Any]") -> "dict[str, Any]":
    grants = _grants(fields)["grants"]
    before = _resume(fields)["devices_before"]
    if not grants or not before or any(grant["share"] != "exclusive" for grant in grants):
        raise Refused("bad-request", "work is resized from whole devices to whole devices, at least one each")
    for devices in ([grant["device"] for grant in grants], before):
        if len(set(devices)) < len(devices):
            raise Refused("bad-request", "a device is named twice")
    return dict(
        _executed(fields, []),
        devices_before=before,
        grace_s=number(fields, "grace_s", 0, 86400),
        require_hard=fields.get("require") == "hard",
    )


def _flag(fields: "dict[str, Any]", name: str) -> bool:
    value = fields.get(name)
    if not isinstance(value, bool):
        raise Refused("bad-request", "%s is not true or false" % name)
    return value


def _mig_mode(fields: "dict[str, Any]") -> "dict[str, Any]":
    return {"mig_enabled": _flag(fields, "mig_enabled")}


def _place(fields: "dict[str, Any]") -> "dict[str, Any]":
    given = fields.get("mig_instance") is not None
    return {
        "place": text(fields, "place", _PLACE),
        "mig_instance": text(fields, "mig_instance", _DEVICE_UUID) if given else None,
    }


def _set(fields: "dict[str, Any]") -> "dict[str, Any]":
    return {name: _settings(mapping(fields.get(name) or {}, name)) for name in ("wanted", "before")}


def _settings(fields: "dict[str, Any]") -> "dict[str, Any]":
    """Settings that are given: power_limit_w, sm_clock_min_mhz and _max_mhz, compute_mode, persistence."""
    checked: "dict[str, Any]" = {}
    if "power_limit_w" in fields:
        checked["power_limit_w"] = float(number(fields, "power_limit_w", 1, 100000))
    for name in ("sm_clock_min_mhz", "sm_clock_max_mhz"):
        if name in fields:
            checked[name] = whole(fields, name, 0, 100000)
    if ("sm_clock_min_mhz" in checked) != ("sm_clock_max_mhz" in checked):
        raise Refused("bad-request", "a clock range has both ends")
    if "compute_mode" in fields:
        if fields["compute_mode"] not in _COMPUTE_MODES:
            raise Refused("bad-request", "no such compute mode: %r" % (fields["compute_mode"],))
        checked["compute_mode"] = fields["compute_mode"]
    if "persistence" in fields:
        checked["persistence"] = _flag(fields, "persistence")
    return checked


def _process(fields: "dict[str, Any]") -> "dict[str, Any]":
    given = mapping(fields.get("process"), "process")
    if given.get("action") is not None and given["action"] not in _ACTIONS:
        raise Refused("bad-request", "no such action: %r" % (given["action"],))
    return {
        "process": dict(
            _identity(given),
            action=given.get("action"),
            grace_s=10.0 if given.get("grace_s") is None else number(given, "grace_s", 0, 86400),
        )
    }


def _signal(fields: "dict[str, Any]") -> "dict[str, Any]":
    given = mapping(fields.get("process"), "process")
    if given.get("signal") not in SIGNALS:
        raise Refused("bad-request", "no signal that can be sent: %r" % (given.get("signal"),))
    return {"process": dict(_identity(given), signal=given["signal"])}


def _identity(given: "dict[str, Any]") -> "dict[str, Any]":
    """Pid and start of a process other than the first of all."""
    return {"pid": whole(given, "pid", 2, 1 << 22), "started_at_s": number(given, "started_at_s", 0, 1e12)}


def _claimed_for(fields: "dict[str, Any]") -> "dict[str, Any]":
    """A claim for a process that runs already names it."""
    return _process(fields) if fields.get("process") is not None else {"process": None}


_CHECKS = (
    (("claim",), _claimed_for),
    (("claim", "limit", "start", "adopt", "suspend", "resume", "resize", "mps-start", "mps-stop"), _grants),
    (("limit", "start", "adopt"), _limits),
    (("start",), _command),
    (("adopt", "mps-start", "mps-stop"), _user),
    (("stop",), _stop),
    (("resume",), _resume),
    (("resize",), _resize),
    (("mig-mode",), _mig_mode),
    (("mig-create", "mig-destroy"), _place),
    (("set",), _set),
    (("adopt", "evict"), _process),
    (("signal",), _signal),
)
"""What each kind of step carries beside its name."""
