"""Where the state lies on disk."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

STATE_DIR_VARIABLE = "GPUALLOC_STATE_DIR"
_SAFE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_SHOWN_CHARS = 32


class StatePaths(Struct, frozen=True):
    """The files of one state: its two databases and its apply lock."""

    root: Path

    @property
    def state_db(self) -> Path:
        """Workloads, plans, runs and the audit trail."""
        return self.root / "state.db"

    @property
    def history_db(self) -> Path:
        """Samples; may be deleted at any time."""
        return self.root / "history.db"

    @property
    def lock(self) -> Path:
        """The file that whoever changes the state holds a lock on."""
        return self.root / "lock"

    @property
    def watch_lock(self) -> Path:
        """The file that a `rebalance --watch` holds a lock on while it runs."""
        return self.root / "watch"

    @property
    def sample_lock(self) -> Path:
        """The file that a `sample --every` holds a lock on while it runs."""
        return self.root / "sampling"

    @property
    def profiles(self) -> Path:
        """The folder of saved policy profiles."""
        return self.root / "profiles"

    @property
    def remembered(self) -> Path:
        """What the dashboard remembers between runs."""
        return self.root / "top.json"

    def sim(self, name: str) -> StatePaths:
        """The state of a simulated cluster, apart from the real one.

        Args:
            name: name of a built-in cluster, or the absolute path of a cluster's file. Anything but a plain lower-case
                name becomes a readable part and a hash, so that no name leaves the `sim` folder and no two meet.
        """
        return StatePaths(self.root / "sim" / _folder_name(name))


def default_state_dir(env: Mapping[str, str]) -> Path:
    """The state directory, absolute: `GPUALLOC_STATE_DIR` when set, else the user's state folder.

    Args:
        env: the process environment.
    """
    chosen = env.get(STATE_DIR_VARIABLE)
    if chosen:
        return Path(chosen).absolute()
    # Imported here because a command that is told where its state lies should not pay for it.
    from platformdirs import user_state_path

    return user_state_path("gpualloc", appauthor=False).absolute()


def _folder_name(name: str) -> str:
    if _SAFE_NAME.fullmatch(name):
        return name
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", name.rsplit("/", 1)[-1]).strip("-")[:_SHOWN_CHARS]
    import hashlib  # It brings the whole of OpenSSL; the name of a real state needs no hash.

    digest = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:12]
    # A dot never occurs in a name that is taken as it is.
    return f"{readable or 'cluster'}.{digest}"
