"""The report says what was measured: rows, what a merge keeps, the figure, the cards."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from benchmarks.zoo_again import RECORD, compared, table
from mergeguard_hub.audit.tasks import Score
from space.zoo.card import card
from space.zoo.merged import Pair, merge_rows, record, transfer
from space.zoo.plot import best_method, plot_family
from space.zoo.provenance import Provenance
from space.zoo.report import kept, report
from space.zoo.train import ZOO


def entry(value: float) -> dict[str, float]:
    return {"value": value, "items": 100, "standard_error": 0.05}


def merge(method: str, *, protected: bool, math: float, code: float) -> dict[str, Any]:
    scores = {"math": entry(math), "code": entry(code)}
    return {"defender": "math", "partner": "code", "method": method, "protected": protected, "scores": scores}


RESULTS: dict[str, Any] = {
    "scores": {
        "base": {"math": entry(0.2), "code": entry(0.1)},
        "math": {"math": entry(0.9), "code": entry(0.1)},
        "code": {"math": entry(0.1), "code": entry(0.8)},
    },
    "protected": {"math": {"math": entry(0.9)}},
    "merges": [
        merge("average", protected=False, math=0.55, code=0.45),
        merge("average", protected=True, math=0.0, code=0.1),
        merge("TIES", protected=False, math=0.8, code=0.2),
        merge("TIES", protected=True, math=0.0, code=0.0),
    ],
}


def test_transfer_is_the_part_of_the_gain_over_the_base() -> None:
    assert transfer(0.55, base=0.2, alone=0.9) == pytest.approx(0.5)
    assert kept(RESULTS, RESULTS["merges"][0]) == (pytest.approx(0.5), pytest.approx(0.5))
    assert kept(RESULTS, RESULTS["merges"][1]) == (pytest.approx(-2 / 7), pytest.approx(0.0))


def test_the_report_has_a_row_for_every_model_and_merge() -> None:
    lines = list(report("language", RESULTS))
    assert [line.split(" | ")[0] for line in lines if line.startswith("| ")] == [
        "| model", "| ---", "| base", "| math", "| code", "| math, protected release",
        "| defender + partner", "| ---", "| math + code", "| math + code",
    ]  # fmt: skip
    assert (
        "| math + code | average | 55.0 ± 5.0 / 45.0 ± 5.0 | 50 % / 50 % | 0.0 ± 5.0 / 10.0 ± 5.0 | -29 % / 0 % |"
        in lines
    )
    assert len({line.count("|") for line in lines[:6]}) == 1


def test_a_task_that_a_model_was_not_asked_is_an_empty_cell() -> None:
    fewer = {**RESULTS, "scores": {**RESULTS["scores"], "code": {"code": entry(0.8)}}}
    (line,) = [line for line in report("language", fewer) if line.startswith("| code |")]
    assert line.startswith("| code |  | 80.0 ± 5.0 |")


def test_the_best_control_is_the_one_with_the_better_weaker_skill() -> None:
    assert best_method(RESULTS, "math", "code") == "average"


def test_the_figure_is_a_picture_of_one_panel_for_each_pair(tmp_path: Path) -> None:
    plot_family(RESULTS, tmp_path / "a.png")
    wide = {
        **RESULTS,
        "merges": RESULTS["merges"] + [{**row, "defender": "code", "partner": "math"} for row in RESULTS["merges"]],
    }
    plot_family(wide, tmp_path / "b.png")
    with Image.open(tmp_path / "a.png") as one, Image.open(tmp_path / "b.png") as two:
        assert two.width == pytest.approx(2 * one.width, abs=2)


def test_a_card_states_data_licence_and_scores() -> None:
    provenance = Provenance("text-generation", "About it.", "Written by us.", {"math": "Does sums."})
    text = card("language", "math", RESULTS["scores"]["math"], provenance)
    assert text.startswith("---\nlicense: apache-2.0\npipeline_tag: text-generation\n")
    assert "Written by us." in text
    assert "| math | 90.0 ± 5.0 | 100 |" in text


def test_merges_are_measured_with_the_defender_as_trained_and_as_released() -> None:
    weights = {"base": 0.0, "math": 2.0, "code": 4.0}

    def score(merged: dict[str, torch.Tensor], pair: Pair) -> dict[str, Score]:
        return {pair.defender: Score((float(merged["w"]) / 10,))}

    rows = list(
        merge_rows(
            [Pair("math", "code")],
            weights_of=lambda name: {"w": torch.tensor(weights[name])},
            release_of=lambda name: {"w": torch.tensor(-weights[name])},
            score=score,  # type: ignore[arg-type]
        )
    )
    average = [row for row in rows if row["method"] == "average"]
    assert [row["protected"] for row in average] == [False, True]
    assert [row["scores"]["math"]["value"] for row in average] == [0.3, 0.1]
    assert record(Score((1.0, 0.0)))["value"] == 0.5


def test_training_again_is_compared_with_what_is_shipped(tmp_path: Path) -> None:
    """A copy of the shipped zoo is the same to the byte; a model that lacks a file, or has another, is not."""
    again = tmp_path / "gemma"
    shutil.copytree(ZOO / "gemma" / "weights", again / "weights")
    shutil.copyfile(ZOO / "gemma" / "results.json", again / "results.json")
    (again / "weights" / "code" / "model.safetensors").write_bytes(b"another")
    found = compared("gemma", tmp_path)
    assert found["same"] == ["base", "math", "style"]
    assert all(row["shipped"] == row["again"] for row in found["controls"])
    lines = list(table({"gemma": found}))
    assert [line.split("|")[4].strip() for line in lines[2:6]] == [
        *["the same to the byte"] * 3,
        "others",
    ]
    assert lines[-1].startswith("| gemma: math + style |")


def test_the_table_of_the_last_training_is_that_of_its_record() -> None:
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    assert "\n".join(table(record)) + "\n" == RECORD.with_suffix(".md").read_text(encoding="utf-8")
