"""The real command line at a terminal: Ctrl-C, and progress bars."""

from __future__ import annotations

import json
import os
import pty
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


@pytest.mark.parametrize("moment", [".out.mergeguard-*", ".out.mergeguard-*/*.safetensors"])
def test_an_interrupt_leaves_nothing(large: Path, moment: str) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in (large / "model").iterdir()}
    process = subprocess.Popen(
        [*COMMAND, "protect", "model", "out", "--key", "new.mgkey"],
        cwd=large,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    limit = time.monotonic() + 120
    while not besides_model(large, moment):
        assert process.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
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
