"""How far work says it is, as data and in words. What a job says of itself is untrusted text."""

from __future__ import annotations

from gpualloc.model.progress import Progress
from gpualloc.views.text import ago, duration, escape, percent


def progress_data(progress: Progress) -> dict[str, object]:
    """`progress` of a workload in JSON."""
    return {
        "step": progress.step,
        "of": progress.of,
        "ratio": progress.ratio,
        "loss": progress.loss,
        "phase": progress.phase,
        "age_s": progress.age_s,
        "eta_s": progress.eta_s,
    }


def progress_brief(progress: Progress | None) -> str:
    """For a column: how much is done and how long the rest takes; else the step, else the phase."""
    if progress is None:
        return ""
    if progress.ratio is not None:
        left = "" if progress.eta_s is None else f", {duration(progress.eta_s)} left"
        return percent(progress.ratio) + left
    return escape(progress.phase or "") if progress.step is None else f"step {progress.step:.15g}"


def progress_text(progress: Progress) -> str:
    """All that it says, in one line."""
    parts = []
    if progress.step is not None:
        whole = "" if progress.of is None else f" of {progress.of:.15g} ({percent(progress.ratio)})"
        parts.append(f"step {progress.step:.15g}{whole}")
    if progress.eta_s is not None:
        parts.append(f"{duration(progress.eta_s)} left")
    if progress.phase is not None:
        parts.append(f"phase {escape(progress.phase)}")
    if progress.loss is not None:
        parts.append(f"loss {progress.loss:.4g}")
    return ", ".join([*parts, f"as it said {ago(progress.age_s)}"])
