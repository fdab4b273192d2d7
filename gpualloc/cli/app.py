"""The command line: a table of verbs, each in a module of its own that is imported only when it is called.

A verb is a module with

- `app`: a `typer.Typer` made by `gpualloc.cli.shared.verb_app()`, with one command (or several below a callback, such
  as `config show`);
- functions that parse, call the engine and return an `outcome.Answer`: data for `--json` and a function that makes the
  text. `outcome` prints it. A failure is a `GpuallocError` that is raised, never printed;
- parameters declared as `str`, `list[str]` or `bool`; `cli.values` and `model.units` turn text
  into what it means and tell what was expected.
  Their metavar says what completes them (`cli.completions`).

Options every verb takes (`--config`, `--sim`, `--state-dir`, `--json`) are attached here and read with
`shared.open_world(ctx)`; a verb declares none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import typer
from msgspec import Struct
from typer.core import TyperGroup

from gpualloc import __version__
from gpualloc.cli import outcome, shared
from gpualloc.errors import UsageError


class Verb(Struct, frozen=True):
    """A verb as the root help shows it, before its module is imported."""

    help: str
    panel: str
    module: str
    json: bool = True
    """Whether it takes `--json`."""
    hidden: bool = False


LOOK, WORK, CHANGE, SETUP = "Look", "Work", "Decide and change", "Set up"

VERBS: dict[str, Verb] = {
    "nodes": Verb("Nodes and devices with their readings", LOOK, "nodes"),
    "processes": Verb("Processes on the GPUs, whoever started them", LOOK, "processes"),
    "top": Verb("Full-screen dashboard", LOOK, "top", json=False),
    "free": Verb("What could be had now, in one line", LOOK, "free"),
    "status": Verb("When work was last placed, what waits, who holds the lock", LOOK, "status"),
    "health": Verb("What is wrong with nodes and devices, and what to do", LOOK, "health"),
    "events": Verb("What happened: Xids, lost GPUs, reboots", LOOK, "events"),
    "history": Verb("Readings over time, as a chart or as numbers", LOOK, "history"),
    "replay": Verb("What happened in a recording", LOOK, "replay"),
    "assess": Verb("What GPUs did, what was wasted, what could be saved", LOOK, "assess"),
    "forecast": Verb("What series are going to be, and how sure that is", LOOK, "forecast"),
    "alerts": Verb("Alerts: what is firing, what fired, tests, silences", LOOK, "alerts"),
    "audit": Verb("What was done, to what, by whom", LOOK, "audit"),
    "submit": Verb("Ask for devices and limits for a command", WORK, "submit"),
    "run": Verb("Submit, place, follow the output, return the exit code", WORK, "run", json=False),
    "ps": Verb("Workloads that wait, run, or ended in the last day", WORK, "ps"),
    "show": Verb("Everything known of one workload", WORK, "show"),
    "phases": Verb("How a workload used its GPUs over time, and will use next", WORK, "phases"),
    "why": Verb("Why a workload waits, and what would help", WORK, "why"),
    "logs": Verb("The output of a workload", WORK, "logs"),
    "wait": Verb("Wait until a workload ends", WORK, "wait"),
    "release": Verb("End workloads and give their devices back", WORK, "release"),
    "adopt": Verb("Take a running process in as a workload", WORK, "adopt"),
    "let-go": Verb("Let an adopted process run on without gpualloc", WORK, "let_go"),
    "signal": Verb("Send a signal to processes of a node", WORK, "signalling"),
    "suspend": Verb("Move a workload's GPU memory to the host and free its devices", WORK, "suspend"),
    "resume": Verb("Let a suspended workload go on", WORK, "resume"),
    "plan": Verb("What would be changed now, and why", CHANGE, "plan"),
    "apply": Verb("Carry a plan out", CHANGE, "apply"),
    "recover": Verb("Interrupted runs: list, go on, roll back, give up", CHANGE, "recover"),
    "undo": Verb("Take a finished run back", CHANGE, "undo"),
    "rebalance": Verb("Plan and apply once, without asking; for cron", CHANGE, "rebalance"),
    "cordon": Verb("Let nodes or a device take no new work", CHANGE, "cordon"),
    "uncordon": Verb("Let them take new work again", CHANGE, "uncordon"),
    "burnin": Verb("Test a cordoned node before it takes work", CHANGE, "burnin"),
    "drain": Verb("Empty nodes or a device", CHANGE, "drain"),
    "scale": Verb("How many nodes pools should have, and your programs that see to it", CHANGE, "scale"),
    "drift": Verb("What is not as gpualloc made it", CHANGE, "drift"),
    "reconcile": Verb("Make things again as gpualloc made them", CHANGE, "reconcile"),
    "set": Verb("Power limits, clocks and compute mode of devices", CHANGE, "settings"),
    "mig": Verb("MIG instances: list, plan, apply, export and assert layouts", CHANGE, "mig"),
    "enforce": Verb("Processes on GPUs they were not given, and what the rules do", CHANGE, "enforce"),
    "sample": Verb("Write one reading of everything to the history", CHANGE, "sample"),
    "exporter": Verb("Serve readings to Prometheus", CHANGE, "exporter", json=False),
    "record": Verb("Write what nodes tell to a file that --sim opens", CHANGE, "record"),
    "policies": Verb("The policies that can decide", CHANGE, "policies"),
    "simulate": Verb("Policies on traces: packing, comparisons, bounds", CHANGE, "simulate"),
    "tune": Verb("Search for a better profile of a policy", CHANGE, "tune"),
    "init": Verb("Look round and write a commented configuration", SETUP, "init"),
    "config": Verb("The configuration in force and where it comes from", SETUP, "config"),
    "store": Verb("What is remembered: size, upkeep, backups, export", SETUP, "store"),
    "doctor": Verb("Find out what is wrong with nodes and set-up", SETUP, "doctor"),
    "node": Verb("Prepare this machine as a node", SETUP, "node"),
    "completion": Verb("Print the completion file of a shell", SETUP, "completion"),
    "__complete": Verb("Values for shell completion", SETUP, "complete", json=False, hidden=True),
}


class LazyGroup(TyperGroup):
    """The root command: knows its verbs by the table and imports one when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  typer's signature
        """Verbs in the order of the table, without the hidden ones."""
        return [name for name, verb in VERBS.items() if not verb.hidden]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002  typer's signature
        """Import the verb's module and give its command the options every verb takes; None when unknown."""
        verb = VERBS.get(cmd_name)
        return None if verb is None else load(cmd_name, verb)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As typer does, but an unknown verb is our own error with the nearest verb as its hint."""
        if args[0] not in VERBS:
            from difflib import get_close_matches

            near = get_close_matches(args[0], self.list_commands(ctx), n=1, cutoff=0.5)
            hint = f"did you mean `gpualloc {near[0]}`?" if near else "`gpualloc --help` lists the verbs"
            raise UsageError(f"{args[0]!r} is not a verb of gpualloc", hint=hint)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002  typer's signature
        """The verbs by panel, from the table alone."""
        for panel in (LOOK, WORK, CHANGE, SETUP):
            with formatter.section(panel):
                formatter.write_dl([(n, v.help) for n, v in VERBS.items() if v.panel == panel and not v.hidden])


def load(name: str, verb: Verb) -> Any:
    """The verb's command with its shared options, importing its module."""
    module = import_module(f"gpualloc.cli.{verb.module}")
    command = typer.main.get_command(module.app)
    command.name = name
    declared = [shared.world_options, *getattr(module, "DECLARED_BY", ())]
    if verb.json:
        declared.append(shared.json_option)
    shared.attach(command, declared)
    return command


_root = shared.verb_app(cls=LazyGroup, no_args_is_help=False, invoke_without_command=True)


@_root.callback()
def root(
    ctx: typer.Context,
    config: shared.ConfigFile = None,
    sim: shared.Sim = None,
    state_dir: shared.StateDir = None,
    version: shared.Version = False,
) -> int | None:
    """See, plan and apply GPU allocations on servers you reach locally or over ssh."""
    shared.remember(ctx, config=config, sim=sim, state_dir=state_dir)
    if version:
        outcome.write(f"gpualloc {__version__}\n")
    elif ctx.invoked_subcommand is None:
        outcome.write(ctx.get_help() + "\n")
    return 0


def root_command() -> Any:
    """The whole command line, its verbs not yet imported."""
    command = typer.main.get_command(_root)
    shared.make_plain(command, envvars=True)
    return command


def main(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit status; every failure ends here as a message."""
    outcome.ready_streams()
    call = outcome.Call.read(arguments, VERBS)
    with outcome.guarded(call) as status:
        result = root_command().main(args=list(arguments), prog_name="gpualloc", standalone_mode=False)
        status.code = outcome.finish(call, result)
    return status.code
