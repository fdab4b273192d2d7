"""Where the program starts. `--version` is answered before anything else is imported."""

from __future__ import annotations

import gc
import os
import sys

COLLECT_AFTER = 100_000
"""New objects before Python looks for garbage: with its default a tenth of a short command goes into looking
through what was just imported."""


def main() -> int:
    """Run the command line and return its exit status (docs/exit-codes.md)."""
    if sys.argv[1:] == ["--version"]:
        from gpualloc import __version__

        sys.stdout.write(f"gpualloc {__version__}\n")
        return 0
    gc.set_threshold(COLLECT_AFTER)
    if _looks_at_this_machine(sys.argv[1:]):
        from gpualloc.adapters import local_start

        local_start.begin()
    from gpualloc.cli.app import main as run

    try:
        return run(sys.argv[1:])
    finally:
        # Else the interpreter looks through all that was imported once more before it ends.
        gc.freeze()


def _looks_at_this_machine(arguments: list[str]) -> bool:
    """Whether the command is sure to look at this machine: then its node program starts before anything else."""
    if (
        arguments[:1] != ["nodes"]
        or not {"--json", "--csv"}.issuperset(arguments[1:])
        or os.environ.get("GPUALLOC_SIM")
    ):
        return False
    from gpualloc.config.files import find_file
    from gpualloc.errors import ConfigError

    try:
        return find_file(None, os.environ) is None
    except ConfigError:
        return False


if __name__ == "__main__":
    sys.exit(main())
