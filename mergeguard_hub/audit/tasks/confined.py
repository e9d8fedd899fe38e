"""The child process of `sandbox.run_python`: gives up what it can, then runs the program that it reads.

Run by its path with `python -I -S`; it imports nothing but the standard library. Standard input: one line of JSON with
the settings, then the program. Standard output: what the program writes, and after its last line, if it reached it,
the token of the settings. A step that the operating system lacks or forbids is left out.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import struct
import sys
import traceback
from typing import Any

_NOBODY = 65534
_OPEN_FILES = 32

# linux/sched.h, linux/prctl.h
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38

# linux/landlock.h; the system calls have these numbers on every architecture
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_LANDLOCK_VERSION, _LANDLOCK_BENEATH = 1, 1
_WRITES = 0b1_1111_1111_0010  # write, remove and make files of every kind; not execute, nor read files and folders
_WRITES_SINCE = {2: 1 << 13, 3: 1 << 14}  # version: move to another folder, shorten

# linux/seccomp.h, linux/bpf_common.h, linux/audit.h
_FILTER_MODE, _ALLOW, _REFUSE = 2, 0x7FFF0000, 0x00050001  # refuse: as not permitted (EPERM)
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _ARCHITECTURE = 0, 4  # places in struct seccomp_data
_OTHER_ABI = 0x40000000  # numbers from here on are those of x32
_REFUSED = {  # by machine: its number, and the system calls
    "x86_64": (
        0xC000003E,
        # clone, fork, vfork, execve, execveat, clone3; socket, socketpair, io_uring_setup
        (56, 57, 58, 59, 322, 435, 41, 53, 425),
        # kill, tkill, tgkill, rt_sigqueueinfo, rt_tgsigqueueinfo, pidfd_send_signal; ptrace, process_vm_writev
        (62, 200, 234, 129, 297, 424, 101, 311),
        # chmod, fchmod, chown, fchown, lchown, fchownat, fchmodat, fchmodat2
        (90, 91, 92, 93, 94, 260, 268, 452),
    ),
    "aarch64": (
        0xC00000B7,
        (220, 221, 281, 435, 198, 199, 425),
        (129, 130, 131, 138, 240, 424, 117, 271),
        (52, 53, 54, 55, 452),
    ),
}


def main() -> None:
    """Confine this process, run the program and say whether it reached its end."""
    settings = json.loads(sys.stdin.readline())
    program = sys.stdin.read()
    _confine(settings)
    code = _run(program)
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
        if code is None:
            os.write(1, f"\n{settings['token']}\n".encode())
    os._exit(code or 0)  # what the program left to be done at its exit is not part of it


def _run(program: str) -> int | None:
    """Return None if the program reached its end, otherwise an exit code; its error goes to standard error."""
    try:
        exec(compile(program, "<program>", "exec"), {"__name__": "__main__"})
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException as error:  # noqa: BLE001 a program may raise anything
        with contextlib.suppress(Exception):
            own = error.__traceback__
            traceback.print_exception(type(error), error, own and own.tb_next, limit=-3)
        return 1
    return None


def _confine(settings: dict[str, Any]) -> None:
    _become_nobody()
    limits = {
        "RLIMIT_CPU": settings["time_s"],
        "RLIMIT_FSIZE": settings["file_bytes"],
        "RLIMIT_NOFILE": _OPEN_FILES,
        "RLIMIT_CORE": 0,
        "RLIMIT_NPROC": 0,  # no further process or thread
        "RLIMIT_AS": settings["memory_bytes"],
    }
    for name, value in limits.items():
        with contextlib.suppress(OSError, ValueError, AttributeError):
            resource.setrlimit(getattr(resource, name), (value, value))
    if sys.platform == "linux":
        kernel = ctypes.CDLL(None, use_errno=True)
        kernel.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        kernel.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        kernel.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)  # a network without any device, and no powers of root
        _write_only_here(kernel)
        _refuse_calls(kernel)


def _become_nobody() -> None:
    """Stop being root, to whom some limits do not apply, unless the standard library were out of reach then."""
    if os.geteuid() != 0:
        return
    with contextlib.suppress(OSError):
        os.setgroups([])
        os.setegid(_NOBODY)
        os.seteuid(_NOBODY)
    reachable = os.access(os.__file__, os.R_OK, effective_ids=True)
    os.seteuid(0)
    os.setegid(0)
    if reachable:
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)


def _write_only_here(kernel: ctypes.CDLL) -> None:
    """Forbid this process to change files outside of the folder it is in (Landlock, Linux 5.13 and later)."""
    version = kernel.syscall(_LANDLOCK_CREATE, None, 0, _LANDLOCK_VERSION)
    if version < 1:
        return
    writes = _WRITES | sum(bit for since, bit in _WRITES_SINCE.items() if version >= since)
    rules = kernel.syscall(_LANDLOCK_CREATE, struct.pack("=Q", writes), 8, 0)
    here = os.open(".", os.O_PATH)
    kernel.syscall(_LANDLOCK_ADD, rules, _LANDLOCK_BENEATH, struct.pack("=Qi", writes, here), 0)
    kernel.syscall(_LANDLOCK_RESTRICT, rules, 0)
    os.close(here)
    os.close(rules)


def _refuse_calls(kernel: ctypes.CDLL) -> None:
    """Refuse the system calls that start processes, open sockets, send signals or change modes (seccomp)."""
    if os.uname().machine not in _REFUSED:
        return
    architecture, *groups = _REFUSED[os.uname().machine]
    numbers = [number for group in groups for number in group]
    left = len(numbers) + 1  # steps between the next one and the refusal, which is last
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_IF_EQUAL, 0, left + 2, architecture),
        (_LOAD, 0, 0, _NUMBER),
        (_IF_AT_LEAST, left, 0, _OTHER_ABI),
    ]
    steps += [(_IF_EQUAL, left - 1 - place, 0, number) for place, number in enumerate(numbers)]
    steps += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    filter_ = struct.pack("@HP", len(steps), ctypes.addressof(code))
    kernel.prctl(_PR_SET_SECCOMP, _FILTER_MODE, filter_, 0, 0)


if __name__ == "__main__":
    main()
