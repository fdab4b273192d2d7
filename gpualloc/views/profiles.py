"""The saved policy profiles."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from gpualloc.policies.profile import Profile
from gpualloc.views.look import Look
from gpualloc.views.table import Column, table
from gpualloc.views.text import escape


class ProfileFound(Struct, frozen=True):
    """A profile by the name of its file."""

    name: str
    profile: Profile | None
    """None when it is broken."""


def profiles_data(found: Sequence[ProfileFound]) -> list[dict[str, object]]:
    """`data.profiles` of `policies --json`."""
    return [
        {
            "name": one.name,
            "policy": None if one.profile is None else one.profile.policy,
            "digest": None if one.profile is None else one.profile.digest,
            "made": None if one.profile is None else dict(one.profile.made),
        }
        for one in found
    ]


def profiles_text(found: Sequence[ProfileFound], look: Look) -> str:
    """A line for each profile."""
    rows = [_row(one) for one in found]
    return table([Column("profile"), Column("policy"), Column("digest"), Column("made", least=10)], rows, look)


def _row(one: ProfileFound) -> list[str]:
    if one.profile is None:
        return [one.name, "broken", "", ""]
    at = one.profile.made.get("at")
    return [one.name, escape(one.profile.policy), one.profile.digest, escape(at) if isinstance(at, str) else ""]
