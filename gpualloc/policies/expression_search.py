"""Search of scoring expressions: genetic programming with tournaments, crossover, mutation and a price for size.

Koza, "Genetic Programming", 1992. The population begins with what `pack` does and variations of it. All draws come from
one seeded generator, so a search takes the same course each time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from gpualloc.policies.evolved import FEATURES, Expressions, content_of_expressions, expressions_of
from gpualloc.policies.expression import LARGEST, OPERATIONS, Expression, Feature, Number, Operation, levels, parts
from gpualloc.policies.profile import Profile

POPULATION = 24
ELITE = 3
"""How many of the best live on as they are; they are not measured again."""
_TOURNAMENT = 4
_CROSSED = 0.4
"""Part of the children that come of two; the others are changed copies of one."""
_SIZE_COSTS = 0.002
"""Score that a part of an expression must be worth."""
_MOST_PARTS = 60
_MOST_LEVELS = 12
_TRIES = 20


class ExpressionSearch:
    """Profiles with other expressions than one of the policy `evolved` has."""

    def __init__(self, start: Profile, seed: int, population: int = POPULATION) -> None:
        self.start = start
        self._random = Random(seed)  # noqa: S311 - repeatable on purpose
        self._size = population
        self._begin = expressions_of(start)
        self._elite: list[tuple[float, Expressions]] = []
        self._parents: list[tuple[float, Expressions]] = []
        self._asked: list[Expressions] = []

    def ask(self) -> tuple[Profile, ...]:
        """The next generation: those of it that were not measured before."""
        children: list[Expressions] = [] if self._parents else [self._begin]
        known = {expressions for _, expressions in self._elite} | set(children)
        for _ in range(self._size * _TRIES):
            if len(children) >= self._size - len(self._elite):
                break
            child = self._child()
            if child not in known:
                known.add(child)
                children.append(child)
        self._asked = children
        return tuple(self._profile(child) for child in children)

    def tell(self, scores: Sequence[float]) -> None:
        """How good each of the generation is, lower is better."""
        told = [(score + _SIZE_COSTS * _size(one), one) for score, one in zip(scores, self._asked, strict=True)]
        self._parents = sorted([*self._elite, *told], key=lambda rated: rated[0])
        self._elite = self._parents[:ELITE]

    def _profile(self, expressions: Expressions) -> Profile:
        return Profile(self.start.name, self.start.policy, expressions=content_of_expressions(expressions))

    def _child(self) -> Expressions:
        """Of one parent or two, in the expression for one kind of work."""
        parent = self._parent()
        kind = "gpu" if self._random.random() < 0.75 else "cpu"
        chosen: Expression = getattr(parent, kind)
        if self._parents and self._random.random() < _CROSSED:
            other: Expression = getattr(self._parent(), kind)
            changed = self._replaced(chosen, self._random.choice(parts(other)))
        else:
            changed = self._random.choice(self._mutations())(chosen)
        if len(parts(changed)) > _MOST_PARTS or levels(changed) > _MOST_LEVELS:
            return parent
        return Expressions(changed, parent.cpu) if kind == "gpu" else Expressions(parent.gpu, changed)

    def _parent(self) -> Expressions:
        if not self._parents:
            return self._begin
        drawn = [self._random.randrange(len(self._parents)) for _ in range(_TOURNAMENT)]
        return self._parents[min(drawn)][1]

    def _mutations(self) -> tuple[Callable[[Expression], Expression], ...]:
        return self._nudged, self._nudged, self._grown, self._grafted, self._turned, self._lifted

    def _nudged(self, expression: Expression) -> Expression:
        """Other numbers."""
        if isinstance(expression, Operation):
            return Operation(expression.sign, self._nudged(expression.left), self._nudged(expression.right))
        if isinstance(expression, Number):
            value = expression.value * (1 + 0.3 * self._random.gauss(0, 1))
            return Number(max(-LARGEST, min(LARGEST, value)))
        return expression

    def _grown(self, expression: Expression) -> Expression:
        """With something new added to it."""
        added = Operation("*", Number(self._random.gauss(0, 1)), self._drawn(2))
        return Operation("+", expression, added)

    def _grafted(self, expression: Expression) -> Expression:
        """With something new in the place of a part."""
        return self._replaced(expression, self._drawn(3))

    def _turned(self, expression: Expression) -> Expression:
        """With another operation in one place."""
        places = [place for place, part in enumerate(parts(expression)) if isinstance(part, Operation)]
        if not places:
            return self._grown(expression)
        place = self._random.choice(places)
        part = parts(expression)[place]
        assert isinstance(part, Operation)
        return _put(expression, place, Operation(self._sign(), part.left, part.right))

    def _lifted(self, expression: Expression) -> Expression:
        """With a part in the place of what it is in, which makes it smaller."""
        place = self._random.randrange(len(parts(expression)))
        return _put(expression, place, self._random.choice(parts(parts(expression)[place])))

    def _replaced(self, expression: Expression, part: Expression) -> Expression:
        return _put(expression, self._random.randrange(len(parts(expression))), part)

    def _drawn(self, deep: int) -> Expression:
        if deep <= 1 or self._random.random() < 0.3:
            if self._random.random() < 0.75:
                return Feature(self._random.choice(tuple(FEATURES)))
            return Number(self._random.gauss(0, 1))
        return Operation(self._sign(), self._drawn(deep - 1), self._drawn(deep - 1))

    def _sign(self) -> str:
        return self._random.choice(tuple(OPERATIONS))


def _put(expression: Expression, place: int, new: Expression) -> Expression:
    """The expression with another part at that place of `parts`."""
    if place == 0:
        return new
    assert isinstance(expression, Operation)
    left = len(parts(expression.left))
    if place <= left:
        return Operation(expression.sign, _put(expression.left, place - 1, new), expression.right)
    return Operation(expression.sign, expression.left, _put(expression.right, place - 1 - left, new))


def _size(expressions: Expressions) -> int:
    return len(parts(expressions.gpu)) + len(parts(expressions.cpu))
