"""What an audit tries only where it is named: AdaMerging, GradErase, distillation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mergeguard_hub.audit import recovery as recovery_module
from mergeguard_hub.audit.ada_merging import AdaMergingSearch, unlabelled_pictures
from mergeguard_hub.audit.arena import Arena
from mergeguard_hub.audit.cell import Cell, measure
from mergeguard_hub.audit.model_folder import ModelFolder
from mergeguard_hub.audit.recovery import EXTRA, KINDS, kinds, recovery
from mergeguard_hub.audit.tasks import AnswerTask, exact_number
from mergeguard_hub.errors import AttackError
from space.zoo.vision.family import WEIGHTS
from tests.audit.grids import release


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a release."""
    folder = tmp_path_factory.mktemp("audit")
    release(folder)
    return folder


def an_arena(place: Path, work: Path, **ways: Any) -> Arena:
    folders = [WEIGHTS / name for name in ("scenes", "base")]
    tasks = ("space.zoo.tasks:vision_scenes", "space.zoo.tasks:vision_aerial")
    return Arena(place / "release", *folders, (WEIGHTS / "aerial",), tasks, {}, ways, {}, 60, 20, work, EXTRA)


def test_adamerging(place: Path, tmp_path: Path) -> None:
    """Coefficients per model and per tensor, both with trimmed task vectors too; they have begun to move."""
    arena = an_arena(place, tmp_path, ada_merging=AdaMergingSearch(steps=2))
    found = measure(arena, Cell("original", "", "ada_merging", "aerial"), limit=60)
    assert (found.problem, found.screened) == ("", 4)
    best = found.points[0]
    assert best.label.startswith("AdaMerging")
    assert best.joint.value > 0
    assert 0.27 < best.settings["mean ours"] < 0.33
    assert best.settings["mean ours"] != best.settings["mean theirs"]


def test_adamerging_needs_pictures() -> None:
    base = ModelFolder(WEIGHTS / "base")
    with pytest.raises(AttackError, match="about the entropy of classes, and 'math' is no task of pictures"):
        unlabelled_pictures(base, [AnswerTask("math", "Math", (), exact_number)], [base.tensors()])


@pytest.mark.parametrize("kind", EXTRA)
def test_other_ways_to_train_back(kind: str, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GradErase begins at the ruined average and moves it; distillation begins at the base and sees no label."""
    seen: list[Any] = []
    labelled = recovery_module._loss
    monkeypatch.setattr(recovery_module, "_loss", lambda *given: seen.append(given) or labelled(*given))
    monkeypatch.setattr(recovery_module, "STEPS", (0, 20))
    arena = an_arena(place, tmp_path)
    assert kinds(arena) == (*KINDS[:-1], *EXTRA)
    points = recovery(arena, "aerial", kind)["points"]
    assert [point["steps"] for point in points] == [0, 20]
    if kind == "grad_erase":
        assert points[0]["joint"] < -0.5
        assert points[1]["joint"] != points[0]["joint"]
    else:
        assert points[0]["joint"] == 0
        assert seen == []
