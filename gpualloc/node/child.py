"""The moment between fork and exec: into the group, down to the account, into the folder, then the command."""

import errno
import json
import os
import resource
import signal
from typing import TYPE_CHECKING, Any, NoReturn

from gpualloc.node.wire import Refused

if TYPE_CHECKING:
    from gpualloc.node.cgroup import Cgroups

_MISSING = (errno.ENOENT, errno.ENOTDIR)
_SEVERAL_MIG_OPEN_FILES = 4096

JOINED = b"joined"
"""What the child tells when the kernel shows it in every part of its group."""


def run(spec: "dict[str, Any]", cgroups: "Cgroups", output_fd: int, tell_fd: int) -> "NoReturn":
    """Become the workload's command.

    Tells `joined` through `tell_fd`, which closes when the command is executed; when it cannot be, a line with
    `reason` and `message` follows and the process ends.
    """
    failed = {"reason": "failed", "message": "the command could not be started"}
    try:
        os.setsid()
        _join(spec, cgroups, tell_fd)
        _redirect(output_fd, tell_fd)
        _be_killable()
        _open_files(spec["grants"])
        _become(spec["account"])
        _enter(spec["cwd"])
        _restore_signals()
        _execute(spec["command"], spec["env"])
    except Refused as refused:
        failed = {"reason": refused.reason, "message": refused.message}
    except OSError as error:
        failed["message"] += ": %s" % error
    finally:
        # Whatever it was, this process must not go on as a second keeper.
        os.write(tell_fd, b"\n" + json.dumps(failed).encode("ascii")[:4000])
        os._exit(127)


def _join(spec: "dict[str, Any]", cgroups: "Cgroups", tell_fd: int) -> None:
    try:
        cgroups.join(spec["workload"], 0)
    except OSError as error:
        if spec["require_hard"]:
            raise Refused("no-cgroup", "the command cannot enter its group: %s" % error) from error
        return
    if cgroups.holds(spec["workload"], os.getpid()):
        os.write(tell_fd, JOINED)


def _redirect(output_fd: int, tell_fd: int) -> None:
    # stdin is the keeper's /dev/null already.
    os.dup2(output_fd, 1)
    os.dup2(output_fd, 2)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) != tell_fd:
            try:
                os.close(int(name))
            except OSError:
                continue  # the one that the folder was read through


def _be_killable() -> None:
    """What this program was spared, such as by a daemon that it was started from, its work is not spared."""
    try:
        with open("/proc/self/oom_score_adj", "r+", encoding="ascii") as file:
            if int(file.read()) < 0:
                file.seek(0)
                file.write("0")
    except (OSError, ValueError):
        return  # not told here, and then not inherited from anybody we know


def _open_files(grants: "list[dict[str, Any]]") -> None:
    """A process with several MIG instances opens more files than the usual 1024."""
    if len([grant for grant in grants if grant["share"] == "mig"]) > 1:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = _SEVERAL_MIG_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _SEVERAL_MIG_OPEN_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def _become(account: "dict[str, Any]") -> None:
    if os.geteuid() != 0:
        return
    # Groups first, while it may still be done; all three ids, so that nothing can be taken back.
    os.initgroups(account["name"], account["gid"])
    os.setresgid(account["gid"], account["gid"], account["gid"])
    os.setresuid(account["uid"], account["uid"], account["uid"])
    if os.getresuid() != (account["uid"],) * 3 or os.getresgid() != (account["gid"],) * 3:
        raise Refused("failed", "the kernel did not let the command become %s" % account["name"])


def _enter(cwd: "str | None") -> None:
    os.umask(0o022)
    if cwd is None:
        os.chdir("/")
        return
    try:
        os.chdir(_bytes(cwd))
    except OSError as error:
        raise Refused("no-command", "the working directory cannot be entered: %s" % error) from error


def _restore_signals() -> None:
    # What is ignored stays so across exec, whoever ignored it.
    for number in range(1, signal.NSIG):
        try:
            signal.signal(number, signal.SIG_DFL)
        except (OSError, ValueError):
            continue  # KILL, STOP, and those of the threads library
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _execute(command: "list[str]", env: "dict[str, str]") -> None:
    # Not `os.execvpe`: it imports, and what the account may read is not what the keeper may.
    words = [_bytes(word) for word in command]
    environment = {_bytes(key): _bytes(value) for key, value in env.items()}
    paths = [words[0]]
    if b"/" not in words[0]:
        paths = [os.path.join(folder, words[0]) for folder in environment.get(b"PATH", b"").split(b":")]
    failure = None
    for path in paths:
        try:
            os.execve(path, words, environment)  # noqa: S606
        except OSError as error:
            if failure is None or failure.errno in _MISSING:
                failure = error
    raise Refused(
        "no-command" if failure is None or failure.errno in _MISSING else "not-executable",
        "%s cannot be executed: %s" % (ascii(command[0][:200]), failure and failure.strerror),
    )


def _bytes(word: str) -> bytes:
    """The bytes a word stood for; the file system's own encoding may be ASCII here."""
    return word.encode("utf-8", "surrogateescape")
