"""The protocol of merging in the wild: subsets, comparisons, and releases in the place of models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mergeguard_hub.audit.study import ALONE, STUDY_METHODS, draw_subsets, study
from mergeguard_hub.audit.table import study_markdown
from mergeguard_hub.errors import AuditError
from mergeguard_hub.merging import TaskArithmetic
from space.zoo.vision.family import WEIGHTS
from tests.audit.grids import release

MODELS = [WEIGHTS / name for name in ("scenes", "aerial", "digits")]


def small_study(work: Path, **changes: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "models": MODELS,
        "tasks": ["space.zoo.tasks:vision_scenes", "space.zoo.tasks:vision_digits"],
        "sizes": (1, 2, 3, 4),
        "methods": {"average": TaskArithmetic(scale=1.0, normalize=True)},
        "limit": 60,
        "workers": 1,
        **changes,
    }
    return study(WEIGHTS / "base", work=work, **settings)


def test_merges_beat_the_base_until_a_release_is_among_them(tmp_path: Path) -> None:
    found = small_study(tmp_path / "work", releases={"scenes": release(tmp_path)})
    rows = {(row["size"], row["method"], row["released"]): row for row in found["rows"]}
    assert list(rows) == [
        (1, ALONE, False),
        (1, ALONE, True),
        (2, "average", False),
        (2, "average", True),
        (3, "average", False),
        (3, "average", True),
    ]
    assert [rows[key]["merges"] for key in rows] == [3, 1, 3, 2, 1, 1]
    assert rows[2, "average", False]["over_base"]["probability"] == 1
    assert rows[2, "average", True]["over_base"] == {
        "probability": 0.0,
        "standard_error": 0.0,
        "mean_gain": pytest.approx(-0.5, abs=0.25),
    }
    assert rows[1, ALONE, True]["over_best"]["mean_gain"] == 0  # the release answers as the model
    control = rows[2, "average", True]["control"]["over_base"]  # the two subsets that the release is in, not all three
    assert control["probability"] == 1
    assert rows[3, "average", True]["control"] == {k: rows[3, "average", False][k] for k in ("over_base", "over_best")}
    assert rows[1, ALONE, True]["control"]["over_base"]["mean_gain"] == pytest.approx(
        found["models"]["scenes"] - found["base"], abs=2e-4
    )
    single = [found["models"][name] for name in ("scenes", "aerial", "digits")]
    expected = sum(score - found["base"] for score in single) / 3
    assert rows[1, ALONE, False]["over_base"]["mean_gain"] == pytest.approx(expected, abs=2e-4)
    assert "| 2 | average | yes | 2 | 0 ± 0 % |" in study_markdown(found)


def test_a_study_goes_on_where_it_was(tmp_path: Path) -> None:
    few: dict[str, Any] = {"sizes": (2,), "limit": 20}
    first = small_study(tmp_path, **few)
    merges = {file: file.stat().st_mtime_ns for file in (tmp_path / "merges").iterdir()}
    assert len(merges) == 3
    assert small_study(tmp_path, **few) == first
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "merges").iterdir()} == merges
    with pytest.raises(AuditError, match="holds a study with another content of tasks, list of tasks"):
        small_study(tmp_path, tasks=["space.zoo.tasks:vision_scenes", "space.zoo.tasks:vision_aerial"], **few)


def test_subsets_are_drawn_once_for_all_methods() -> None:
    names = [str(number) for number in range(12)]
    drawn = draw_subsets(names, (1, 6, 12), 15, seed=3)
    assert [len(subset) for subset in drawn] == [1] * 12 + [6] * 15 + [12]
    assert len(set(drawn)) == len(drawn)
    assert drawn == draw_subsets(names, (1, 6, 12), 15, seed=3)
    assert drawn != draw_subsets(names, (1, 6, 12), 15, seed=4)
    times = [sum(name in subset for subset in draw_subsets(names, (6,), 900, seed=0)) for name in names]
    assert max(times) - min(times) < 100  # uniform: 450 each, standard deviation 7


def test_the_studys_own_settings() -> None:
    assert repr(STUDY_METHODS["ties"]).startswith("Ties(density=0.1")
    assert STUDY_METHODS["task_arithmetic"] == TaskArithmetic(scale=1.0, normalize=True)


def test_nothing_to_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="0 models, 2 tasks, 15 subsets"):
        small_study(tmp_path, models=[])
    with pytest.raises(AuditError, match="There are releases of land, and the models are scenes, aerial, digits"):
        small_study(tmp_path, releases={"land": WEIGHTS / "land"})
