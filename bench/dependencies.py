"""Measure what each dependency costs: size installed (with what it alone brings) and time to import.

    .venv/bin/python bench/dependencies.py

Prints one line per dependency of pyproject.toml: version, licence, own size, size of what it brings, import time
(median of several fresh interpreters, less that of an empty one). docs/dependencies.md holds the figures of one run.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import time
import tomllib
from importlib.metadata import Distribution, distribution
from pathlib import Path

RUNS = 9
MODULES = {"nvidia-ml-py": "pynvml", "sqlite-utils": "sqlite_utils", "ClusterShell": "ClusterShell.NodeSet"}
"""What is imported where it is not called like the distribution."""


def name_in(requirement: str) -> str:
    """The distribution that a requirement names."""
    return re.split(r"[<>=!~\[ ;(]", requirement.strip())[0]


def size_kib(found: Distribution) -> int:
    """Bytes of the installed files, compiled caches left out."""
    paths = [Path(str(found.locate_file(file))) for file in found.files or () if not str(file).endswith(".pyc")]
    return sum(path.stat().st_size for path in paths if path.is_file()) // 1024


def brought_by(name: str, seen: set[str]) -> set[str]:
    """The distributions that this one needs, and those need, without extras."""
    for requirement in distribution(name).requires or ():
        needed = name_in(requirement)
        if ";" in requirement or needed.lower() in seen:
            continue
        seen.add(needed.lower())
        brought_by(needed, seen)
    return seen


def licence(found: Distribution) -> str:
    """As its metadata says."""
    named = found.metadata.get("License-Expression") or found.metadata.get("License") or ""
    classified = [line.split(" :: ")[-1] for line in found.metadata.get_all("Classifier", []) if "License ::" in line]
    return named if named and len(named) < 80 else ", ".join(classified) or "?"


def import_ms(statement: str) -> float:
    """Median wall time of a fresh interpreter that runs the statement."""
    command = [sys.executable, "-c", statement]
    subprocess.run(command, check=True)
    times = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        subprocess.run(command, check=True)
        times.append((time.perf_counter() - begin) * 1000)
    return statistics.median(times)


def main() -> None:
    """Print the table."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    empty_ms = import_ms("pass")
    print(f"# Python {sys.version.split()[0]}, {RUNS} runs, an empty interpreter takes {empty_ms:.0f} ms")
    for requirement in project["dependencies"]:
        name = name_in(requirement)
        found = distribution(name)
        brought = sorted(brought_by(name, set()))
        brought_kib = sum(size_kib(distribution(other)) for other in brought)
        module = MODULES.get(name, name)
        cost_ms = max(0.0, import_ms(f"import {module}") - empty_ms)
        print(
            f"{name} {found.version} | {licence(found)} | {size_kib(found)} KiB"
            f" | {brought_kib} KiB in {len(brought)} others: {', '.join(brought) or '-'} | {cost_ms:.0f} ms"
        )


if __name__ == "__main__":
    main()
