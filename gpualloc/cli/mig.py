"""`gpualloc mig`: MIG instances as they are, and as they are to be."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpualloc.cli import shared
from gpualloc.cli.asking import confirmed, need_somebody
from gpualloc.cli.layout_file import layouts_document, read_layouts, wishes_of
from gpualloc.cli.outcome import CHANGES, Answer, look, reached_code, say
from gpualloc.cli.progress import nodes_seen
from gpualloc.cli.reporting import applied, tell_step
from gpualloc.cli.stopping import stoppable
from gpualloc.engine.apply import apply as apply_plan
from gpualloc.engine.devices import find_device
from gpualloc.engine.mig import Wish, layout_of_device, layout_plan
from gpualloc.engine.observe import look as look_at
from gpualloc.engine.observe import observe
from gpualloc.errors import GpuallocError, UsageError
from gpualloc.model.mig import layout_text, parse_target
from gpualloc.views.envelope import unreached
from gpualloc.views.mig import mig_data, mig_devices, mig_text, show_data, show_text
from gpualloc.views.plan import plan_data, plan_text

if TYPE_CHECKING:
    from gpualloc.engine.context import Context
    from gpualloc.model.inventory import Snapshot
    from gpualloc.model.plan import Plan

app = shared.verb_app(no_args_is_help=True)

Device = Annotated[
    str | None, typer.Option("--device", metavar="UUID", help="Device: UUID, unique start of it, or NODE:INDEX.")
]
LayoutText = Annotated[
    str | None,
    typer.Option("--layout", metavar="PLACES", help="As 3g.40gb@0,2g.20gb@4; empty: no instances; off: MIG mode off."),
]
LayoutFile = Annotated[
    str | None, typer.Option("-f", "--file", metavar="FILE", help="Layouts of several devices (docs/mig.md).")
]
Drain = Annotated[bool, typer.Option("--drain", help="End or suspend gpualloc's own work that is in the way.")]


@app.callback()
def mig() -> None:
    """MIG instances: list them, plan and apply layouts, export and assert them."""


@app.command("list")
def list_(ctx: typer.Context, names: shared.NodeNames = None) -> Answer:
    """Show every device that knows MIG with its instances and who has them."""
    with shared.open_world(ctx, looks=True) as world:
        chosen = shared.chosen_nodes(world, names)
        with nodes_seen(world, chosen) as progress:
            snapshot = look_at(world, chosen, progress)
    return Answer(
        mig_data(snapshot),
        lambda screen: mig_text(snapshot, screen),
        errors=unreached(snapshot),
        exit_code=reached_code(snapshot),
    )


@app.command()
def show(
    ctx: typer.Context,
    device: Annotated[str, typer.Argument(metavar="DEVICE", help="UUID, unique start of it, or NODE:INDEX.")],
) -> Answer:
    """Show one device: its instances, the profiles it could have, and where there is room."""
    with shared.open_world(ctx) as world:
        node, found = find_device(observe(world), device)
    return Answer(show_data(node, found), lambda screen: show_text(node, found, screen))


@app.command()
def plan(
    ctx: typer.Context,
    *,
    device: Device = None,
    layout: LayoutText = None,
    file: LayoutFile = None,
    drain: Drain = False,
    detailed_exitcode: shared.DetailedExitCode = False,
) -> Answer:
    """Show the steps to a layout; nothing is changed."""
    with shared.open_world(ctx) as world:
        made = _planned(world, device, layout, file, drain=drain)
        names = shared.names_of(world)
    return Answer(
        plan_data(made),
        lambda screen: plan_text(made, names, screen),
        exit_code=CHANGES if detailed_exitcode and made.applyable else 0,
    )


@app.command()
def apply(
    ctx: typer.Context,
    *,
    device: Device = None,
    layout: LayoutText = None,
    file: LayoutFile = None,
    drain: Drain = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    wait: shared.Wait = None,
) -> Answer:
    """Bring a layout about: show the steps, ask, then do them. An instance that the layout keeps is not touched."""
    if not yes:
        need_somebody("mig apply")
    wait_s = shared.wait_s(wait)
    with shared.open_world(ctx) as world:
        made = _planned(world, device, layout, file, drain=drain)
        names = shared.names_of(world)
        data = {"plan": plan_data(made), "report": None, "confirmed": True}
        if not made.applyable:
            return Answer(data, lambda screen: plan_text(made, names, screen))
        say(plan_text(made, names, look(sys.stderr)))
        if not yes and not confirmed("mig apply"):
            return Answer({**data, "confirmed": False}, lambda _look: "nothing was done")
        with stoppable(world) as going:
            report = apply_plan(going, made, wait_s=wait_s, on_step=tell_step)
    return applied(made, report)


@app.command()
def export(
    ctx: typer.Context,
    names: shared.NodeNames = None,
    output: Annotated[str | None, typer.Option("-o", "--output", metavar="FILE", help="Write to this file.")] = None,
) -> Answer:
    """Print the layouts as they are, as a file that `mig apply -f` and `mig assert -f` take."""
    with shared.open_world(ctx) as world:
        snapshot = observe(world, shared.chosen_nodes(world, names))
    devices = [(node, device, layout_of_device(device)) for node, device in mig_devices(snapshot)]
    document = layouts_document(devices)
    if output:
        _write(Path(output), document)
    data = {
        "layouts": [
            {"device": device.uuid, "node": node.name, "layout": layout_text(layout)}
            for node, device, layout in devices
        ]
    }
    text = "" if output else document.rstrip("\n")
    return Answer(data, lambda _look: text, errors=unreached(snapshot))


@app.command("assert")
def assert_(ctx: typer.Context, device: Device = None, layout: LayoutText = None, file: LayoutFile = None) -> Answer:
    """Compare layouts with those in force, change nothing; exit code 1 when one differs."""
    with shared.open_world(ctx) as world:
        wishes = _wishes(observe(world), device, layout, file)
    rows = [(wish, layout_text(wish.target), layout_text(layout_of_device(wish.device))) for wish in wishes]
    differing = [row for row in rows if row[1] != row[2]]
    data = {
        "holds": not differing,
        "devices": [
            {
                "device": wish.device.uuid,
                "node": wish.node.name,
                "wanted": wanted,
                "found": found,
                "holds": wanted == found,
            }
            for wish, wanted, found in rows
        ],
    }
    lines = [
        f"{wish.node.name} GPU {wish.device.index}: has {found or 'no instances'}, wanted {wanted or 'no instances'}"
        for wish, wanted, found in differing
    ]
    text = "\n".join(lines) if lines else f"all {len(rows)} as wanted"
    return Answer(data, lambda _look: text, exit_code=GpuallocError.exit_code if differing else 0)


def _planned(world: Context, device: str | None, layout: str | None, file: str | None, *, drain: bool) -> Plan:
    with nodes_seen(world) as progress:
        snapshot = observe(world, progress=progress)
    made = layout_plan(world, _wishes(snapshot, device, layout, file), snapshot, drain=drain)
    world.journal.save_plan(made)
    return made


def _wishes(snapshot: Snapshot, device: str | None, layout: str | None, file: str | None) -> Sequence[Wish]:
    if file is not None and device is None and layout is None:
        return wishes_of(read_layouts(Path(file)), snapshot)
    if file is not None or device is None or layout is None:
        raise UsageError("give --device and --layout, or a file", hint="--device UUID --layout 3g.40gb@0, or -f FILE")
    target = parse_target(layout)
    return (Wish(*find_device(snapshot, device), target),)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise GpuallocError(f"the layouts cannot be written to {path}: {error.strerror}") from error
