"""What ssh nodes of the bench get in place of the node program: a film and its player."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from functools import lru_cache
from pathlib import Path

from gpualloc.adapters.archive import Archive


@lru_cache(maxsize=1)
def film_archive() -> Archive:
    """The film is the file that BENCH_FILM names."""
    player = Path(__file__).with_name("fleet_player.py").read_bytes()
    members = {
        "gpualloc/__init__.py": b"",
        "gpualloc/node/__init__.py": b"",
        "gpualloc/node/__main__.py": player,
        "gpualloc/node/film.json": Path(os.environ["BENCH_FILM"]).read_bytes(),
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    data = buffer.getvalue()
    return Archive(data, hashlib.sha256(data).hexdigest())
