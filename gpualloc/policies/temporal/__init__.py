"""Packing over time: where each item should be in each interval of a horizon, from what it is expected to need."""

from gpualloc.policies.temporal.plan import Cause, Costs, Move, TemporalPlan
from gpualloc.policies.temporal.problem import NOWHERE, Prices, TemporalProblem
from gpualloc.policies.temporal.ts_dpbp import solve

__all__ = ["NOWHERE", "Cause", "Costs", "Move", "Prices", "TemporalPlan", "TemporalProblem", "solve"]
