"""Where nvidia-ml-py lies on this machine."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def nvml_file() -> Path | None:
    """The file of nvidia-ml-py, found without importing it.

    None when it is not installed, or when what answers to the name `pynvml` is another distribution's package.
    """
    spec = importlib.util.find_spec("pynvml")
    if spec is None or spec.origin is None or spec.submodule_search_locations is not None:
        return None
    path = Path(spec.origin)
    return path if path.name == "pynvml.py" else None
