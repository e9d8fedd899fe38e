"""`mergeguard audit`: what it writes, what it prints, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from space.zoo.vision.family import WEIGHTS
from tests.audit.grids import release
from tests.cli.library import run


def arguments(folder: Path, *more: str) -> list[str]:
    given = ["audit", str(folder / "release"), "--original", str(WEIGHTS / "scenes"), "--base", str(WEIGHTS / "base")]
    given += ["--partners", str(WEIGHTS / "aerial"), "--out", str(folder / "out")]
    return [*given, "--tasks", "space.zoo.tasks:vision_scenes", "space.zoo.tasks:vision_aerial", *more]


def test_it_writes_figures_tables_and_plots(tmp_path: Path) -> None:
    release(tmp_path)
    found = run(*arguments(tmp_path, "--methods", "slerp", "--attacks", "none", "--workers", "1", "--limit", "20"))
    assert found.exit_code == 0, found.output
    assert "with aerial: the best that any merge got of both skills is" in found.stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "audit-grid.png",
        "audit-recovery.png",
        "audit.json",
        "audit.md",
        "work",
    ]
    content = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert {row["method"] for row in content["cells"]} == {"slerp", "without_our_model"}
    assert content["settings"]["attacks"] == {}


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--methods", "magic"), "There is no method 'magic'; choose among weight_averaging, "),
        (("--attacks", "magic"), "There is no attack 'magic'; choose among alignment, "),
        (("--budget", "soon"), "'soon' is no time; write 90s, 10m or 1.5h."),
        (("--tasks", "nonsense"), "3 tasks for 1 partners"),
        (("--partners", "no/such/folder"), "There is no folder no/such/folder"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path: Path, more: tuple[str, ...], sentence: str) -> None:
    release(tmp_path)
    found = run(*arguments(tmp_path, *more))
    assert found.exit_code != 0
    assert sentence in " ".join(found.stderr.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("text", "seconds"), [("90", 90.0), ("90s", 90.0), ("10m", 600.0), ("1.5h", 5400.0)])
def test_times_have_units(text: str, seconds: float) -> None:
    from mergeguard_hub.cli.audit_command import Duration

    assert Duration().convert(text, None, None) == seconds
