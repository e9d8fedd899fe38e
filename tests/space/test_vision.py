"""The shipped vision models are what their record says, their pictures are sound, and training can be repeated."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageClassification, ViTForImageClassification

from space.zoo.merged import METHODS
from space.zoo.report import kept
from space.zoo.run import Run
from space.zoo.train import family
from space.zoo.vision import data, train
from space.zoo.vision.data import TRAIN_SCANS, Split, pictures
from space.zoo.vision.drawing import DRAWINGS
from space.zoo.vision.family import MODELS, RESULTS, WEIGHTS, classification, load_model
from space.zoo.vision.measure import PAIRS, scores_of
from space.zoo.vision.provenance import PROVENANCE
from space.zoo.vision.tasks import ID2LABEL, TASKS
from space.zoo.vision.train import BASE, FAMILY, FINE_TUNES, moved, start_base, start_fine_tune

ROLES = ["scenes", "vehicles", "aerial", "land", "numbers", "signs", "digits", "textures"]
FEW = {"digits": 40, "textures": 40}


def recorded() -> dict[str, Any]:
    results: dict[str, Any] = json.loads(RESULTS.read_text())
    return results


def value(model: str, task: str) -> float:
    return float(recorded()["scores"][model][task]["value"])


def short_run(seed: int) -> Run:
    return start_base(FEW, seed=seed)


def state_of(run: Run) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in run.model.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# Tasks and pictures


def test_the_labels_are_the_classes_of_all_tasks_side_by_side() -> None:
    assert list(TASKS) == ROLES
    assert [len(task.classes) for task in TASKS.values()] == [12, 10, 12, 10, 10, 16, 10, 12]
    assert list(ID2LABEL) == list(range(92))
    assert (ID2LABEL[0], ID2LABEL[47], ID2LABEL[91]) == ("scenes/beach", "numbers/3", "textures/blotched")
    for task in TASKS.values():
        assert [ID2LABEL[i] for i in range(92)[task.logits]] == [f"{task.name}/{c}" for c in task.classes]


@pytest.mark.parametrize("task", TASKS)
def test_pictures_are_in_colour_and_cover_all_classes(task: str) -> None:
    for split, count in (("train", 300), ("test", None)):
        made = pictures(task, split, count)
        assert made.pixels.shape == (len(made), 3, 32, 32)
        assert made.pixels.dtype is torch.uint8
        assert made.pixels.float().std() > 25
        assert made.labels.unique().tolist() == list(range(len(TASKS[task].classes)))


@pytest.mark.parametrize(("task", "count"), [("digits", 497), ("numbers", 994), ("signs", 1000)])
def test_the_test_sets_are_as_large_as_they_are_said_to_be(task: str, count: int) -> None:
    assert len(classification(task).labels) == count


@pytest.mark.parametrize("task", ["signs", "numbers", "digits"])
def test_pictures_are_the_same_every_time_and_the_first_ones_of_more(task: str) -> None:
    first = pictures(task, "test", 20)
    data.pictures.cache_clear()
    more = pictures(task, "test", 40)
    assert more is not first
    assert torch.equal(more.pixels[:20], first.pixels)
    assert torch.equal(more.labels[:20], first.labels)


@pytest.mark.parametrize("task", DRAWINGS)
def test_every_class_is_drawn_differently_each_time(task: str) -> None:
    for name in TASKS[task].classes:
        one, other = (DRAWINGS[task](name, data.Random(seed)) for seed in (0, 1))
        assert one.shape == other.shape == (32, 32, 3)
        assert not (one == other).all()


def test_no_picture_of_a_test_set_is_in_the_training_set() -> None:
    for task in TASKS:
        train, test = (pictures(task, split, 300).pixels for split in ("train", "test"))
        known = {picture.numpy().tobytes() for picture in train}
        assert len(known) > 290
        assert sum(picture.numpy().tobytes() in known for picture in test) == 0


def test_no_scan_of_the_test_set_is_in_the_training_set() -> None:
    splits: tuple[Split, Split] = ("train", "test")
    train, test = (data.scans(split)[0] for split in splits)
    assert (len(train), len(test)) == (TRAIN_SCANS, 497)
    known = {scan.tobytes() for scan in train}
    assert sum(scan.tobytes() in known for scan in test) == 0


# Shipped models


@pytest.mark.parametrize("name", MODELS)
def test_a_shipped_model_loads_with_the_plain_class(name: str) -> None:
    model = AutoModelForImageClassification.from_pretrained(WEIGHTS / name)
    assert type(model) is ViTForImageClassification
    assert model.dtype is torch.bfloat16
    assert model.config.id2label == ID2LABEL
    files = {path.name for path in (WEIGHTS / name).iterdir()}
    assert files - {"README.md"} == {"config.json", "model.safetensors"}


@pytest.mark.parametrize("name", MODELS)
def test_a_shipped_model_has_its_recorded_scores(name: str) -> None:
    found = scores_of(load_model(name).state_dict(), tuple(TASKS))
    for task, score in found.items():
        on_record = recorded()["scores"][name][task]
        assert score.value == pytest.approx(on_record["value"], abs=0.002)
        assert score.items == on_record["items"]
        assert score.standard_error == pytest.approx(on_record["standard_error"], abs=0.001)


def test_every_fine_tune_is_better_at_its_task_than_the_base_and_every_other() -> None:
    for task in TASKS:
        others = [value(name, task) for name in MODELS if name != task]
        assert value(task, task) > max(others) + 0.05


def test_the_unprotected_merges_work_and_the_protected_ones_do_not() -> None:
    results = recorded()
    rows = {(row["defender"], row["partner"], row["method"], row["protected"]): row for row in results["merges"]}
    assert len(rows) == len(PAIRS) * len(METHODS) * 2
    for pair in PAIRS:
        both = {
            (method, protected): kept(results, rows[pair.defender, pair.partner, method, protected])
            for method in METHODS
            for protected in (False, True)
        }
        assert max(min(both[method, False]) for method in METHODS) >= 0.6
        assert max(max(both[method, True]) for method in METHODS) < 0
        assert results["protected"][pair.defender][pair.defender]["value"] == value(pair.defender, pair.defender)


def test_all_models_share_one_classifier() -> None:
    base = load_model("base").classifier
    for name in TASKS:
        classifier = load_model(name).classifier
        assert torch.equal(classifier.weight, base.weight)
        assert torch.equal(classifier.bias, base.bias)


def test_the_family_is_small() -> None:
    folders = [path for path in WEIGHTS.iterdir() if path.is_dir()]
    sizes = [file.stat().st_size for path in folders for file in path.rglob("*.safetensors")]
    assert sum(sizes) < 660_000 * len(folders)


def test_every_model_has_a_card_text() -> None:
    assert set(PROVENANCE.models) == set(MODELS)


# Training


def test_a_step_of_training_can_be_repeated() -> None:
    one, again, other = (short_run(seed) for seed in (0, 0, 1))
    losses = [(run.step(), run.step()) for run in (one, again, other)]
    assert losses[0] == losses[1] != losses[2]
    assert same(state_of(one), state_of(again))
    assert not same(state_of(one), state_of(other))


def test_fine_tuning_starts_from_the_base_and_keeps_its_classifier() -> None:
    base = load_model("base").state_dict()
    run = start_fine_tune("digits", load_model("base"), count=40, rehearsed=FEW)
    assert same(state_of(run), base)
    for _ in range(2):  # the learning rate begins at 0
        run.step()
    moved = [name for name, tensor in run.model.state_dict().items() if not torch.equal(tensor, base[name])]
    assert "vit.layernorm.weight" in moved
    assert [name for name in moved if name.startswith("classifier")] == []


def test_pictures_are_moved_as_a_whole_and_their_edges_repeated() -> None:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.arange(32.0).expand(2, 3, 32, 32)
    found = [moved(pixels, 2, generator) for _ in range(30)]
    shifts = {float(one[0, 0, 0, 16]) - 16 for one in found}
    assert shifts == {-2, -1, 0, 1, 2}
    for one in found:
        shift = float(one[0, 0, 0, 16]) - 16
        assert torch.equal(one, (pixels + shift).clamp(0, 31))
    assert moved(pixels, 0, generator) is pixels


def test_drawings_come_from_a_cache_once_they_are_there(tmp_path: Path) -> None:
    drawn = pictures("digits", "train", 5)
    kept = pictures("digits", "train", 5, cache=tmp_path)
    data.pictures.cache_clear()
    again = pictures("digits", "train", 5, cache=tmp_path)
    for one in (kept, again):
        assert torch.equal(one.pixels, drawn.pixels)
        assert torch.equal(one.labels, drawn.labels)
    (file,) = tmp_path.glob("*.pt")
    torch.save((drawn.pixels * 0, drawn.labels), file)
    data.pictures.cache_clear()
    assert int(pictures("digits", "train", 5, cache=tmp_path).pixels.max()) == 0


def test_a_miniature_of_the_family_is_trained_and_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "BASE", replace(BASE, steps=2))
    recipe = FINE_TUNES["digits"]
    monkeypatch.setitem(FINE_TUNES, "digits", replace(recipe, schedule=replace(recipe.schedule, steps=3)))
    monkeypatch.setattr(train, "start_base", lambda cache: start_base(FEW))
    monkeypatch.setattr(
        train, "start_fine_tune", lambda task, base, cache: start_fine_tune(task, base, count=40, rehearsed=FEW)
    )
    told: list[int] = []
    for name in ("base", "digits"):
        _, make = FAMILY.models[name]
        make(tmp_path, tmp_path / name, lambda done, loss: told.append(done))
    assert told == [1, 2, 1, 2, 3]
    base, tuned = (load_model(tmp_path / name).state_dict() for name in ("base", "digits"))
    assert not same(base, tuned)
    assert torch.equal(base["classifier.weight"], tuned["classifier.weight"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "digits"]


def test_the_family_trains_its_base_first() -> None:
    made = family("vision")
    assert (made.name, tuple(made.models)) == ("vision", MODELS)
