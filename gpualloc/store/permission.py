"""Whether this account may change a state; nothing is opened or made by asking."""

from __future__ import annotations

import os
import pwd

from gpualloc.errors import StateError
from gpualloc.store.filesystem import account, write_obstacle
from gpualloc.store.paths import StatePaths


def change_obstacle(paths: StatePaths) -> str | None:
    """Why the state may not be changed by this account, in one sentence; None when it may.

    A state that is not there yet may be changed where it could be made. One that belongs to another account may not,
    even where the file system would let it: what root writes there, its owner could not write any more.
    """
    try:
        obstacle = write_obstacle(paths.root) or _files_obstacle(paths)
    except StateError as error:
        return error.message
    return None if obstacle is None else f"the state in {paths.root} cannot be changed: {obstacle}"


def _files_obstacle(paths: StatePaths) -> str | None:
    for file in (paths.state_db, paths.lock):
        try:
            owner = file.stat().st_uid
        except FileNotFoundError:
            continue
        if owner != os.geteuid():
            return f"it belongs to {_name(owner)}, and this is {account()}"
        if not os.access(file, os.W_OK):
            return f"{file.name} may not be written by {account()}"
    return None


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
