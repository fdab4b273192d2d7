"""Where the program starts. `--version` is answered before anything else is imported."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line and return its exit status (docs/exit-codes.md)."""
    if sys.argv[1:] == ["--version"]:
        from gpualloc import __version__

        sys.stdout.write(f"gpualloc {__version__}\n")
        return 0
    from gpualloc.cli.app import main as run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
