"""Options that several verbs take, declared once and attached to each, and the way from them to the world.

typer ≥ 0.25 turns every value with pydantic, whose import alone takes longer than reading eight GPUs. Values are
therefore left as the text they are (`make_plain`) and turned by `cli.values` and `model.units`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec.structs import replace

from gpualloc.cli.outcome import say
from gpualloc.model.units import parse_duration_s

if TYPE_CHECKING:
    from gpualloc.engine.context import Context
    from gpualloc.model.alert import Delivered, Transition
    from gpualloc.model.plan import Run
    from gpualloc.wiring import Options

_HELP = {"help_option_names": ["-h", "--help"]}
_GIVEN = "gpualloc.given"

ConfigFile = Annotated[str | None, typer.Option("--config", metavar="FILE", help="Configuration file.")]
Sim = Annotated[
    str | None,
    typer.Option("--sim", metavar="SIM", envvar="GPUALLOC_SIM", help="Use a simulated cluster: its name or its file."),
]
StateDir = Annotated[
    str | None,
    typer.Option("--state-dir", metavar="DIR", envvar="GPUALLOC_STATE_DIR", help="Where all state is kept."),
]
Version = Annotated[bool, typer.Option("--version", help="Show the version and exit.")]
Json = Annotated[bool, typer.Option("--json", help="Answer as JSON (docs/json.md).")]
Csv = Annotated[bool, typer.Option("--csv", help="Answer as CSV.")]
NodeNames = Annotated[
    list[str] | None, typer.Argument(metavar="[NODE]...", help="Node names or sets, such as gpu[01-04]; all if none.")
]
SomeNodes = Annotated[list[str], typer.Argument(metavar="NODE...", help="Node names or sets, such as gpu[01-04].")]
OneDevice = Annotated[
    str | None, typer.Option("--device", metavar="DEVICE", help="One device of the node: index or UUID.")
]
Reason = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why, as others read it.")]
Workloads = Annotated[list[str], typer.Argument(metavar="WORKLOAD...", help="Id, unique start of an id, or name.")]
OneWorkload = Annotated[str, typer.Argument(metavar="WORKLOAD", help="Id, unique start of an id, or name.")]
Policy = Annotated[str | None, typer.Option("--policy", metavar="POLICY", help="Decide with this policy.")]
Objective = Annotated[
    str | None, typer.Option("--objective", metavar="WHAT", help="Choose places for: cost, jct, energy or balanced.")
]
PolicyProfile = Annotated[
    str | None, typer.Option("--policy-profile", metavar="SAVED", help="Let the policy decide by this saved profile.")
]
Wait = Annotated[
    str | None, typer.Option("--wait", metavar="DURATION", help="How long to wait for the lock when another holds it.")
]
MaxDisturbed = Annotated[
    str | None,
    typer.Option(
        "--max-disturbed", metavar="NUMBER", help="Most workloads, processes and devices to disturb. [default: 10]"
    ),
]
DetailedExitCode = Annotated[
    bool, typer.Option("--detailed-exitcode", help="Exit with 10 when there is something to change.")
]


def verb_app(**settings: Any) -> typer.Typer:
    """A typer app without what costs time at start: no rich, no completion options, no pretty tracebacks."""
    return typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=_HELP,
        **settings,
    )


def world_options(config: ConfigFile = None, sim: Sim = None, state_dir: StateDir = None) -> None:
    """Options of every verb; also taken before the verb."""


def json_option(json: Json = False) -> None:
    """The option of every verb that answers."""


def attach(command: Any, declared: Sequence[Callable[..., None]]) -> None:
    """Give the command, and those below it, the options that functions declare; read them with `given`."""
    for below in getattr(command, "commands", {}).values():
        attach(below, declared)
    make_plain(command, envvars=True)
    if hasattr(command, "commands"):
        return
    for declare in declared:
        app = verb_app()
        app.command()(declare)
        for param in typer.main.get_command(app).params:
            own = copy.copy(param)
            own.expose_value = False
            own.callback = _remember
            _plain(own, envvars=False)
            command.params.append(own)


def make_plain(command: Any, *, envvars: bool) -> None:
    """Let the command's parameters, `--help` among them, keep the text they were given."""
    for param in command.params:
        _plain(param, envvars=envvars)
    found = command.get_help_option

    def get_help_option(ctx: Any) -> Any:
        option = found(ctx)
        if option is not None:
            _plain(option, envvars=envvars)
        return option

    command.get_help_option = get_help_option


def _plain(param: Any, *, envvars: bool) -> None:
    if not envvars:
        param.envvar = None
    flag = getattr(param, "is_flag", False)
    several = getattr(param, "multiple", False) or param.nargs != 1
    checked = param.process_value

    def process_value(ctx: Any, value: Any) -> Any:
        if param.required and not value:
            return checked(ctx, value)
        kept = bool(value) if flag else [str(part) for part in value or ()] if several else value
        return param.callback(ctx, param, kept) if param.callback else kept

    param.process_value = process_value


def _remember(ctx: Any, param: Any, value: Any) -> Any:
    remember(ctx, **{param.name: value})
    return value


def remember(ctx: Any, **values: Any) -> None:
    """Keep option values for `given`; one that was not given does not hide an earlier one."""
    kept = ctx.meta.setdefault(_GIVEN, {})
    kept.update({name: value for name, value in values.items() if value or name not in kept})


def given(ctx: typer.Context) -> Mapping[str, Any]:
    """Values of the attached options, by parameter name."""
    values: Mapping[str, Any] = ctx.meta[_GIVEN]
    return values


def options(ctx: typer.Context, overrides: Mapping[str, str] | None = None) -> Options:
    """What the attached options say; `overrides` are configuration keys set by flags of the verb."""
    from gpualloc.wiring import Options

    values = given(ctx)
    return Options(
        config=_path(values["config"]),
        sim=values["sim"] or None,
        state_dir=_path(values["state_dir"]),
        overrides=overrides or {},
    )


@contextmanager
def open_world(
    ctx: typer.Context, overrides: Mapping[str, str] | None = None, *, looks: bool = False
) -> Iterator[Context]:
    """Open what the options name: configuration, fleet, state.

    `looks` says that the nodes are going to be looked at: this machine then gets ready while the verb does.
    """
    from gpualloc.wiring import open_context

    with open_context(options(ctx, overrides), looks=looks) as world:
        yield replace(
            world,
            on_resume=_tell_resumed,
            on_alert=lambda transition: _tell_alert(transition, simulated=world.simulated),
            on_undelivered=_tell_undelivered,
        )


def _tell_resumed(run: Run) -> None:
    from gpualloc.views.runs import resumed_line

    say(resumed_line(run))


def _tell_alert(transition: Transition, *, simulated: bool) -> None:
    from gpualloc.views.alerts import transition_line

    say(transition_line(transition, simulated=simulated))


def _tell_undelivered(delivered: Delivered) -> None:
    from gpualloc.views.alerts import undelivered_line

    say(undelivered_line(delivered))


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def chosen_nodes(world: Context, texts: Sequence[str] | None) -> tuple[str, ...] | None:
    """The node names that sets such as `gpu[01-04]` or `@pool` stand for; None when nothing was named.

    Raises:
        UsageError: a text is no node set, or names no pool.
    """
    if not texts:
        return None
    from gpualloc.config.nodeset import nodes_meant

    return nodes_meant(texts, world.fleet.specs())


def names_of(world: Context) -> dict[str, str]:
    """Workload names by id, of work not ended or ended within the last day."""
    from gpualloc.engine.settle import SHOWN_AFTER_END_S

    shown = world.journal.workloads(ended_since_s=world.clock.now_s() - SHOWN_AFTER_END_S)
    return {workload.id: workload.name for workload in shown}


def wait_s(text: str | None) -> float:
    """`--wait` in seconds; not waiting at all when it was not given."""
    return parse_duration_s(text) if text else 0.0


def policy_override(
    policy: str | None,
    profile: str | None = None,
    objective: str | None = None,
    max_disturbed: str | None = None,
) -> dict[str, str]:
    """The configuration that `--policy`, `--policy-profile`, `--objective` and `--max-disturbed` override.

    A policy named without a profile decides by its own numbers, whatever profile is configured.
    """
    given_keys = {
        "policy": policy,
        "policy_profile": profile,
        "objective": objective,
        "apply.max_disturbed": max_disturbed,
    }
    named = {key: text for key, text in given_keys.items() if text}
    return {"policy_profile": "", **named} if policy else named
