"""What one node told last, put together from what it sent, and decoded only where it changed."""

from __future__ import annotations

from gpualloc.adapters.alike_parts import AlikeParts
from gpualloc.adapters.answers import refused
from gpualloc.adapters.decode import OBSERVED, NodeDecoder
from gpualloc.adapters.fields import MalformedError
from gpualloc.adapters.link import Message
from gpualloc.model.inventory import Node, NodeSpec
from gpualloc.node.delta import merged
from gpualloc.node.wire import WireError

PARTS = ("hello", *OBSERVED)
_COMMON = AlikeParts()


class Picture:
    """One node as its stream tells it. Not for use by two threads at once.

    Args:
        spec: the node as configured.
    """

    def __init__(self, spec: NodeSpec) -> None:
        self._spec = spec
        self._decoder = NodeDecoder(spec)
        self._told: object = None

    @property
    def begun(self) -> bool:
        """Whether it was told whole once."""
        return self._told is not None

    def forget(self) -> None:
        """Begin anew: what comes next is of another connection."""
        self._told = None

    def take(self, record: Message) -> None:
        """Take a record of the stream in.

        Raises:
            MalformedError: it is none, or does not fit to those before.
        """
        if "full" in record:
            self._told = record["full"]
            _COMMON.share(self._told)
        elif "delta" in record and self.begun:
            try:
                self._told = merged(self._told, record["delta"])
            except WireError as error:
                raise MalformedError(str(error)) from error
        else:
            raise MalformedError("a record of the stream that is neither a picture nor a change of one")

    def node(self, at_s: float) -> Node:
        """The node as it was told last.

        Args:
            at_s: when that was, by our own clock.

        Raises:
            MalformedError: the node sent nonsense.
            StepError: it could not look at a part of itself.
        """
        told = self._told
        if not isinstance(told, dict) or not all(isinstance(told.get(part), dict) for part in PARTS):
            raise MalformedError("the picture is not whole")
        for part in PARTS:
            if "error" in told[part]:
                raise refused(told[part]["error"], self._spec.name)
        return self._decoder.decode(at_s, told["hello"], told)
