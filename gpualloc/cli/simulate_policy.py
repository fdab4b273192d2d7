"""The policy that a simulation decides with."""

from __future__ import annotations

from gpualloc.cli.trace_files import read_profile_file
from gpualloc.errors import UsageError
from gpualloc.policies import registry
from gpualloc.policies.profile import Profile
from gpualloc.ports import Policy


def chosen_policy(name: str, profile: str | None) -> tuple[Policy, str | None]:
    """The policy of that name with the saved weights, and what those are called; None when it uses its own.

    Raises:
        NotFoundError: there is no such policy.
        BrokenInputError: the file is no profile.
        UsageError: the profile is another policy's, or the policy takes none.
    """
    policy = registry.load(name)
    if profile is None:
        return policy, None
    saved = read_profile_file(profile)
    return _with_profile(policy, saved, profile), saved.name


def _with_profile(policy: Policy, saved: Profile, source: str) -> Policy:
    take = getattr(policy, "with_profile", None)
    if not callable(take):
        raise UsageError(f"the policy {policy.name} takes no profile")
    if saved.policy != policy.name:
        raise UsageError(f"{source}: a profile of the policy {saved.policy}, not of {policy.name}")
    made: Policy = take(saved)
    return made
