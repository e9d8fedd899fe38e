"""Two real processes over gloo train to the same weights as one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training import two_processes

ROOT = Path(__file__).resolve().parents[2]


def run(how: str, size: int, out: Path) -> dict[str, Any]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(size),
        "LOCAL_WORLD_SIZE": str(size),
    }
    started = []
    for rank in range(size):
        own = {**os.environ, **place, "RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "tests.training.two_processes", how, str(out)]
        started.append(subprocess.Popen(command, cwd=ROOT, env=own, stderr=subprocess.PIPE, text=True))
    errors = [process.communicate(timeout=240)[1] for process in started]
    assert [process.returncode for process in started] == [0] * size, errors
    found: dict[str, Any] = torch.load(out)
    return found


@pytest.mark.parametrize("how", ["accelerate", "fsdp", "trainer"])
def test_two_processes_are_one(how: str, tmp_path: Path) -> None:
    if how == "trainer":
        one = two_processes.train_by_trainer(tmp_path / "run")
    else:
        one = run("accelerate", 1, tmp_path / "one.pt")
    two = run(how, 2, tmp_path / "two.pt")
    assert one["weights"].keys() == two["weights"].keys()
    for name, tensor in one["weights"].items():
        torch.testing.assert_close(two["weights"][name], tensor, rtol=1e-4, atol=1e-5)
    assert [loss for loss, _ in two["losses"]] == pytest.approx([loss for loss, _ in one["losses"]], rel=1e-4)
    assert [capped for _, capped in two["losses"]] == [capped for _, capped in one["losses"]]
    assert {capped for _, capped in one["losses"]} == {True, False}
