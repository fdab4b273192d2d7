"""Ways in which readings leave gpualloc, and come back from a file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gpualloc.errors import ConfigError
from gpualloc.model.inventory import NodeSpec
from gpualloc.model.units import parse_duration_s

if TYPE_CHECKING:
    from gpualloc.adapters.exporter import PageServer
    from gpualloc.adapters.recorded import RecordedFleet
    from gpualloc.adapters.recorded_nodes import Recording
    from gpualloc.adapters.recorded_playback import RecordedPlayback
    from gpualloc.adapters.recording import Recorder

AT_VARIABLE = "GPUALLOC_SIM_AT"
_MAX_SPEED = 1e6


def page_server(host: str, port: int, content_type: str) -> PageServer:
    """A server for one page that changes; a context manager. Raises GpuallocError when it cannot listen."""
    from gpualloc.adapters.exporter import PageServer

    return PageServer(host, port, content_type)


def recorder(path: Path, specs: Sequence[NodeSpec], *, began_s: float, every_s: float, commands: bool) -> Recorder:
    """Begin a recording; raises UsageError when there is such a file, GpuallocError when it cannot be written."""
    from gpualloc.adapters.recording import Recorder

    return Recorder(path, specs, began_s=began_s, every_s=every_s, commands=commands)


@contextmanager
def open_recording(path: Path) -> Iterator[Recording]:
    """A recording from its beginning; raises BrokenInputError."""
    from gpualloc.adapters.recorded_nodes import Recording

    recording = Recording(path)
    try:
        yield recording
    finally:
        recording.close()


def recorded_fleet(path: Path, speed: float | None) -> RecordedFleet:
    """The fleet of a recording, taken up where the environment says.

    Args:
        path: the file.
        speed: recorded seconds per second; None is 1.

    Raises:
        BrokenInputError: the file is no recording, or is damaged before that place.
        ConfigError: the speed makes no sense.
        UsageError: the place makes no sense.
    """
    from gpualloc.adapters.recorded import RecordedFleet
    from gpualloc.adapters.recorded_nodes import Recording

    if speed is not None and not 0 < speed <= _MAX_SPEED:
        raise ConfigError(f"speed {speed:g} is not above 0 and at most {_MAX_SPEED:.0f}")
    at = os.environ.get(AT_VARIABLE)
    at_s = parse_duration_s(at) if at else 0.0
    recording = Recording(path)
    with ExitStack() as if_unfit:
        if_unfit.callback(recording.close)
        fleet = RecordedFleet(recording, at_s=at_s, speed=speed or 1.0)
        if_unfit.pop_all()
    return fleet


def recorded_playback(path: Path) -> RecordedPlayback:
    """The same recording to be looked at anywhere in it; nothing is read until somebody looks."""
    from gpualloc.adapters.recorded_playback import RecordedPlayback

    return RecordedPlayback(path)
