"""The real command line at a terminal: Ctrl-C, and progress bars."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests import tiny
from tests.cli.place import COMMAND, ENVIRONMENT


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A folder with a Llama that takes a while: 130 MB of embeddings."""
    tiny.save(tiny.llama(vocab_size=500_000), tmp_path / "model", max_shard_size="20MB")
    return tmp_path


def besides_model(here: Path, pattern: str = "*") -> list[Path]:
    """Return what lies in a folder besides the model."""
    return [path for path in here.glob(pattern) if path.name != "model"]


def stopped_at(here: Path, moment: str) -> subprocess.Popen[str]:
    """Start protecting, and stop the process at a moment before its target appears.

    It is stopped before it is interrupted, and looked at again: on a busy machine it may be at its end by the time that
    this process gets to run, and a Ctrl-C in the interpreter's last moments ends it by the signal itself.
    """
    for _ in range(10):
        process = subprocess.Popen(
            [*COMMAND, "protect", "model", "out", "--key", "new.mgkey"],
            cwd=here,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        while process.poll() is None and not besides_model(here, moment):
            time.sleep(0.005)
        if process.poll() is None:
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            if besides_model(here, moment):
                return process
            process.send_signal(signal.SIGCONT)
        process.communicate(timeout=120)
        assert process.returncode == 0, "it has to end well to be tried again"
        shutil.rmtree(here / "out")
        (here / "new.mgkey").unlink()
    raise TimeoutError("protecting was over ten times before it could be stopped")


@pytest.mark.parametrize("moment", [".out.mergeguard-*", ".out.mergeguard-*/*.safetensors"])
def test_an_interrupt_leaves_nothing(large: Path, moment: str) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in (large / "model").iterdir()}
    process = stopped_at(large, moment)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGCONT)
    stdout, stderr = process.communicate(timeout=120)
    assert (process.returncode, stdout, stderr) == (130, "", "mergeguard: interrupted\n")
    assert besides_model(large) == []
    assert {path.name: path.stat().st_mtime_ns for path in (large / "model").iterdir()} == before


def test_a_terminal_sees_bars_and_a_pipe_does_not(place: Path, tmp_path: Path) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "protect", place / "model", "out", "--key", place / "k.mgkey", "--json"],
        cwd=tmp_path,
        env={**ENVIRONMENT, "TERM": "xterm", "COLUMNS": "120"},
        stdout=subprocess.PIPE,
        stderr=slave,
    )
    os.close(slave)
    shown = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:  # Linux reports the end of a terminal as an error
            break
        if not piece:
            break
        shown += piece
    os.close(master)
    stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"protect" in shown
    assert json.loads(stdout)["target"] == "out"
