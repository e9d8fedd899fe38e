"""Twenty visitors at once: nobody sees another's result, and the server stays within its memory."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from space.choice import Choice
from space.pages.vision.compare import compare
from space.pages.vision.view import render
from space.store import BUDGET_BYTES

VISITORS = 20
INTERPRETER_BYTES = 1500 * 2**20  # torch, transformers, diffusers and gradio, with room for a merge at hand
CHOICES = [
    Choice("vision", defender, partner, "Weight averaging", 0.5)
    for defender, partner in (("scenes", "aerial"), ("digits", "vehicles"), ("signs", "scenes"), ("land", "digits"))
]
_TIMEOUT_S = 300


def visit(address: str, choice: Choice) -> str:
    """Return what one visitor sees in the end."""
    call = f"{address}gradio_api/call/vision"
    data = [choice.defender, choice.partner, choice.protection, choice.merge, choice.weight]
    event = httpx.post(call, json={"data": data}, timeout=_TIMEOUT_S).json()["event_id"]
    answer = httpx.get(f"{call}/{event}", timeout=_TIMEOUT_S).text
    last = re.findall(r"event: complete\ndata: (.*)", answer)
    assert last, answer[-500:]
    return str(json.loads(last[-1])[1])


def resident_bytes(address: str) -> int:
    """Return the memory of the server that listens at an address."""
    port = address.rstrip("/").rsplit(":", 1)[1]
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            words = (process / "cmdline").read_bytes().split(b"\0")
            if b"space.app" in words and port.encode() in words:
                status = (process / "status").read_text()
                return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) * 1024
    raise AssertionError(f"no server listens at {address}")


def test_twenty_visitors_see_their_own_results(address: str) -> None:
    asked = [CHOICES[number % len(CHOICES)] for number in range(VISITORS)]
    with ThreadPoolExecutor(VISITORS) as pool:
        seen = list(pool.map(lambda choice: visit(address, choice), asked))
    expected = {choice: render(compare(choice)) for choice in CHOICES}
    assert len(set(expected.values())) == len(CHOICES)
    assert [text == expected[choice] for text, choice in zip(seen, asked, strict=True)] == [True] * VISITORS
    assert httpx.get(address).status_code == 200
    if Path("/proc/self/status").exists():
        assert resident_bytes(address) < INTERPRETER_BYTES + BUDGET_BYTES
