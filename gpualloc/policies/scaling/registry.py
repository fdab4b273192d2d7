"""The scaling policy and the rules that an operator's settings describe."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gpualloc.model.scaling import ScalingName, ScalingSettings
from gpualloc.policies.scaling.pool import Rules, ScalingPolicy
from gpualloc.policies.scaling.predictive import Predictive
from gpualloc.policies.scaling.scheduled import Scheduled
from gpualloc.policies.scaling.step import Step
from gpualloc.policies.scaling.target import Target
from gpualloc.policies.scaling.threshold import Threshold

_POLICIES: Mapping[ScalingName, Callable[[ScalingSettings], ScalingPolicy]] = {
    ScalingName.THRESHOLD: lambda given: Threshold(given.up_ratio, given.down_ratio),
    ScalingName.STEP: lambda given: Step(given.steps, given.down_ratio),
    ScalingName.TARGET: lambda given: Target(given.up_ratio),
    ScalingName.SCHEDULED: lambda given: Scheduled(given.hours),
    ScalingName.PREDICTIVE: lambda given: Predictive(Target(given.up_ratio)),
}


def policy_of(settings: ScalingSettings) -> ScalingPolicy:
    """The policy that the settings name, with their numbers."""
    return _POLICIES[settings.policy](settings)


def rules_of(settings: ScalingSettings) -> Rules:
    """Bounds and cool-downs of the settings."""
    return Rules(
        settings.min_nodes, settings.max_nodes, settings.up_cooldown_s, settings.down_cooldown_s, settings.warmup_s
    )
