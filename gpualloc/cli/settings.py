"""`gpualloc set`: power limit, clocks, compute mode and persistence of devices."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from gpualloc.cli import shared, stopping
from gpualloc.cli.asking import confirmed
from gpualloc.cli.outcome import Answer, look, say
from gpualloc.cli.progress import nodes_seen
from gpualloc.cli.reporting import applied, tell_step
from gpualloc.engine.settings import carry_out, is_device, settings_plan
from gpualloc.errors import UsageError
from gpualloc.model.desired import ComputeMode, DeviceSettings
from gpualloc.planning.settings import SettingsChange, parse_clocks, parse_power_w
from gpualloc.views.plan import plan_data, plan_text

app = shared.verb_app()

_MODES = [mode.value for mode in ComputeMode]


@app.command()
def change_settings(
    ctx: typer.Context,
    names: Annotated[
        list[str],
        typer.Argument(metavar="NODE...", help="Nodes or sets (all their devices); or devices: NODE:INDEX or UUIDs."),
    ],
    *,
    device: shared.OneDevice = None,
    power: Annotated[
        str | None, typer.Option("--power", metavar="WATTS", help="Power limit, such as 250W; or default.")
    ] = None,
    clocks: Annotated[
        str | None,
        typer.Option("--clocks", metavar="MHZ", help="Lock SM clocks to a range such as 210-1410; or reset."),
    ] = None,
    compute_mode: Annotated[
        str | None,
        typer.Option("--compute-mode", metavar="MODE", help="default, exclusive-process or prohibited."),
    ] = None,
    persistence: Annotated[str | None, typer.Option("--persistence", metavar="ON|OFF", help="on or off.")] = None,
    release: Annotated[bool, typer.Option("--release", help="Give back everything that gpualloc set.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    wait: shared.Wait = None,
) -> Answer:
    """Show the plan that sets this on devices, ask, and carry it out; it is kept over reboots by `reconcile --boot`."""
    wait_s = shared.wait_s(wait)
    change = SettingsChange(_settings(power, clocks, compute_mode, persistence), power == "default", release)
    with shared.open_world(ctx) as world:
        targets = [name for name in names if is_device(name)]
        targets += shared.chosen_nodes(world, [name for name in names if name not in targets]) or ()
        with nodes_seen(world) as progress:
            plan = settings_plan(world, targets, device, change, progress)
        names_of = shared.names_of(world)
        if not plan.applyable:
            data = {"plan": plan_data(plan), "report": None, "confirmed": True}
            return Answer(data, lambda screen: plan_text(plan, names_of, screen))
        say(plan_text(plan, names_of, look(sys.stderr)))
        if not yes and not confirmed("set"):
            data = {"plan": plan_data(plan), "report": None, "confirmed": False}
            return Answer(data, lambda _screen: "nothing was done")
        with stopping.stoppable(world) as going:
            report = carry_out(going, plan, release=release, wait_s=wait_s, on_step=tell_step)
    return applied(plan, report)


def _settings(
    power: str | None, clocks: str | None, compute_mode: str | None, persistence: str | None
) -> DeviceSettings:
    if compute_mode is not None and compute_mode not in _MODES:
        raise UsageError(f"--compute-mode {compute_mode!r} is not known", hint=f"it takes {', '.join(_MODES)}")
    if persistence not in (None, "on", "off"):
        raise UsageError(f"--persistence {persistence!r} is not on or off")
    low, high = parse_clocks(clocks) if clocks is not None else (None, None)
    return DeviceSettings(
        power_limit_w=None if power in (None, "default") else parse_power_w(power or ""),
        sm_clock_min_mhz=low,
        sm_clock_max_mhz=high,
        compute_mode=None if compute_mode is None else ComputeMode(compute_mode),
        persistence=None if persistence is None else persistence == "on",
    )
