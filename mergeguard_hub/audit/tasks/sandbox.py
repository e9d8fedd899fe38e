"""Running a program that a model wrote, in a process of its own that may do little."""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mergeguard_hub.errors import TaskError

MEMORY_BYTES = 512 * 2**20  # our choice; Python itself takes some 50 MB of addresses
OUTPUT_BYTES = 2**20  # our choice; also the size of the largest file
SHOWN_CHARACTERS = 2000
_PATIENCE = 10  # seconds on the clock per second of processor time, for busy machines (our choice)
_CHILD = Path(__file__).with_name("confined.py")


@dataclass(frozen=True)
class SandboxResult:
    """How a program ended.

    Attributes:
        ok: it ran to its last line without an error.
        reason: in a few words, how it ended: "ran to its end", "AssertionError: ...", "took more than 5 s ...".
        output: what it wrote to standard output and standard error, the last 2000 characters.
    """

    ok: bool
    reason: str
    output: str


def run_python(code: str, *, time_s: float = 5.0, memory_bytes: int = MEMORY_BYTES) -> SandboxResult:
    r"""Run a program in a child process with limits, and say whether it reached its end.

    The child is this Python without site packages (`-I -S`), with an empty environment and an empty temporary folder
    as its working folder. It gets limits on processor time, memory, open files and size of files, and may start no
    further process or thread. On Linux it may also open no socket, send no signal, change no file's mode or owner
    (seccomp, on x86-64 and ARM) and change no file outside its folder (Landlock, from kernel 5.13), and it gets a
    network without devices where the kernel lets it. Where this process runs as root, the child becomes nobody, unless
    its Python lies in root's own folders. Ending early, with any exit code, does not count as reaching the end.

    What it does **not** protect from: it is a fence against mistakes, not against attackers. The program may read
    every file that this user (or nobody) may read. Elsewhere than on such a Linux it may also write them, use the
    network and send signals. Errors in the kernel and in Python are open to it. A program that was written to deceive
    can say that it reached its end without doing so. Run models that you do not trust in a virtual machine.

    Args:
        code: the program.
        time_s: processor time, rounded up to whole seconds, so that a busy machine changes no result. A program that
            sleeps is stopped when ten times as much has passed on the clock.
        memory_bytes: addresses it may use (not enforced on macOS).

    Raises:
        TaskError: a limit is not above 0, or this is no POSIX system.

    Example:
        >>> run_python("print(sum(range(4)))")
        SandboxResult(ok=True, reason='ran to its end', output='6\n')
        >>> run_python("raise SystemExit(0)").reason
        'ended early with exit code 0'
    """
    if os.name != "posix":
        raise TaskError(f"Programs are run with POSIX limits, and this is {sys.platform}: use Linux or macOS.")
    if not (0 < time_s < math.inf and memory_bytes > 0):
        raise TaskError(f"time_s is {time_s} and memory_bytes is {memory_bytes}, and both must be above 0.")
    token, seconds = secrets.token_hex(16), math.ceil(time_s)
    settings = {
        "token": token,
        "time_s": seconds,
        "memory_bytes": memory_bytes,
        "file_bytes": OUTPUT_BYTES,
    }
    sent = f"{json.dumps(settings)}\n{code}".encode(errors="replace")
    with tempfile.TemporaryDirectory(prefix="mergeguard-run-", ignore_cleanup_errors=True) as folder:
        work = Path(folder, "work")
        work.mkdir()
        work.chmod(0o777)  # whoever the child becomes
        Path(folder).chmod(0o711)
        with tempfile.TemporaryFile() as written:
            exit_code = _run(sent, work, written, wall_s=_PATIENCE * seconds)
            written.seek(0)
            output = written.read(OUTPUT_BYTES).decode(errors="replace")
    body, found, _ = output.rpartition(f"\n{token}\n")
    if found and exit_code == 0:
        return SandboxResult(True, "ran to its end", body[-SHOWN_CHARACTERS:])
    return SandboxResult(False, _reason(exit_code, output, seconds), output[-SHOWN_CHARACTERS:])


def _run(sent: bytes, folder: Path, written: IO[bytes], *, wall_s: float) -> int | None:
    """Run the child and return its exit code, or None if its time on the clock was over."""
    child = subprocess.Popen(
        [sys.executable, "-I", "-S", "-X", "utf8", str(_CHILD)],
        stdin=subprocess.PIPE,
        stdout=written,
        stderr=subprocess.STDOUT,
        cwd=folder,
        env={},
        start_new_session=True,
    )
    try:
        child.communicate(sent, timeout=wall_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        _end(child)
    return child.returncode


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the child and whatever it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # it is over, and so is its group
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _reason(exit_code: int | None, output: str, seconds: int) -> str:
    if len(output) >= OUTPUT_BYTES:
        return f"wrote more than {OUTPUT_BYTES} bytes"
    if exit_code is None or exit_code in (-signal.SIGXCPU, -signal.SIGKILL):
        return f"took more than {seconds} s of processor time, or {_PATIENCE} times that on the clock"
    if exit_code < 0:
        return f"was stopped by signal {signal.Signals(-exit_code).name}"
    last = next((line for line in reversed(output.splitlines()) if line.strip()), "")
    unread = last.startswith(("SyntaxError", "IndentationError", "TabError"))  # these come without a traceback
    if exit_code == 1 and (unread or "Traceback (most recent call last)" in output):
        return last[:200]
    return f"ended early with exit code {exit_code}"
