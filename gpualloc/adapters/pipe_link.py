"""A link over the pipes of a child process: the node program itself, or an ssh that leads to it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from gpualloc.adapters.backoff import BackOff
from gpualloc.adapters.child import Child
from gpualloc.adapters.handshake import MAX_NOISE_BYTES, Handshake
from gpualloc.adapters.link import Failure, LinkCutError, LinkDownError, Message
from gpualloc.adapters.stand_in import FindStandIn, StandIn
from gpualloc.model.inventory import NodeState
from gpualloc.node.wire import START_MARK, WireError, decode, encode

_PATIENCE_S = 0.25
"""Between closing stdin, TERM and KILL; three of them stay below the second that `close` may take."""


class Launch(Protocol):
    """How the node program is started and what the child says until it runs."""

    def argv(self, nonce: str) -> Sequence[str]:
        """The command of the child."""
        ...

    def greeting(self, nonce: str) -> bytes:
        """What to send before anything was heard."""
        ...

    def reply(self, word: str, detail: str) -> bytes | Failure:
        """What to send when the child says a mark of its own, or why it is hopeless."""
        ...

    def failure(self, status: int | None, stderr: str, last_mark: str | None) -> Failure:
        """Why the child ended; `last_mark` is the last word it said before the node program ran."""
        ...


class PipeLink:
    """`NodeLink` over a child process that is started when needed and replaced when it fails.

    Args:
        node: the node's name, for messages.
        launch: how the child is started.
        back_off: how long to leave the node alone after failures.
        find_stand_in: finds what answers where the node program cannot run; None: nothing does.
    """

    def __init__(
        self,
        node: str,
        launch: Launch,
        back_off: BackOff | None = None,
        find_stand_in: FindStandIn | None = None,
    ) -> None:
        self._node = node
        self._launch = launch
        self._back_off = back_off or BackOff()
        self._find_stand_in = find_stand_in
        self._stand_in: StandIn | None = None
        self._child: Child | None = None
        self._awaited_nonce: str | None = None
        """Nonce of a child that was started and has not spoken yet."""
        self._connection = 0
        self._closed = False
        self._lock = threading.Lock()

    @property
    def connection(self) -> int:
        """Number of the child in use, counted from 1; 0 before the first."""
        return self._connection

    def begin(self) -> None:
        """Start the child and go on without waiting for it, so that it starts while the caller prepares.

        A failure to start is reported by the first exchange.
        """
        with self._lock:
            if self._child is None and not self._closed:
                try:
                    self._start()
                except _Failed:
                    self._drop()

    def adopt(self, child: Child, nonce: str) -> None:
        """Take over a child that was started already and has not been talked to; only before the first exchange."""
        with self._lock:
            self._child, self._awaited_nonce = child, nonce
            self._connection += 1
            child.send(self._launch.greeting(nonce))

    def exchange(self, requests: Sequence[Message], deadline_s: float) -> list[Message]:
        """Send all requests, return their end records; see `NodeLink.exchange`."""
        deadline = time.monotonic() + deadline_s
        if not self._lock.acquire(timeout=deadline_s):
            raise self._down(Failure(NodeState.HUNG, "still busy with an earlier request"))
        try:
            child = self._connected(deadline)
            return self._converse(child, requests, deadline)
        finally:
            self._lock.release()

    def close(self) -> None:
        """End the child within a second, also while another thread waits for its answer."""
        self._closed = True
        if self._lock.acquire(blocking=False):
            try:
                self._drop()
            finally:
                self._lock.release()
            return
        # The thread in `exchange` sees the end of the pipes and lets go of them itself.
        for number in (signal.SIGTERM, signal.SIGKILL):
            child = self._child
            if child is not None:
                child.signal(number)
            if self._lock.acquire(timeout=_PATIENCE_S):
                self._lock.release()
                return

    def _connected(self, deadline: float) -> Child:
        if self._child is not None and self._awaited_nonce is None:
            if self._child.is_usable() and not (self._stand_in is not None and self._stand_in.spent):
                return self._child
            self._drop()
        resting = self._back_off.pending(time.monotonic())
        if resting is not None:
            raise self._down(resting)
        if self._closed:
            raise self._down(Failure(NodeState.UNREACHABLE, "the link is closed"))
        try:
            child = self._child or self._start()
            self._await_start(child, deadline)
        except _Failed as failed:
            raise self._down(self._give_up(failed.failure)) from failed.__cause__
        return child

    def _start(self) -> Child:
        nonce = os.urandom(8).hex()
        argv = self._launch.argv(nonce)
        try:
            child = Child(argv)
        except OSError as error:
            raise _Failed(Failure(NodeState.FAILED, f"{argv[0]} cannot be run: {error.strerror}")) from error
        self._child = child
        self._awaited_nonce = nonce
        self._connection += 1
        child.send(self._launch.greeting(nonce))
        return child

    def _await_start(self, child: Child, deadline: float) -> None:
        """Until the node program speaks, or what stands in for it."""
        assert self._awaited_nonce is not None
        introduction = _StandInFirst(self._launch, self._find_stand_in, self._awaited_nonce)
        handshake = Handshake(self._awaited_nonce, introduction)
        while not handshake.done and introduction.found is None:
            reply = handshake.hear(self._hear(child, deadline, handshake.last_mark, MAX_NOISE_BYTES))
            if isinstance(reply, Failure):
                raise _Failed(reply)
            child.send(reply)
        if introduction.found is not None:
            assert handshake.last_mark is not None
            self._begin_stand_in(introduction.found, _ChildTalk(self, child, deadline, handshake.last_mark))
        self._stand_in, self._awaited_nonce = introduction.found, None

    def _begin_stand_in(self, stand_in: StandIn, talk: _ChildTalk) -> None:
        try:
            hopeless = stand_in.begin(talk)
        except WireError as error:
            raise _Failed(Failure(NodeState.FAILED, f"its shell sent {error}")) from error
        if hopeless is not None:
            raise _Failed(hopeless)

    def _converse(self, child: Child, requests: Sequence[Message], deadline: float) -> list[Message]:
        try:
            answers = self._answers(child, requests, deadline)
        except _Failed as failed:
            raise LinkCutError(self._give_up(failed.failure), self._node) from failed.__cause__
        self._back_off.succeeded()
        return answers

    def _answers(self, child: Child, requests: Sequence[Message], deadline: float) -> list[Message]:
        if self._stand_in is None:
            child.send(b"".join(map(encode, requests)))
            return [self._end_record(child, request, deadline) for request in requests]
        try:
            return self._stand_in.answer(_ChildTalk(self, child, deadline, START_MARK), requests)
        except WireError as error:
            raise _Failed(Failure(NodeState.FAILED, f"its shell sent {error}")) from error

    def _end_record(self, child: Child, request: Message, deadline: float) -> Message:
        line = self._hear(child, deadline, START_MARK)
        try:
            answer = decode(line)
        except WireError as error:
            raise _Failed(Failure(NodeState.FAILED, f"its answer to {request['verb']} is {error}")) from error
        if answer.get("id") != request["id"] or ("ok" in answer) == ("error" in answer):
            raise _Failed(Failure(NodeState.FAILED, f"its answer to {request['verb']} is not the end record of it"))
        return answer

    def _hear(self, child: Child, deadline: float, last_mark: str | None, limit: int | None = None) -> bytes:
        try:
            return child.next_line(deadline) if limit is None else child.next_line(deadline, limit)
        except TimeoutError as error:
            where = "the node program" if last_mark == START_MARK else "the login or the start of the node program"
            raise _Failed(Failure(NodeState.HUNG, f"{where} did not answer in time")) from error
        except WireError as error:
            raise _Failed(Failure(NodeState.FAILED, f"it sent {error}")) from error
        except EOFError as error:
            child.hear_last_words()
            raise _Failed(self._launch.failure(child.status, child.stderr_text, last_mark)) from error

    def _rest(self, child: Child, until: float) -> None:
        """Wait while the child says nothing; its end, or a word unasked, is a failure."""
        if not child.is_quiet(until):
            child.hear_last_words()
            raise _Failed(self._launch.failure(child.status, child.stderr_text, START_MARK))

    def _give_up(self, failure: Failure) -> Failure:
        self._drop()
        self._back_off.failed(failure, time.monotonic())
        return failure

    def _drop(self) -> None:
        child, self._child = self._child, None
        self._awaited_nonce = self._stand_in = None
        if child is not None:
            child.stop(_PATIENCE_S)

    def _down(self, failure: Failure) -> LinkDownError:
        return LinkDownError(failure, self._node)


class _StandInFirst(Struct):
    """An introduction that looks for a stand-in at each mark before it leaves the mark to the launch."""

    launch: Launch
    find: FindStandIn | None
    nonce: str
    found: StandIn | None = None

    def greeting(self, nonce: str) -> bytes:
        return self.launch.greeting(nonce)

    def reply(self, word: str, detail: str) -> bytes | Failure:
        self.found = None if self.find is None else self.find(word, self.nonce, detail)
        return b"" if self.found is not None else self.launch.reply(word, detail)


class _ChildTalk(Struct, frozen=True):
    """`Talk` with the child of a link, until a deadline."""

    link: PipeLink
    child: Child
    deadline: float
    last_mark: str

    def say(self, data: bytes) -> None:
        self.child.send(data)

    def hear(self) -> bytes:
        return self.link._hear(self.child, self.deadline, self.last_mark)

    def rest(self, seconds: float) -> None:
        self.link._rest(self.child, time.monotonic() + seconds)

    def left_s(self) -> float:
        return self.deadline - time.monotonic()


class _Failed(Exception):
    """Carries a failure from where it is seen to where it is known whether anything was sent."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure
