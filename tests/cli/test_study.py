"""`mergeguard study`: what it writes and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from space.zoo.vision.family import WEIGHTS
from tests.cli.library import run


def arguments(out: Path, *more: str) -> list[str]:
    given = ["study", "--base", str(WEIGHTS / "base"), "--models", str(WEIGHTS / "scenes"), str(WEIGHTS / "aerial")]
    return [*given, "--tasks", "space.zoo.tasks:vision_scenes", "--limit", "20", "--out", str(out), *more]


def test_it_writes_a_table_and_figures(tmp_path: Path) -> None:
    found = run(*arguments(tmp_path / "out", "--sizes", "1", "2", "--workers", "1"))
    assert found.exit_code == 0, found.output
    assert "8 rows" in found.stdout
    content = json.loads((tmp_path / "out" / "study.json").read_text())
    assert {(row["size"], row["merges"]) for row in content["rows"]} == {(1, 2), (2, 1)}
    assert (tmp_path / "out" / "study.md").read_text().startswith("| models | merge |")


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--releases", "scenes"), "'scenes' is no NAME=RELEASE."),
        (("--releases", f"land={WEIGHTS / 'land'}"), "There are releases of land, and the models are scenes, aerial."),
        (("--sizes", "0"), "0 is not in the range x>=1"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path: Path, more: tuple[str, ...], sentence: str) -> None:
    found = run(*arguments(tmp_path / "out", *more))
    assert found.exit_code != 0
    assert sentence in " ".join(found.stderr.split())
    assert not (tmp_path / "out").exists()
