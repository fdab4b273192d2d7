"""Device rules as eBPF programs on control groups: bpf(2) through ctypes, no library needed.

A program belongs to the workload it is named after. It stays when this process ends and goes with its group; other
programs on the same group keep their say (BPF_F_ALLOW_MULTI: every one of them must let an access pass).
"""

import ctypes
import errno
import os
import resource
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from gpualloc.node import cgroup

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpualloc.node.device_rule import DeviceRule

_SYSCALLS = {"x86_64": 321, "aarch64": 280}
_PROG_LOAD, _PROG_ATTACH, _PROG_DETACH, _GET_FD_BY_ID, _OBJ_GET_INFO, _PROG_QUERY = 5, 8, 9, 13, 15, 16
_TYPE_CGROUP_DEVICE = 15
_ATTACH_CGROUP_DEVICE = 6
_ALLOW_MULTI, _REPLACE = 2, 4

_LOG_BYTES = 64 << 10
_NAME_BYTES = 15
_TRIES = 4
_INFO_BYTES = 80
_MAX_PROGRAMS = 64
"""More than that the kernel attaches to no group."""

_LOAD_WORD, _AND, _NOT_EQUAL, _EQUAL, _SET, _EXIT = 0x61, 0x57, 0x55, 0x15, 0xB7, 0x95
"""The six instructions that a rule needs: u32 load from the context, and jumps and moves with a constant."""

_CHARACTER = 2
"""Device type in the low half of the first word that the kernel hands over."""

_available: "bool | None" = None


class Attached(NamedTuple):
    """A device program on a group."""

    id: int
    """Number of the program in the kernel."""

    name: str
    """Up to 15 characters; ours have their workload's id."""

    tag: str
    """Hash of the instructions, 16 hexadecimal digits: the same for the same rule."""


def assemble(rule: "DeviceRule") -> bytes:
    """The program for a rule: 0 (denied) for what the rule denies, whatever the access; 1 for everything else."""
    code = [
        _instruction(_LOAD_WORD, 2, 1, 0, 0),
        _instruction(_AND, 2, 0, 0, 0xFFFF),
        _instruction(_LOAD_WORD, 3, 1, 4, 0),
        _instruction(_LOAD_WORD, 4, 1, 8, 0),
    ]
    accept = len(code) + 1 + sum(len(minors) + 3 for _, minors in rule.majors)
    code.append(_instruction(_NOT_EQUAL, 2, 0, accept - len(code) - 1, _CHARACTER))
    for major, minors in rule.majors:
        code.append(_instruction(_NOT_EQUAL, 3, 0, len(minors) + 2, major))
        for minor in minors:
            code.append(_instruction(_EQUAL, 4, 0, accept - len(code) - 1, minor))
        code += [_instruction(_SET, 0, 0, 0, 0), _instruction(_EXIT, 0, 0, 0, 0)]
    code += [_instruction(_SET, 0, 0, 0, 1), _instruction(_EXIT, 0, 0, 0, 0)]
    return b"".join(code)


def available() -> bool:
    """Whether this kernel and account load device programs: tried once per process."""
    global _available
    if _available is None:
        try:
            os.close(load(_instruction(_SET, 0, 0, 0, 1) + _instruction(_EXIT, 0, 0, 0, 0), "probe"))
            _available = True
        except OSError:
            _available = False
    return _available


def load(code: bytes, name: str) -> int:
    """Load a program; answers its file descriptor. Raises OSError with what the verifier says."""
    instructions, license_text = ctypes.create_string_buffer(code, len(code)), ctypes.create_string_buffer(b"none")

    def attribute(log: "Any") -> bytes:
        return struct.pack(
            "=IIQQIIQII16s",
            _TYPE_CGROUP_DEVICE,
            len(code) // 8,
            ctypes.addressof(instructions),
            ctypes.addressof(license_text),
            0 if log is None else 1,
            0 if log is None else len(log),
            0 if log is None else ctypes.addressof(log),
            0,
            0,
            name[:_NAME_BYTES].encode("ascii"),
        )

    try:
        return _loaded(attribute(None))
    except PermissionError:
        raise
    except OSError as error:
        log = ctypes.create_string_buffer(_LOG_BYTES)
        try:
            return _loaded(attribute(log))
        except OSError:
            said = log.value.decode("ascii", "replace").strip()[-500:]
            raise OSError(
                error.errno, "the kernel refuses the device program: %s" % (said or error.strerror)
            ) from error


def attach(group: str, rule: "DeviceRule", name: str) -> None:
    """Put a rule in force on a group of ours, in place of the program of that name if one is there.

    Replacing is one step of the kernel (from 5.6; before, both rules hold for a moment). Programs of others stay.
    Raises OSError: EPERM too when a stranger attached a program there that allows no other beside it.
    """
    _refuse_strangers_group(group)
    program_fd = load(assemble(rule), name)
    try:
        with _opened(group) as group_fd:
            _attach(group_fd, program_fd, name)
    except PermissionError as error:
        raise PermissionError(
            errno.EPERM, "another program's device rule allows none beside it, or the account lacks the right", group
        ) from error
    finally:
        os.close(program_fd)


def tag(rule: "DeviceRule") -> str:
    """The tag that a rule's program has in this kernel. Raises OSError."""
    fd = load(assemble(rule), "tag")
    try:
        return _info(fd).tag
    finally:
        os.close(fd)


def query(group: str) -> "list[Attached]":
    """The device programs attached to a group itself, not to its parents. Raises OSError."""
    with _opened(group) as group_fd:
        return _attached(group_fd)


def restricted(group: str, name: str) -> "str | None":
    """Tag of the program of that name on a group, several joined by `+`; None when there is none. Raises OSError."""
    try:
        tags = [one.tag for one in query(group) if one.name == name[:_NAME_BYTES]]
    except FileNotFoundError:
        return None
    return "+".join(sorted(tags)) or None


def detach(group: str, name: str) -> None:
    """Take the programs of that name off a group of ours; none is fine. Raises OSError."""
    _refuse_strangers_group(group)
    if os.path.isdir(group):
        with _opened(group) as group_fd:
            _detach_others(group_fd, name, None)


def _attach(group_fd: int, program_fd: int, name: str) -> None:
    new, ours = _info(program_fd), _ours(group_fd, name)
    if [one.tag for one in ours] == [new.tag]:
        return
    if ours and _replace(group_fd, program_fd, ours[0].id):
        _detach_others(group_fd, name, new.id)
        return
    _bpf(_PROG_ATTACH, struct.pack("=IIII", group_fd, program_fd, _ATTACH_CGROUP_DEVICE, _ALLOW_MULTI))
    _detach_others(group_fd, name, new.id)


def _replace(group_fd: int, program_fd: int, old: int) -> bool:
    """Swap one program for another; False on a kernel that cannot."""
    old_fd = _program_fd(old)
    try:
        flags = _ALLOW_MULTI | _REPLACE
        _bpf(_PROG_ATTACH, struct.pack("=IIIII", group_fd, program_fd, _ATTACH_CGROUP_DEVICE, flags, old_fd))
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.E2BIG):
            return False
        raise
    finally:
        os.close(old_fd)
    return True


def _detach_others(group_fd: int, name: str, kept: "int | None") -> None:
    for one in _ours(group_fd, name):
        if one.id == kept:
            continue
        fd = _program_fd(one.id)
        try:
            _bpf(_PROG_DETACH, struct.pack("=IIII", group_fd, fd, _ATTACH_CGROUP_DEVICE, 0))
        finally:
            os.close(fd)


def _ours(group_fd: int, name: str) -> "list[Attached]":
    return [one for one in _attached(group_fd) if one.name == name[:_NAME_BYTES]]


def _attached(group_fd: int) -> "list[Attached]":
    numbers = (ctypes.c_uint32 * _MAX_PROGRAMS)()
    asked = struct.pack("=IIIIQII", group_fd, _ATTACH_CGROUP_DEVICE, 0, 0, ctypes.addressof(numbers), _MAX_PROGRAMS, 0)
    count = struct.unpack("=IIIIQII", _bpf(_PROG_QUERY, asked)[1])[5]
    found = []
    for number in numbers[:count]:
        try:
            fd = _program_fd(number)
        except FileNotFoundError:
            continue  # detached in this moment
        try:
            found.append(_info(fd))
        finally:
            os.close(fd)
    return found


def _info(fd: int) -> "Attached":
    info = ctypes.create_string_buffer(_INFO_BYTES)
    _bpf(_OBJ_GET_INFO, struct.pack("=IIQ", fd, _INFO_BYTES, ctypes.addressof(info)))
    number, tag_bytes, name = struct.unpack("=4xI8s48x16s", info.raw)
    return Attached(number, name.split(b"\0")[0].decode("ascii", "replace"), tag_bytes.hex())


def _program_fd(number: int) -> int:
    return _bpf(_GET_FD_BY_ID, struct.pack("=III", number, 0, 0))[0]


def _refuse_strangers_group(group: str) -> None:
    """Only groups right below our own parent are ours; those of Slurm, a container runtime or a kubelet never are."""
    parent = os.path.basename(os.path.dirname(os.path.realpath(group)))
    if parent not in (cgroup.PARENT, cgroup.PARENT + ".slice"):
        raise OSError(errno.EPERM, "gpualloc did not make this group: its device rules are left alone", group)


@contextmanager
def _opened(group: str) -> "Iterator[int]":
    fd = os.open(group, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _instruction(code: int, target: int, source: int, offset: int, constant: int) -> bytes:
    return struct.pack("<BBhi", code, target | source << 4, offset, constant)


def _loaded(attribute: bytes) -> int:
    """Load a program, again when a signal came in between."""
    for _ in range(_TRIES):
        try:
            return _loaded_once(attribute)
        except BlockingIOError:
            continue
    return _loaded_once(attribute)


def _loaded_once(attribute: bytes) -> int:
    """Load a program; kernels before 5.11 charge it to a limit of locked memory that may be too low."""
    try:
        return _bpf(_PROG_LOAD, attribute)[0]
    except PermissionError:
        before = resource.getrlimit(resource.RLIMIT_MEMLOCK)
        try:
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        except (OSError, ValueError):
            raise PermissionError(errno.EPERM, "this account may not load device programs") from None
        try:
            return _bpf(_PROG_LOAD, attribute)[0]
        finally:
            resource.setrlimit(resource.RLIMIT_MEMLOCK, before)


def _bpf(command: int, attribute: bytes) -> "tuple[int, bytes]":
    """The system call; answers its result and the attribute as the kernel left it. Raises OSError."""
    number = _SYSCALLS.get(os.uname().machine)
    if number is None:
        raise OSError(errno.ENOSYS, "bpf(2) is not known on %s" % os.uname().machine)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    buffer = ctypes.create_string_buffer(attribute, len(attribute))
    result = libc.syscall(ctypes.c_long(number), ctypes.c_long(command), buffer, ctypes.c_ulong(len(attribute)))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result, buffer.raw
