"""The unix account a command runs as, and the rule that says which ones may be used."""

import os
import pwd
from typing import Any

from gpualloc.node.state import read_json
from gpualloc.node.wire import Refused

CONFIG_PATH = "/etc/gpualloc/node.json"
"""Root's list of accounts (`run_as`) that may be used through sudo, beside the caller's own; `*` is any but root."""


class Account:
    """A unix account: `name`, `uid`, `gid`, `home`, `shell`."""

    def __init__(self, entry: "pwd.struct_passwd") -> None:
        self.name = entry.pw_name
        self.uid = entry.pw_uid
        self.gid = entry.pw_gid
        self.home = entry.pw_dir
        self.shell = entry.pw_shell

    def environment(self) -> "dict[str, str]":
        """What a command of this account finds set before anything else."""
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": self.home,
            "USER": self.name,
            "LOGNAME": self.name,
            "SHELL": self.shell or "/bin/sh",
            "LANG": os.environ.get("LANG", "C.UTF-8"),
        }


def caller() -> "str | None":
    """The account that reached root's program through sudo; None for root itself, and without root."""
    found = os.environ.get("SUDO_USER") if os.geteuid() == 0 else None
    return None if found == "root" else found


def resolve(name: "str | None", config_path: str = CONFIG_PATH) -> "Account":
    """The account to run a command as; None is the caller's own.

    Without root a program can only be itself, whatever name is asked for. Raises Refused (`no-user`).
    """
    if os.geteuid() != 0:
        return known(os.geteuid())
    who = caller()
    if who is None:
        return known(os.geteuid() if name is None else name)
    account = known(who if name is None else name)
    if account.name != who and not _allowed(account, config_path):
        raise Refused(
            "no-user", "%s may not run work as %s here: %s does not list it" % (who, account.name, config_path)
        )
    return account


def _allowed(account: "Account", config_path: str) -> bool:
    try:
        status = os.lstat(config_path)
    except OSError:
        return False
    if status.st_uid != 0 or status.st_mode & 0o022:
        raise Refused("no-user", "%s can be written by others than root, so nothing in it counts" % config_path)
    listed: "Any" = (read_json(config_path) or {}).get("run_as")
    if not isinstance(listed, list):
        return False
    return account.name in listed or ("*" in listed and account.uid != 0)


def known(key: "str | int") -> "Account":
    """The account of that name or number; raises Refused (`no-user`) when there is none."""
    try:
        return Account(pwd.getpwuid(key) if isinstance(key, int) else pwd.getpwnam(key))
    except KeyError:
        raise Refused("no-user", "there is no account %s on this node" % key) from None
