"""One version of mergekit, and of torch in both environments, wherever they are written."""

from __future__ import annotations

import re
from pathlib import Path

from mergeguard_hub.merging.engines.mergekit_process import PINNED

ROOT = Path(__file__).resolve().parents[3]


def pins(file: str) -> dict[str, str]:
    """Return name -> pinned requirement of a constraints file."""
    lines = [line for line in (ROOT / file).read_text().splitlines() if line and not line.startswith("#")]
    return {line.split("==")[0]: line.partition(";")[0] for line in lines}


def test_every_version_of_mergekits_environment_is_exact() -> None:
    assert {
        line for line in pins("constraints-mergekit.txt").values() if not re.fullmatch(r"[\w.-]+==[\w.]+", line)
    } == set()


def test_mergekit_and_torch_are_those_that_are_named_elsewhere() -> None:
    found, ours = pins("constraints-mergekit.txt"), pins("constraints.txt")
    assert found["mergekit"] == PINNED
    assert [found[name] for name in ("torch", "transformers")] == [ours[name] for name in ("torch", "transformers")]
