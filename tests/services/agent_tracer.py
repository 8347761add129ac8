"""Runs a function in a forked child under ptrace: counts its system calls, kills it at one, notes what it wrote.

Linux on x86-64 and arm64. Nothing here knows the agent.
"""

import ctypes
import os
import platform
import signal
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

TRACEME, CONT_TO_SYSCALL, SET_OPTIONS, SYSCALL_INFO = 0, 24, 0x4200, 0x420E
MARK_SYSCALL_STOPS, KILL_WITH_TRACER = 1, 0x100000
ENTRY = 1

NUMBERS = {
    "x86_64": {
        "harmless": {9, 10, 11, 12, 13, 14, 28, 39, 96, 98, 186, 202, 228, 231, 318},
        "open": 2, "openat": 257, "write": 1, "sendto": 44, "fsync": 74, "fdatasync": 75, "rename": 82,
        "renameat": 264, "renameat2": 316, "unlink": 87, "unlinkat": 263, "mkdir": 83, "mkdirat": 258,
    },
    "aarch64": {
        "harmless": {94, 98, 113, 134, 135, 165, 169, 172, 178, 214, 215, 222, 226, 233, 278},
        "openat": 56, "write": 64, "sendto": 206, "fsync": 82, "fdatasync": 83, "renameat": 38, "renameat2": 276,
        "unlinkat": 35, "mkdirat": 34,
    },
}[platform.machine()]  # fmt: skip
HARMLESS = NUMBERS["harmless"]
"""Memory, signals, clocks, locks, the process itself: neither file nor network. Every other call is counted."""
NAMES = {number: name for name, number in NUMBERS.items() if name != "harmless"}

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


@dataclass(frozen=True)
class Effect:
    """What a call did: create, truncate, write, fsync, rename, unlink, mkdir of a path; or send to the network."""

    kind: str
    path: str = ""
    data: bytes = b""
    target: str = ""


@dataclass
class Run:
    """`exit_code` is None when the child was killed by the harness."""

    calls: int = 0
    exit_code: int | None = None
    effects: list[Effect] = field(default_factory=list)


def run(child: Callable[[], None], *, kill_at: int = 0, noting: Path | None = None) -> Run:
    """Run `child` in a fork; kill it on entering its `kill_at`th call, or note every effect below `noting`."""
    pid = os.fork()
    if pid == 0:
        _be_traced(child)
    os.waitpid(pid, 0)
    _ptrace(SET_OPTIONS, pid, MARK_SYSCALL_STOPS | KILL_WITH_TRACER)
    done = Run()
    inside: tuple[str, tuple[int, ...], bool] | None = None
    pass_on = 0
    while True:
        _ptrace(CONT_TO_SYSCALL, pid, pass_on)
        _, status = os.waitpid(pid, 0)
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            done.exit_code = os.waitstatus_to_exitcode(status)
            return done
        stopped = os.WSTOPSIG(status)
        pass_on = 0 if stopped & 0x80 or stopped == signal.SIGTRAP else stopped
        if not stopped & 0x80:
            continue
        entering, number, arguments = _where(pid)
        if entering:
            if number in HARMLESS:
                continue
            done.calls += 1
            if done.calls == kill_at:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                return done
            name = NAMES.get(number)
            inside = (name, arguments, _is_new(pid, name, arguments)) if noting and name else None
        elif inside and noting:
            if number < (1 << 63) and (effect := _effect(pid, *inside, result=number)) and _below(effect, noting):
                done.effects.append(effect)
            inside = None


def _be_traced(child: Callable[[], None]) -> None:
    code = 1
    try:
        libc.ptrace(TRACEME, 0, None, None)
        os.kill(os.getpid(), signal.SIGSTOP)
        child()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    finally:
        os._exit(code)


def _ptrace(request: int, pid: int, data: int) -> None:
    if libc.ptrace(request, pid, None, data) == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"ptrace {request:#x}: {os.strerror(number)}")


def _where(pid: int) -> tuple[bool, int, tuple[int, ...]]:
    """Whether a call is entered, then its number and arguments; or left, then its result."""
    buffer = ctypes.create_string_buffer(88)
    if libc.ptrace(SYSCALL_INFO, pid, ctypes.c_void_p(88), ctypes.addressof(buffer)) == -1:
        raise OSError(ctypes.get_errno(), "PTRACE_GET_SYSCALL_INFO")
    values = struct.unpack_from("=7Q", buffer.raw, 24)
    return buffer.raw[0] == ENTRY, values[0], values[1:]


def _memory(pid: int, address: int, count: int) -> bytes:
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        memory.seek(address)
        return memory.read(count)


def _text(pid: int, address: int) -> str:
    data = b""
    while b"\0" not in data:
        page_left = 4096 - (address + len(data)) % 4096
        data += _memory(pid, address + len(data), page_left)
    return data[: data.index(b"\0")].decode()


def _file(pid: int, handle: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/fd/{handle}").readlink())
    except OSError:
        return ""


def _is_new(pid: int, name: str | None, arguments: tuple[int, ...]) -> bool:
    if name not in ("open", "openat"):
        return False
    return not os.path.lexists(_text(pid, arguments[name == "openat"]))


def _effect(pid: int, name: str, arguments: tuple[int, ...], is_new: bool, *, result: int) -> Effect | None:  # noqa: PLR0911 - one a call
    match name:
        case "open" | "openat":
            at = int(name == "openat")
            flags = arguments[at + 1]
            if is_new and flags & os.O_CREAT:
                return Effect("create", _text(pid, arguments[at]))
            return Effect("truncate", _text(pid, arguments[at])) if flags & os.O_TRUNC else None
        case "write" | "sendto":
            path = _file(pid, arguments[0])
            data = _memory(pid, arguments[1], result)
            return Effect("send", data=data) if path.startswith("socket:") else Effect("write", path, data)
        case "fsync" | "fdatasync":
            return Effect("fsync", _file(pid, arguments[0]))
        case "rename":
            return Effect("rename", _text(pid, arguments[0]), target=_text(pid, arguments[1]))
        case "renameat" | "renameat2":
            return Effect("rename", _text(pid, arguments[1]), target=_text(pid, arguments[3]))
        case "unlink" | "mkdir":
            return Effect(name, _text(pid, arguments[0]))
        case _:
            return Effect(name.removesuffix("at"), _text(pid, arguments[1]))


def _below(effect: Effect, folder: Path) -> bool:
    return effect.kind == "send" or effect.path.startswith(f"{folder}")
