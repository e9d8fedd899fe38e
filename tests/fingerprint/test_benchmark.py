"""The families and the evaluation, in miniature: two shapes, three bases, a few steps of training."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.families import derivatives
from benchmarks.families.architectures import ARCHITECTURES
from benchmarks.families.derivatives import BASE, MODELS, ORIGINAL, Place, Plan
from benchmarks.families.make import Model, make_families
from benchmarks.lineage import control
from benchmarks.lineage.__main__ import evaluate
from benchmarks.lineage.pairs import curve

SMALL = {
    name: replace(ARCHITECTURES[name], settings={**ARCHITECTURES[name].settings, **settings}, bases=bases)
    for name, settings, bases in (("llama", {"num_hidden_layers": 2}, 2), ("vit", {"num_hidden_layers": 2}, 1))
}
PLAN = Plan(base_steps=30, steps=10)

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft asks the old name
NUMBER = re.compile(r"\*\*([\d.]+) %\*\*")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Model]:
    return make_families(tmp_path_factory.mktemp("families"), plan=PLAN, architectures=SMALL)


def weights(model: Model) -> bytes:
    return (model.folder / "model.safetensors").read_bytes()


def test_every_base_has_every_kind_of_derivative(made: list[Model]) -> None:
    assert [(model.family, model.name) for model in made] == [
        (family, name) for family in ("llama-0", "llama-1", "vit-0") for name in MODELS
    ]
    assert len({weights(model) for model in made}) == len(made)


def test_bases_have_learned(made: list[Model]) -> None:
    base = next(model for model in made if model.name == BASE)
    architecture = SMALL[base.shapes]
    losses = []
    for model in (architecture.build(seed=0), architecture.load(base.folder)):
        with torch.no_grad():
            losses.append(architecture.loss(model.eval(), seed=0, task=0)(torch.Generator().manual_seed(9)).item())
    assert losses[1] < losses[0] - 0.5


def test_models_are_made_once_and_the_same_again(made: list[Model], tmp_path: Path) -> None:
    first = made[0].folder.parent
    before = weights(made[0])
    assert make_families(first.parent, plan=PLAN, architectures=SMALL) == made
    place = Place(SMALL["llama"], 0, first, PLAN)
    for name in (ORIGINAL, "lora", "exact"):
        MODELS[name](place, tmp_path / name)
        assert (tmp_path / name / "model.safetensors").read_bytes() == (first / name / "model.safetensors").read_bytes()
    assert weights(made[0]) == before


def test_pruning_and_rounding_do_what_they_say() -> None:
    matrix = torch.randn(20, 30, generator=torch.Generator().manual_seed(0))
    assert (derivatives.pruned(matrix) == 0).float().mean().item() == pytest.approx(derivatives.PRUNED)
    found = derivatives.rounded(matrix)
    assert 0 < (found - matrix).abs().max().item() <= matrix.abs().max().item() / 254 * 1.001
    assert all(len(row.unique()) <= 255 for row in found)


def test_a_curve_worked_by_hand() -> None:
    """Four positives and four negatives, of which one lies between the positives."""
    found = curve([4.0, 3.0, 2.0, 0.9], [2.5, 0.5, 0.4, 0.3])
    assert (found.at(0.0), found.at(0.25)) == (0.5, 1.0)
    assert found.area == pytest.approx(14 / 16)


def test_the_evaluation_writes_its_tables_and_plots(
    made: list[Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "WIDTHS", (16,))
    evaluate(made, tmp_path / "work", results=tmp_path / "results", pictures=tmp_path / "pictures")
    tables = {path.name: path.read_text() for path in (tmp_path / "results").iterdir()}
    assert set(tables) == {
        f"lineage-{name}.md" for name in ("families", "control", "width", "recognition", "attribution")
    }
    pictures = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert pictures == {"one-of-each-shape.png", "same-shapes.png", "recognition.png"}
    families = NUMBER.findall(tables["lineage-families.md"])
    assert families[2:] == ["100.0", "100.0"]
    assert "| release and original, among strangers | 18 |" in tables["lineage-recognition.md"]
    assert "100.0 % | 0 of 121 |" in tables["lineage-recognition.md"]
    originals = [line for line in tables["lineage-attribution.md"].splitlines() if "| the original | all |" in line]
    assert len(originals) == 1
    assert "| 12 |" in originals[0]
