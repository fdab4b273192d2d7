"""Ask for devices and limits for a command."""

from __future__ import annotations

from gpualloc.config.nodeset import nodes_meant
from gpualloc.engine.chain import OnStep
from gpualloc.engine.submit import submit as submit_request
from gpualloc.errors import UsageError
from gpualloc.model.allocation import Share
from gpualloc.model.asked import request_asked, words
from gpualloc.model.workload import Preemption, check_name, check_request
from gpualloc.tui.actions.action import Answers, Ask, Change, Scene, Targets
from gpualloc.tui.cells import cell
from gpualloc.tui.state import State
from gpualloc.tui.text import plain
from gpualloc.views.submission import starter_text, submission_text
from gpualloc.views.workloads import request_text

_ANY = "as other options imply"
_USUAL = {"gpus": "1", "share": _ANY, "priority": "0", "preempt": Preemption.SUSPEND.value}
"""What holds where nothing is said."""


def submit_asks(state: State, _: Targets) -> tuple[Ask, ...]:
    """What the command line asks for, but what is rare: that has a command line."""
    devices = [device for node in state.seen.nodes for device in node.devices]
    models = tuple(sorted({plain(device.model) for device in devices}))
    profiles = tuple(sorted({one.profile for device in devices for one in device.mig_instances}))
    return (
        Ask("command", "command", placeholder="python train.py --epochs 3"),
        Ask("name", "name", placeholder="that of the command"),
        Ask("gpus", "GPUs", _USUAL["gpus"], "or a range such as 2:8; 0 is CPU-only"),
        Ask("gpu-memory", "memory of each GPU", placeholder="such as 20GiB"),
        Ask("gpu-model", "GPU model", placeholder="part of its name, or several: A100|H100", known=models),
        Ask("share", "share", _USUAL["share"], choices=(_ANY, *(share.value for share in Share))),
        Ask("fraction", "part of each GPU", placeholder="between 0 and 1; whole GPUs if none"),
        Ask("profile", "MIG profile", placeholder="such as 2g.20gb", known=profiles),
        Ask("cpus", "CPU cores", placeholder="such as 2.5; no limit if none"),
        Ask("memory", "host memory", placeholder="such as 16GiB; no limit if none"),
        Ask("priority", "priority", _USUAL["priority"], "higher goes first"),
        Ask("nodes", "nodes", placeholder="any; or a set such as gpu[01-04] or @pool", known=tuple(state.nodes)),
        Ask("cwd", "folder", placeholder="as the node has it, beginning with /"),
        Ask("at-most", "at most", placeholder="stop it after, such as 4h"),
        Ask("preempt", "gives way by", _USUAL["preempt"], choices=tuple(way.value for way in Preemption)),
    )


def submit(scene: Scene, _: Targets, answers: Answers) -> Change:
    """Take a request in.

    Raises:
        UsageError: something that was asked for has no meaning; names its option.
        NotFoundError: an allowed node is not in the fleet.
    """
    ctx = scene.ctx
    flags = {key: text.strip() for key, text in answers.items() if text.strip() not in ("", _USUAL.get(key))}
    command = words("--command", flags.pop("command", ""))
    if not command:
        raise UsageError("--command: nothing is there to be run")
    nodes = nodes_meant([flags["nodes"]], ctx.fleet.specs()) if "nodes" in flags else ()
    name, request = request_asked({**flags, "command": command}, nodes=nodes)
    check_name(name)
    check_request(request)

    def do(_: OnStep) -> tuple[str, ...]:
        taken = submit_request(ctx, name, request)
        told = submission_text(taken.workload, simulated=ctx.simulated)
        starter = starter_text(taken.starter.kind, taken.starter.last_rebalance_s)
        unseen = (f"{node} did not answer; whether the request fits it is not known" for node in taken.unseen)
        return (told, starter, *unseen)

    options = tuple(word for key, text in flags.items() for word in (f"--{key}", text))
    lines = (
        cell(f"{plain(name, 100)}: waits for {request_text(request)}"),
        cell(f"runs as {plain(ctx.actor)}: {plain(' '.join(command))}"),
    )
    return Change("Submit a workload", lines, (("submit", *options, "--", *command),), do)
