"""Lock, fences and claims in files.

Claims lie where every account of the node sees them, unless GPUALLOC_NODE_STATE_DIR says that this state stands
alone: in a folder like /tmp, where everyone may add a file and only its owner may take it away. What others wrote
there is untrusted: bounded, type-checked, and without effect once its workload is over.
"""

import fcntl
import os
import stat
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gpualloc.node import check, processes
from gpualloc.node.state import FORMAT, read_json, write_json
from gpualloc.node.wire import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARED_FOLDERS = ("/run/gpualloc/claims", "/tmp/gpualloc-claims")  # noqa: S108 - made sticky, files opened without following links
"""The first is root's and preferred; the second is for nodes on which root never ran this program."""

_POLL_S = 0.02
_UNSTARTED_S = 3600.0
"""A claim whose workload did not start for so long was forgotten by whoever made it."""
_MAX_CLAIM_BYTES = 16384
_MAX_CLAIMS = 10_000


class FileLedger:
    """The ledger of a real node.

    Args:
        state_dir: folder of this account's state.
        boot_id: claims of another boot are over.
        shared: folders in which claims are looked for; new ones go into the first that is usable.
            None: only `claims` in the state folder.
    """

    def __init__(self, state_dir: str, boot_id: str, shared: "tuple[str, ...] | None" = None) -> None:
        self._state_dir = state_dir
        self._boot_id = boot_id
        self._alone = shared is None
        self._folders = (os.path.join(state_dir, "claims"),) if shared is None else shared

    @contextmanager
    def locked(self, wait_s: float) -> "Iterator[None]":
        """Hold this state's lock, then the one of the shared claims."""
        os.makedirs(self._state_dir, 0o700, exist_ok=True)
        until_s = time.monotonic() + wait_s
        lock_fd = os.open(os.path.join(self._state_dir, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        folder_fd = -1
        try:
            _lock(lock_fd, until_s, "the node's lock")
            folder_fd = os.open(self._own_folder(), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            _lock(folder_fd, until_s, "the lock of the node's claims")
            yield
        finally:
            os.close(lock_fd)
            if folder_fd >= 0:
                os.close(folder_fd)

    def fence(self, controller: str) -> int:
        """The highest fence seen from that controller; 0 when none was."""
        content = read_json(os.path.join(self._state_dir, "fences", controller)) or {}
        fence = content.get("fence", 0)
        return fence if isinstance(fence, int) else 0

    def set_fence(self, controller: str, fence: int) -> None:
        """Remember a fence."""
        folder = os.path.join(self._state_dir, "fences")
        os.makedirs(folder, 0o700, exist_ok=True)
        write_json(os.path.join(folder, controller), {"format": FORMAT, "fence": fence})

    def claims(self) -> "list[dict[str, Any]]":
        """Every claim of this boot whose maker is not known to be gone."""
        found = (_read_claim(path) for path in self._paths())
        return [claim["claim"] for claim in found if claim is not None and self._counts(claim)]

    def keepers(self) -> "dict[int, str]":
        """Pids of the processes that keep claimed work, whichever account's, to the ids of the work."""
        found = (_read_claim(path) for path in self._paths())
        kept = [(one["keeper"], one["claim"]["workload"]) for one in found if one is not None and one["keeper"]]
        return {keeper["pid"]: work for keeper, work in kept if processes.is_same(keeper["pid"], keeper["start_ticks"])}

    def add_claims(self, new: "list[dict[str, Any]]") -> None:
        """Write claims of one workload down, in place of any it had."""
        if not new:
            return
        self.remove_claims(new[0]["workload"])
        for claim in new:
            self._write(claim, None)

    def remove_claims(self, workload: str) -> None:
        """Remove the claims of a workload; those that another account wrote stay and raise OSError."""
        for path in self._paths(workload):
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass

    def keep_claims(self, workload: str, pid: int, start_ticks: int) -> None:
        """Bind the claims of a workload to its keeper: when that process is gone, other accounts see it."""
        for path in self._paths(workload):
            found = _read_claim(path)
            if found is not None:
                self._write(found["claim"], {"pid": pid, "start_ticks": start_ticks})

    def _write(self, claim: "dict[str, Any]", keeper: "dict[str, int] | None") -> None:
        target = claim["mig_instance"] or claim["device"]
        name = "%s@%s.json" % (target.replace("/", "+"), claim["workload"])
        content = {"format": FORMAT, "boot_id": self._boot_id, "keeper": keeper, "claim": claim}
        write_json(os.path.join(self._own_folder(), name), content, 0o644)

    def _paths(self, workload: "str | None" = None) -> "list[str]":
        ending = ".json" if workload is None else "@%s.json" % workload
        found: "list[str]" = []
        for folder in self._folders:
            try:
                names = os.listdir(folder)
            except OSError:
                continue
            found += [os.path.join(folder, name) for name in sorted(names) if name.endswith(ending)]
        return found[:_MAX_CLAIMS]

    def _counts(self, found: "dict[str, Any]") -> bool:
        if found["boot_id"] != self._boot_id:
            return False
        workload = found["claim"]["workload"]
        if os.path.exists(os.path.join(self._state_dir, "workloads", workload, "started.json")):
            return True  # ours: its record tells whether it is over
        keeper = found["keeper"]
        if keeper is not None:
            return processes.is_same(keeper["pid"], keeper["start_ticks"])
        return bool(abs(time.time() - found["claim"]["at_s"]) < _UNSTARTED_S)

    def _own_folder(self) -> str:
        """The folder new claims go to, made when missing."""
        if self._alone:
            os.makedirs(self._folders[0], 0o700, exist_ok=True)
            return self._folders[0]
        for folder in self._folders:
            if _usable(folder):
                return folder
        raise Refused("disk", "no folder for claims can be used: %s" % ", ".join(self._folders))


def _usable(folder: str) -> bool:
    """Whether the folder is there, or could be made, as one in which accounts cannot take each other's files."""
    try:
        if not os.path.isdir(os.path.dirname(folder)):
            os.mkdir(os.path.dirname(folder), 0o755)
        os.mkdir(folder, 0o700)
        os.chmod(folder, 0o1777)  # noqa: S103 - as /tmp is
    except FileExistsError:
        pass
    except OSError:
        return False
    try:
        status = os.lstat(folder)
    except OSError:
        return False
    sticky = stat.S_ISDIR(status.st_mode) and bool(status.st_mode & stat.S_ISVTX)
    return sticky and os.access(folder, os.R_OK | os.W_OK | os.X_OK)


def _lock(fd: int, until_s: float, name: str) -> None:
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until_s:
                raise Refused("locked", "%s is held by another program" % name) from None
            time.sleep(_POLL_S)
        else:
            return


def _read_claim(path: str) -> "dict[str, Any] | None":
    """The content of a claim file when every field has its type; whoever wrote it is not trusted."""
    try:
        if os.lstat(path).st_size > _MAX_CLAIM_BYTES:
            return None
    except OSError:
        return None
    content = read_json(path) or {}
    claim, keeper = content.get("claim"), content.get("keeper")
    if not isinstance(claim, dict) or not isinstance(content.get("boot_id"), str):
        return None
    try:
        checked = check.claim(claim)
        if keeper is not None:
            keeper = {name: check.whole(keeper, name, 0, 1 << 62) for name in ("pid", "start_ticks")}
    except (Refused, AttributeError):
        return None
    return {"boot_id": content["boot_id"], "keeper": keeper, "claim": checked}
