"""The rules by which a device is given away. Pure: what is measured and claimed in, a refusal out."""

from typing import Any

from gpualloc.node.wire import Refused

MARGIN_MIB = 64
"""Free GPU memory that must remain beyond what is asked for."""

CLAIM_FIELDS = ("device", "mig_instance", "workload", "controller", "share", "fraction", "memory_mib", "at_s")
"""What the wire tells of a claim; its attempt stays on the node."""


def alive(claims: "list[dict[str, Any]]", records: "list[dict[str, Any]]") -> "list[dict[str, Any]]":
    """The claims in force: those whose start has not ended yet, be it running or still to come."""
    ended = {record["workload"]: record["attempt"] for record in records if record["end"] is not None}
    return [claim for claim in claims if claim["attempt"] > ended.get(claim["workload"], -1)]


def made(step: "dict[str, Any]", at_s: float) -> "list[dict[str, Any]]":
    """The claims that a claim step asks for."""
    own = {"workload": step["workload"], "controller": step["controller"], "attempt": step["attempt"], "at_s": at_s}
    return [dict(grant, **own) for grant in step["grants"]]


def located(grants: "list[dict[str, Any]]", inventory: "dict[str, Any]") -> "list[dict[str, Any]]":
    """The grants, each that names a MIG instance by its place with the UUID of the one that lies there.

    Raises Refused (`gone`) when none does.
    """
    return [grant if grant["place"] is None else _located(grant, inventory) for grant in grants]


def _located(grant: "dict[str, Any]", inventory: "dict[str, Any]") -> "dict[str, Any]":
    for device in inventory["devices"]:
        for instance in device["mig_instances"] if device["uuid"] == grant["device"] else ():
            if "%s@%s" % (instance["profile"], instance["start"]) == grant["place"]:
                return dict(grant, mig_instance=instance["uuid"], place=None)
    raise Refused("gone", "no MIG instance lies at %s of %s" % (grant["place"], grant["device"]))


def in_force(step: "dict[str, Any]", claims: "list[dict[str, Any]]") -> bool:
    """Whether exactly the grants of a claim step are claimed by its workload, for this attempt."""

    def key(claim: "dict[str, Any]") -> "tuple[Any, ...]":
        return tuple(str(claim[name]) for name in (*CLAIM_FIELDS[:-1], "attempt"))

    own = [claim for claim in claims if claim["workload"] == step["workload"]]
    return sorted(map(key, own)) == sorted(map(key, made(step, 0.0)))


def again(step: "dict[str, Any]", claims: "list[dict[str, Any]]", at_s: float) -> "list[dict[str, Any]]":
    """The claims to write down so that the step's workload has its grants again; none when it still has them.

    Raises Refused (`claimed`) when another workload has them by now.
    """
    if in_force(step, claims):
        return []
    others = [claim for claim in claims if claim["workload"] != step["workload"]]
    for grant in step["grants"]:
        _check_conflict(grant, [claim for claim in others if claim["device"] == grant["device"]])
    return made(step, at_s)


def check(
    step: "dict[str, Any]",
    claims: "list[dict[str, Any]]",
    inventory: "dict[str, Any]",
    sample: "dict[str, Any]",
    processes: "list[dict[str, Any]]",
) -> None:
    """Refuse a claim step unless each of its grants is healthy, free, large enough and without strangers.

    `claims` are those in force; the workload's own are left out of account, so that it can be claimed anew.
    """
    mine = [claim for claim in claims if claim["workload"] == step["workload"]]
    if any(claim["controller"] != step["controller"] for claim in mine):
        raise Refused("claimed", "workload %s belongs to another controller" % step["workload"])
    taken = [claim for claim in claims if claim["workload"] != step["workload"]]
    for grant in step["grants"]:
        device = _device(grant, inventory)
        reading = next((one for one in sample["devices"] if one["uuid"] == grant["device"]), None)
        _check_health(device, reading)
        _check_conflict(grant, [claim for claim in taken if claim["device"] == grant["device"]])
        _check_strangers(grant, step["workload"], processes)
        _check_memory(grant, device, reading or {}, taken)
        # The next grant of the same step must not take what this one was given.
        taken = [*taken, dict(grant, workload=step["workload"])]


def _device(grant: "dict[str, Any]", inventory: "dict[str, Any]") -> "dict[str, Any]":
    for device in inventory["devices"]:
        if device["uuid"] != grant["device"]:
            continue
        if grant["share"] != "mig" and device.get("mig_enabled"):
            raise Refused("gone", "device %s is in MIG mode and cannot be given as a whole" % grant["device"])
        if grant["share"] == "mig" and _instance(grant, device) is None:
            raise Refused("gone", "MIG instance %s does not exist on %s" % (grant["mig_instance"], grant["device"]))
        found: "dict[str, Any]" = device
        return found
    raise Refused("gone", "device %s does not exist on this node" % grant["device"])


def _instance(grant: "dict[str, Any]", row: "dict[str, Any]") -> "dict[str, Any] | None":
    instances: "list[dict[str, Any]]" = row.get("mig_instances") or []
    return next((one for one in instances if one["uuid"] == grant["mig_instance"]), None)


def _check_health(device: "dict[str, Any]", reading: "dict[str, Any] | None") -> None:
    if reading is None:
        raise Refused("gone", "device %s is not there any more" % device["uuid"])
    for row in (device, reading):
        if row["state"] != "ok":
            reason = " (%s)" % row["reason"] if row.get("reason") else ""
            raise Refused("unhealthy", "device %s: %s%s" % (device["uuid"], row["state"], reason))


def _check_conflict(grant: "dict[str, Any]", others: "list[dict[str, Any]]") -> None:
    if grant["share"] == "mig":
        blocking = [c for c in others if c["share"] != "mig" or c["mig_instance"] == grant["mig_instance"]]
    elif grant["share"] == "exclusive":
        blocking = others
    else:
        blocking = [claim for claim in others if claim["share"] != grant["share"]]
        given = sum(claim["fraction"] for claim in others)
        if not blocking and given + grant["fraction"] > 1 + 1e-9:
            raise Refused(
                "claimed",
                "%g of device %s is given already, %g more do not fit" % (given, grant["device"], grant["fraction"]),
            )
    if blocking:
        raise Refused(
            "claimed",
            "%s is given to workload %s" % (grant["mig_instance"] or grant["device"], blocking[0]["workload"]),
        )


def _check_strangers(grant: "dict[str, Any]", workload: str, processes: "list[dict[str, Any]]") -> None:
    if grant["share"] in ("time-slice", "mps"):
        return
    for process in processes:
        same = process["device"] == grant["device"] and process["mig_instance"] == grant["mig_instance"]
        if same and process["workload"] != workload:
            raise Refused(
                "stranger",
                "process %d of %s uses %s"
                % (process["pid"], process["user"] or "an unknown user", grant["mig_instance"] or grant["device"]),
            )


def _check_memory(
    grant: "dict[str, Any]", device: "dict[str, Any]", reading: "dict[str, Any]", taken: "list[dict[str, Any]]"
) -> None:
    need = grant["memory_mib"]
    if need is None:
        return
    row, used_row = device, reading
    if grant["share"] == "mig":
        row, used_row = _instance(grant, device) or {}, _instance(grant, reading) or {}
    total, used = row.get("memory_total_mib"), used_row.get("memory_used_mib")
    name = grant["mig_instance"] or grant["device"]
    if total is None or used is None:
        raise Refused("memory", "%s does not tell how much of its memory is free" % name)
    same = [c for c in taken if c["device"] == grant["device"] and c["mig_instance"] == grant["mig_instance"]]
    # What others booked and have not touched yet is not free either.
    free = total - max(used, sum(total if c["memory_mib"] is None else c["memory_mib"] for c in same))
    if free < need + MARGIN_MIB:
        raise Refused(
            "memory", "%s has %d MiB free; %d MiB and %d MiB of margin are needed" % (name, free, need, MARGIN_MIB)
        )
