"""Where the program starts. `--version` is answered before anything else is imported."""

from __future__ import annotations

import gc
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
    from gpualloc.cli.app import main as run

    try:
        return run(sys.argv[1:])
    finally:
        # Else the interpreter looks through all that was imported once more before it ends.
        gc.freeze()


if __name__ == "__main__":
    sys.exit(main())
