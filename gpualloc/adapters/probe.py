"""What `doctor` and `init` want to know of a way to a node, and of this machine, beyond what a node says itself."""

from __future__ import annotations

import importlib.metadata
import time
from dataclasses import dataclass

from gpualloc.adapters.link import Failure, NodeLink, failure_of
from gpualloc.adapters.local import LocalLaunch
from gpualloc.adapters.nvml_file import nvml_file
from gpualloc.adapters.pipe_link import PipeLink
from gpualloc.adapters.ssh import SshLaunch, SshTarget
from gpualloc.errors import UnreachableError
from gpualloc.model.inventory import NodeState
from gpualloc.node.wire import request


@dataclass(frozen=True, slots=True)
class Probe:
    """How one try to reach a node went."""

    state: NodeState
    reason: str | None = None
    """Why the node does not answer; None when it does."""
    hint: str | None = None
    """What to do or type."""
    elapsed_s: float | None = None
    """How long connecting and the first answer took; None when there was none."""
    unprivileged_reason: str | None = None
    """Why an installed privileged node program is not used; None when there is none or it is used."""


@dataclass(frozen=True, slots=True)
class NvmlLibrary:
    """What answers to `import pynvml` on this machine."""

    version: str | None
    """Of nvidia-ml-py; None when it is not installed."""
    impostors: tuple[str, ...]
    """Other installed distributions, with versions, that bring a module `pynvml`."""
    usable: bool
    """Whether the module found is nvidia-ml-py's single file."""

    @property
    def reason(self) -> str | None:
        """What is wrong with it; None when nothing is."""
        if not self.usable:
            return "the module pynvml is not the one of nvidia-ml-py" if self.version else "nvidia-ml-py is missing"
        if self.impostors:
            return f"another distribution brings a module pynvml too: {', '.join(self.impostors)}"
        return None


def probe_ssh(target: SshTarget, deadline_s: float = 15.0) -> Probe:
    """Try to reach a node over ssh and let go of it again; never raises for a node that fails."""
    launch = SshLaunch(target)
    return _probe(PipeLink(target.host, launch), launch, deadline_s)


def probe_local(deadline_s: float = 15.0) -> Probe:
    """Try to start the node program of this machine and let go of it again."""
    launch = LocalLaunch()
    return _probe(PipeLink("localhost", launch), launch, deadline_s)


def nvml_library() -> NvmlLibrary:
    """Look at what is installed under the name `pynvml`, without importing it."""
    version = None
    impostors = []
    for name in sorted(set(importlib.metadata.packages_distributions().get("pynvml", ()))):
        if name.lower().replace("_", "-") == "nvidia-ml-py":
            version = importlib.metadata.version(name)
        else:
            impostors.append(f"{name} {importlib.metadata.version(name)}")
    return NvmlLibrary(version, tuple(impostors), usable=version is not None and nvml_file() is not None)


def _probe(link: NodeLink, launch: LocalLaunch | SshLaunch, deadline_s: float) -> Probe:
    started = time.monotonic()
    try:
        link.exchange([request(1, "hello")], deadline_s)
    except UnreachableError as error:
        failure: Failure = failure_of(error)
        return Probe(failure.state, failure.reason, failure.hint)
    finally:
        link.close()
    elapsed_s = time.monotonic() - started
    return Probe(NodeState.OK, elapsed_s=elapsed_s, unprivileged_reason=launch.unprivileged_reason)
