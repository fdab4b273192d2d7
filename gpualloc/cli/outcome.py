"""The only place that prints answers and turns failures into messages and exit codes (docs/exit-codes.md)."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, TextIO

import typer
from msgspec import Struct

from gpualloc.errors import GpuallocError, StepError, UnreachableError, UsageError
from gpualloc.views.envelope import envelope
from gpualloc.views.look import Look, Role
from gpualloc.views.text import escape

if TYPE_CHECKING:
    from gpualloc.model.inventory import Snapshot

INTERRUPTED = 130
PIPE_CLOSED = 128 + signal.SIGPIPE
CHANGES = 10
RUN_FAILED = 125
"""What `run` exits with when gpualloc itself fails, so that scripts can tell it from the command's own code."""

_PARSE_ERROR: type[Any] = typer.BadParameter.__mro__[2]
"""The base of everything typer raises about a command line; where it is defined changed between its versions."""


class Answer(Struct, frozen=True):
    """What a verb found out. Nothing is printed before it is complete."""

    data: Mapping[str, object]
    """Becomes `data` of the envelope."""
    text: Callable[[Look], str]
    """Makes the text for a terminal; an empty text prints nothing."""
    messages: tuple[str, ...] = ()
    errors: tuple[GpuallocError, ...] = ()
    """What went wrong without making the whole answer fail, such as nodes that did not answer."""
    exit_code: int = 0


class Call(Struct, frozen=True):
    """What is known of the command line before it is parsed, for messages about failing to parse it."""

    verb: str
    json: bool

    @classmethod
    def read(cls, arguments: Sequence[str], verbs: Collection[str]) -> Call:
        """Look for the verb and `--json` in front of any `--`."""
        ours = list(arguments[: arguments.index("--")] if "--" in arguments else arguments)
        verb = next((word for word in ours if word in verbs), "gpualloc")
        return cls(verb, verb not in ("run", "top") and "--json" in ours)


class Status(Struct):
    """Where `guarded` leaves the exit code."""

    code: int = 0


@contextmanager
def guarded(call: Call) -> Iterator[Status]:
    """Turn whatever is raised inside into a message and an exit code."""
    status = Status()
    try:
        yield status
    except GpuallocError as error:
        status.code = _fail(call, error)
    except _PARSE_ERROR as error:
        status.code = _fail(call, UsageError(error.format_message(), hint=_usage_hint(call)))
    except (KeyboardInterrupt, typer.Abort):
        say("interrupted")
        status.code = INTERRUPTED
    except BrokenPipeError:
        status.code = _reader_left()
    except SystemExit as end:
        # typer ends the program itself when a pipe breaks inside a verb.
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        status.code = _reader_left()
    except Exception as error:  # noqa: BLE001  the outermost guard: a person must never see a bare traceback
        status.code = _internal(call, error)


def finish(call: Call, result: object) -> int:
    """Print what a verb returned; returns the exit code."""
    if not isinstance(result, Answer):
        return result if isinstance(result, int) else 0
    if call.json:
        write(envelope(call.verb, result.data, result.messages, result.errors) + "\n")
        for error in result.errors:
            _say_error(error)
        return result.exit_code
    text = result.text(look(sys.stdout))
    if text:
        write(text + "\n")
    for message in result.messages:
        say(message)
    for error in result.errors:
        _say_error(error)
    return result.exit_code


def exit_code_of(error: GpuallocError, verb: str) -> int:
    """The exit code of a failure; inside `run` the code of the command has the right of way."""
    if verb != "run":
        return error.exit_code
    if isinstance(error, StepError) and error.command_exit_code is not None:
        return error.command_exit_code
    return RUN_FAILED


def ready_streams() -> None:
    """Open what a caller closed, so that no file of ours takes its number; show what a locale cannot as escapes."""
    while True:
        descriptor = os.open(os.devnull, os.O_RDWR)
        if descriptor > 2:
            os.close(descriptor)
            break
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  open until the end
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def reached_code(snapshot: Snapshot) -> int:
    """What a verb that shows nodes exits with: 3 when not one of them answered."""
    return UnreachableError.exit_code if snapshot.nodes and not snapshot.reached else 0


def write(text: str) -> None:
    """Data, to stdout, at once.

    Raises:
        GpuallocError: stdout cannot be written, as on a full disk.
    """
    with _written():
        sys.stdout.write(text)
        sys.stdout.flush()


def write_bytes(data: bytes) -> None:
    """Output of a workload as it is, to stdout, at once; raises as `write`."""
    with _written():
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


@contextmanager
def _written() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        # What is still buffered would fail again at the end.
        _stdout_to_nowhere()
        raise GpuallocError(f"the answer cannot be written to stdout: {error.strerror}") from error


def say(text: str) -> None:
    """Talk, to stderr; silent when nobody can hear it."""
    try:
        print(text, file=sys.stderr, flush=True)  # noqa: T201  this is the place that prints
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def look(stream: TextIO) -> Look:
    """The terminal behind the stream; 80 columns and no colour when it is none."""
    if not stream.isatty():
        return Look(int(os.environ.get("COLUMNS", "")) if os.environ.get("COLUMNS", "").isdigit() else 80)
    width = shutil.get_terminal_size().columns
    return Look(max(40, width), "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb")


def _fail(call: Call, error: GpuallocError) -> int:
    if call.json:
        try:
            write(envelope(call.verb, None, (), (error,)) + "\n")
        except (GpuallocError, BrokenPipeError):
            # Nobody reads it; stderr and the exit code still tell.
            _stdout_to_nowhere()
    _say_error(error)
    return exit_code_of(error, call.verb)


def _say_error(error: GpuallocError) -> None:
    shown = look(sys.stderr)
    say(f"{shown.paint('error:', Role.BAD)} {_lines(error.message)}")
    if error.hint:
        say(f"{shown.paint('hint:', Role.WARN)} {_lines(error.hint)}")


def _lines(text: str) -> str:
    return "\n       ".join(escape(line) for line in text.splitlines())


def _usage_hint(call: Call) -> str:
    verb = "" if call.verb == "gpualloc" else f" {call.verb}"
    return f"`gpualloc{verb} --help` shows what it takes"


def _internal(call: Call, error: Exception) -> int:
    if os.environ.get("GPUALLOC_DEBUG") == "1":
        say("".join(traceback.format_exception(error)).rstrip())
    what = f"internal error: {type(error).__name__}: {error}"
    hint = "please report it; GPUALLOC_DEBUG=1 shows where it happened"
    return _fail(call, GpuallocError(what, hint=hint))


def _reader_left() -> int:
    """Whoever read us has gone, as `head` does: what is still buffered goes nowhere when the interpreter ends."""
    _stdout_to_nowhere()
    return PIPE_CLOSED


def _stdout_to_nowhere() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
