"""The policy that a simulation decides with."""

from __future__ import annotations

from gpualloc.cli.trace_files import read_profile_file
from gpualloc.policies import registry
from gpualloc.policies.profile import profiled
from gpualloc.ports import Policy


def chosen_policy(name: str, profile: str | None) -> tuple[Policy, str | None]:
    """The policy of that name with the saved weights, and what those are called; None when it uses its own.

    Raises:
        NotFoundError: there is no such policy.
        BrokenInputError: the file is no profile.
        ConfigError: the profile is another policy's, or the policy takes none.
    """
    policy = registry.load(name)
    if profile is None:
        return policy, None
    saved = read_profile_file(profile)
    return profiled(policy, saved, profile), saved.name
