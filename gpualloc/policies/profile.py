"""Saved numbers or expressions of a policy, by name: what `tune` finds and a person may use (docs/tune.md)."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping

from msgspec import Struct, field

from gpualloc.errors import BrokenInputError, ConfigError
from gpualloc.ports import Policy

FORMAT = 1
MAX_PROFILE_BYTES = 1 << 20
MAX_WEIGHTS = 1000
MAX_WEIGHT = 1e6
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ALWAYS = frozenset({"format", "name", "policy", "made"})
_CONTENT = frozenset({"weights", "expressions"})
_DIGEST_CHARS = 8


class Profile(Struct, frozen=True):
    """What one policy decides by; it has weights or expressions, never both."""

    name: str
    policy: str
    """The policy it belongs to."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Numbers by name."""
    expressions: Mapping[str, object] = field(default_factory=dict)
    """Scoring expressions by the kind of work, as JSON has them (`policies.expression`); the policy checks them."""
    made: Mapping[str, object] = field(default_factory=dict)
    """How it was found, for people; nothing depends on it."""

    @property
    def content(self) -> str:
        """All that decisions depend on, as one text; equal content decides alike, whatever it is called."""
        content = [self.policy, dict(self.weights), dict(self.expressions)]
        return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @property
    def digest(self) -> str:
        """The start of the SHA-256 of the content."""
        import hashlib  # It brings the whole of OpenSSL; only a profile in use needs it.

        return hashlib.sha256(self.content.encode()).hexdigest()[:_DIGEST_CHARS]

    def version(self, version: str) -> str:
        """Version of the policy when it decides by this, such as `1+night.5f2c01ab`; plans carry it."""
        return f"{version}+{self.name}.{self.digest}"


def profiled(policy: Policy, saved: Profile, source: str) -> Policy:
    """The policy, deciding by the profile.

    Args:
        policy: as the registry loads it.
        saved: the profile.
        source: how errors name it, such as its path.

    Raises:
        ConfigError: it is another policy's, or the policy takes none.
        BrokenInputError: the policy cannot decide by what is in it: tells what.
    """
    if saved.policy != policy.name:
        raise ConfigError(
            f"{source} is a profile of the policy {saved.policy}, not of {policy.name}",
            hint=f'policy = "{saved.policy}" belongs to it',
        )
    take = getattr(policy, "with_profile", None)
    if not callable(take):
        raise ConfigError(f"the policy {policy.name} takes no profile")
    try:
        made: Policy = take(saved)
    except BrokenInputError as error:
        raise BrokenInputError(f"{source}: {error.message}", hint=error.hint) from error
    return made


def write_profile(profile: Profile) -> str:
    """The profile as a JSON text, ended by a newline; `read_profile` gives an equal one."""
    content = {"weights": dict(profile.weights)} if profile.weights else {"expressions": dict(profile.expressions)}
    body = {"format": FORMAT, "name": profile.name, "policy": profile.policy, **content, "made": dict(profile.made)}
    return json.dumps(body, indent=1, allow_nan=False) + "\n"


def read_profile(text: str, source: str) -> Profile:
    """The profile of a JSON text.

    Args:
        text: the whole of it.
        source: how errors name it, such as the path.

    Raises:
        BrokenInputError: it is no profile, of another format, has a key that is not known, or a weight that is no
            number of a sensible size: tells which.
    """
    found = _object(text, source)
    if found.get("format") != FORMAT or isinstance(found.get("format"), bool):
        raise BrokenInputError(f"{source}: not a profile of format {FORMAT}")
    for key in sorted(found.keys() - _ALWAYS - _CONTENT):
        raise BrokenInputError(f"{source}: {_shown(key)} does not belong there", hint=_expected())
    for key in sorted(_ALWAYS - found.keys()):
        raise BrokenInputError(f"{source}: {key} is missing", hint=_expected())
    if len(_CONTENT & found.keys()) != 1:
        raise BrokenInputError(f"{source}: it must have either weights or expressions", hint=_expected())
    made = found["made"]
    if not isinstance(made, dict):
        raise BrokenInputError(f"{source}: made is not an object")
    return Profile(
        name=check_profile_name(found["name"], f"{source}: name"),
        policy=check_profile_name(found["policy"], f"{source}: policy"),
        weights=_weights(found["weights"], source) if "weights" in found else {},
        expressions=_expressions(found["expressions"], source) if "expressions" in found else {},
        made=made,
    )


def is_profile_name(name: str) -> bool:
    """Whether a profile may be called that: it is part of a file's name."""
    return _NAME.fullmatch(name) is not None


def check_profile_name(name: object, where: str) -> str:
    """Accept a name, unchanged.

    Raises:
        BrokenInputError: it is none; `where` is how the message begins.
    """
    if not isinstance(name, str) or not is_profile_name(name):
        raise BrokenInputError(
            f"{where} is not a name", hint="letters, digits, and . _ - inside, at most 64 characters"
        )
    return name


def _object(text: str, source: str) -> dict[str, object]:
    if len(text) > MAX_PROFILE_BYTES:
        raise BrokenInputError(f"{source}: too large to be a profile")
    try:
        found = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise BrokenInputError(f"{source}: not a profile: {error}") from error
    if not isinstance(found, dict):
        raise BrokenInputError(f"{source}: not a profile: no JSON object")
    return found


def _weights(found: object, source: str) -> dict[str, float]:
    if not isinstance(found, dict) or not 0 < len(found) <= MAX_WEIGHTS:
        raise BrokenInputError(f"{source}: weights is not an object of 1 to {MAX_WEIGHTS} numbers")
    weights = {}
    for name, weight in found.items():
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not abs(weight) <= MAX_WEIGHT:
            raise BrokenInputError(f"{source}: the weight of {_shown(name)} is not a number within {MAX_WEIGHT:g} of 0")
        weights[name] = float(weight)
    return weights


def _expressions(found: object, source: str) -> dict[str, object]:
    if not isinstance(found, dict) or not found:
        raise BrokenInputError(f"{source}: expressions is not an object of expressions")
    return found


def _expected() -> str:
    return f"a profile has {', '.join(sorted(_ALWAYS))}, and weights or expressions"


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands there twice")
    return found


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is no number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is too large")
    return value


def _shown(name: str) -> str:
    return repr(name[:60])
