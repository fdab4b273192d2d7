"""What of a run may be begun next: the order of its chains, how many at once, and what stays away from doubt. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum, auto

from msgspec import Struct

from gpualloc.engine.chain import chains
from gpualloc.model.plan import DEVICE_KINDS, RESHAPING_KINDS, Step, StepKind, StepState

_DEAD = (StepState.FAILED, StepState.UNDONE, StepState.SKIPPED)
_FORCED = (StepState.DONE, StepState.INTENT)
_SHAPING = DEVICE_KINDS | {StepKind.SUSPEND, StepKind.RESUME}
"""Kinds of steps whose failure leaves their devices in doubt."""


class Do(Enum):
    """What is to be done with a chain."""

    CARRY_OUT = auto()
    TAKE_BACK = auto()
    SKIP = auto()


class Task(Struct, frozen=True):
    """A piece of work on one chain."""

    do: Do
    chain: tuple[Step, ...]
    """The whole chain."""
    steps: tuple[Step, ...]
    """The steps to carry out now; of those to skip or take back, the whole chain."""
    states: Mapping[int, StepState]
    """How the steps of the chain stand."""
    kept: frozenset[int] = frozenset()
    """Steps that other work stands on, so that they are not taken back."""
    why: str | None = None
    """Why the chain is skipped."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """Where it is done: on one node, but for a gang."""
        return _nodes(self.chain)

    @property
    def fresh(self) -> bool:
        """Whether nothing of the chain was begun before."""
        return not self.states


class Schedule:
    """Gives out the chains of a run as the steps they need are done.

    A chain waits for the chains that its steps need; where chains need each other in turn it is given out in pieces.

    Args:
        steps: all steps of the plan.
        states: journaled states by seq; empty for a run that begins.
        width: most chains at once.
        per_node: most chains at once on one node.
    """

    def __init__(
        self, steps: Sequence[Step], states: Mapping[int, StepState], *, width: int, per_node: int = 1
    ) -> None:
        self._width = width
        self._per_node = per_node
        self._steps = {step.seq: step for step in steps}
        self._open = {chain[0].chain: tuple(chain) for chain in chains(steps)}
        self._under_way: dict[tuple[str, str], Task] = {}
        self._busy: Counter[str] = Counter()
        self._going_back: set[tuple[str, str]] = set()
        self._doubted: dict[str, str] = {}
        self._doubted_devices: dict[tuple[str, str], str] = {}
        self.states = dict(states)
        """How each step stands, as far as it was told."""
        for key, chain in list(self._open.items()):
            self._take_up(key, chain)

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return not self._under_way

    def next(self) -> Task | None:
        """A piece of work that may be begun now, which then counts as under way; None when there is none."""
        if len(self._under_way) >= self._width:
            return None
        while True:
            before = len(self._open)
            task = self._begun()
            # A chain that is given up is an obstacle to those that were looked at before it.
            if task is not None or len(self._open) == before:
                return task

    def moved(self, step: Step, state: StepState) -> None:
        """Take note of how a step stands now."""
        self.states[step.seq] = state

    def doubt(self, step: Step, why: str) -> None:
        """Begin nothing more on the step's node: whether it is in force is not known. Its chain stays as it is."""
        self._doubted.setdefault(step.node, f"{step.node} is in doubt: {why}")
        self._open.pop(step.chain, None)

    def failed(self, step: Step) -> None:
        """Begin nothing more on the devices of a step that failed while it changed them."""
        if step.kind in _SHAPING:
            for device in _devices(step):
                why = f"{step.kind.value} of {step.target} failed, so what became of the device is in doubt"
                self._doubted_devices.setdefault((step.node, device), why)

    def ended(self, task: Task) -> None:
        """Take note that a piece of work is over."""
        key = task.chain[0].chain
        del self._under_way[key]
        self._busy.subtract(task.nodes)
        states = [self.states.get(step.seq) for step in task.chain]
        if task.do is not Do.CARRY_OUT or all(state is StepState.DONE for state in states):
            self._open.pop(key, None)
        elif any(state in _DEAD for state in states):
            self._going_back.add(key)

    # ---- inside

    def _begun(self) -> Task | None:
        """The first piece of work that may be begun, counted as under way."""
        for key, chain in self._in_turn():
            if key in self._under_way or any(self._busy[node] >= self._per_node for node in _nodes(chain)):
                continue
            task = self._task(key, chain)
            if task is not None:
                self._under_way[key] = task
                self._busy.update(task.nodes)
                return task
        return None

    def _take_up(self, key: tuple[str, str], chain: tuple[Step, ...]) -> None:
        """Find where a chain of an interrupted run stands.

        What is done of one that is not done to its end is asked for again: the node may have been restarted meanwhile.
        """
        states = [self.states.get(step.seq) for step in chain]
        if all(state is StepState.DONE or state is StepState.SKIPPED for state in states):
            del self._open[key]
        elif any(state in _DEAD for state in states):
            self._going_back.add(key)
        else:
            self.states.update({s.seq: StepState.INTENT for s in chain if self.states.get(s.seq) is StepState.DONE})

    def _in_turn(self) -> Iterator[tuple[tuple[str, str], tuple[Step, ...]]]:
        """The open chains, those to be taken back first."""
        for key in list(self._going_back):
            if key in self._open:
                yield key, self._open[key]
        yield from [(key, chain) for key, chain in self._open.items() if key not in self._going_back]

    def _task(self, key: tuple[str, str], chain: tuple[Step, ...]) -> Task | None:
        """What is to be done with the chain now; None when it waits, or stays as it is for the rest of this run."""
        states = {step.seq: self.states[step.seq] for step in chain if step.seq in self.states}
        begun = any(state in _FORCED for state in states.values())
        doubted = next((self._doubted[node] for node in _nodes(chain) if node in self._doubted), None)
        if doubted is not None:
            return self._given_up(chain, states, begun=begun, why=doubted)
        if key in self._going_back:
            return Task(Do.TAKE_BACK, chain, chain, states, self._kept(chain))
        rest = [step for step in chain if states.get(step.seq) is not StepState.DONE]
        why = self._obstacle(chain, rest)
        if why is not None:
            if begun:
                return Task(Do.TAKE_BACK, chain, chain, states, self._kept(chain))
            return Task(Do.SKIP, chain, chain, states, why=why)
        steps = self._ready(rest)
        return Task(Do.CARRY_OUT, chain, steps, states) if steps else None

    def _given_up(
        self, chain: tuple[Step, ...], states: Mapping[int, StepState], *, begun: bool, why: str
    ) -> Task | None:
        """Skip the chain on a node in doubt; what was begun of it is left to the next write command."""
        if not begun:
            return Task(Do.SKIP, chain, chain, states, why=why)
        self._open.pop(chain[0].chain)
        return None

    def _obstacle(self, chain: tuple[Step, ...], rest: Sequence[Step]) -> str | None:
        """Why the rest of the chain can never be carried out in this run; None when it can."""
        for step in chain:
            for device in _devices(step):
                if (step.node, device) in self._doubted_devices:
                    return self._doubted_devices[step.node, device]
        for need in (self._steps[seq] for step in rest for seq in step.needs):
            state = self.states.get(need.seq)
            gone = need.chain not in self._open and state is not StepState.DONE
            if need.chain != chain[0].chain and (state in _DEAD or gone):
                fate = state.value if state in _DEAD and state is not None else "of unknown outcome"
                return f"it needs step {need.seq} ({need.kind.value} of {need.target}), which is {fate}"
        return None

    def _ready(self, rest: Sequence[Step]) -> tuple[Step, ...]:
        """The steps from the first one on whose needs in other chains are all done."""
        ready = []
        for step in rest:
            others = [need for need in step.needs if self._steps[need].chain != step.chain]
            if not all(self.states.get(need) is StepState.DONE and self._settled(need) for need in others):
                break
            ready.append(step)
        return tuple(ready)

    def _settled(self, seq: int) -> bool:
        """Whether no piece of work that the step belongs to is under way."""
        task = self._under_way.get(self._steps[seq].chain)
        return task is None or all(step.seq != seq for step in task.steps)

    def _kept(self, chain: tuple[Step, ...]) -> frozenset[int]:
        """Steps of the chain that something in force elsewhere, or under way, needs."""
        under_way = {step.seq for task in self._under_way.values() for step in task.steps}
        own = {step.seq for step in chain}
        return frozenset(
            need
            for seq, step in self._steps.items()
            if seq not in own and (self.states.get(seq) in _FORCED or seq in under_way)
            for need in step.needs
            if need in own
        )


def asked_late(steps: Sequence[Step]) -> frozenset[int]:
    """Steps that cannot be asked for before the run: a step they come after changes what their node would answer."""
    behind: set[int] = set()
    by_seq = {step.seq: step for step in steps}
    for chain in chains(steps):
        reshaped = False
        for step in chain:
            needed = (by_seq[need] for need in step.needs)
            reshaped = reshaped or any(need.seq in behind or need.kind in RESHAPING_KINDS for need in needed)
            if reshaped:
                behind.add(step.seq)
            reshaped = reshaped or step.kind in RESHAPING_KINDS
    return frozenset(behind)


def _nodes(chain: Sequence[Step]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(step.node for step in chain))


def _devices(step: Step) -> tuple[str, ...]:
    granted = [grant.device for grant in step.allocation.grants] if step.allocation is not None else []
    return tuple(dict.fromkeys([*([step.device] if step.device else []), *granted, *step.devices_before]))
