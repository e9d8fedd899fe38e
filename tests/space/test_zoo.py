"""The shipped models are what their record says, their data is what it should be, and training can be repeated."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForImageClassification, ViTForImageClassification

from space.zoo.vision import data
from space.zoo.vision.data import TRAIN_SCANS, pictures
from space.zoo.vision.family import MODELS, RESULTS, WEIGHTS, accuracy, load_model
from space.zoo.vision.run import Run
from space.zoo.vision.schedule import BASE, FINE_TUNES, Training
from space.zoo.vision.tasks import ID2LABEL, TASKS
from space.zoo.vision.train import table

SHORT = Training(pictures={"digits": 40, "shapes": 40}, steps=4, learning_rate=1e-3, batch_size=8)


def recorded() -> dict[str, dict[str, float]]:
    scores: dict[str, dict[str, float]] = json.loads(RESULTS.read_text())["accuracy"]
    return scores


def state_of(run: Run) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in run.model.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# Tasks and pictures


def test_the_labels_are_the_classes_of_all_tasks_side_by_side() -> None:
    assert [len(task.classes) for task in TASKS.values()] == [10, 10, 26, 10, 8]
    assert list(ID2LABEL) == list(range(64))
    assert (ID2LABEL[3], ID2LABEL[13], ID2LABEL[20], ID2LABEL[63]) == (
        "digits/3",
        "clutter/3",
        "letters/A",
        "shapes/cross",
    )
    assert [ID2LABEL[i] for i in range(64)[TASKS["shapes"].logits]] == [f"shapes/{c}" for c in TASKS["shapes"].classes]


@pytest.mark.parametrize("task", TASKS)
def test_pictures_are_grey_and_cover_all_classes(task: str) -> None:
    for split in ("train", "test"):
        made = pictures(task, split)
        assert made.pixels.shape == (len(made), 1, 16, 16)
        assert made.pixels.dtype is torch.float32
        assert torch.equal((made.pixels * 255).round() / 255, made.pixels)
        assert (float(made.pixels.min()), float(made.pixels.max())) == (0.0, 1.0)
        assert made.labels.unique().tolist() == list(range(len(TASKS[task].classes)))


def test_pictures_are_the_same_every_time() -> None:
    first = pictures("shapes", "test")
    data.pictures.cache_clear()
    again = pictures("shapes", "test")
    assert again is not first
    assert torch.equal(again.pixels, first.pixels)
    assert torch.equal(again.labels, first.labels)


def test_no_scan_of_the_test_set_is_in_the_training_set() -> None:
    train, test = (data._scans(split)[0] for split in ("train", "test"))
    assert (len(train), len(test)) == (TRAIN_SCANS, 497)
    known = {scan.tobytes() for scan in train}
    assert sum(scan.tobytes() in known for scan in test) == 0


# Shipped models


@pytest.mark.parametrize("name", MODELS)
def test_a_shipped_model_loads_with_the_plain_class(name: str) -> None:
    model = AutoModelForImageClassification.from_pretrained(WEIGHTS / name)
    assert type(model) is ViTForImageClassification
    assert model.config.id2label == ID2LABEL
    assert sorted(path.name for path in (WEIGHTS / name).iterdir()) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize("name", MODELS)
def test_a_shipped_model_has_its_recorded_accuracies(name: str) -> None:
    model = load_model(name)
    measured = {task: accuracy(model, task, pictures(task, "test")) for task in TASKS}
    assert measured == pytest.approx(recorded()[name], abs=0.001)


def test_every_fine_tune_is_better_at_its_task_than_the_base_and_every_other() -> None:
    scores = recorded()
    for task in TASKS:
        others = [scores[name][task] for name in MODELS if name != task]
        assert scores[task][task] > max(others) + 0.05


def test_all_models_share_one_classifier() -> None:
    base = load_model("base").classifier
    for name in TASKS:
        classifier = load_model(name).classifier
        assert torch.equal(classifier.weight, base.weight)
        assert torch.equal(classifier.bias, base.bias)


def test_the_family_is_small() -> None:
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file()) < 10_000_000


def test_the_record_reads_as_a_table() -> None:
    scores = {"accuracy": {"base": dict.fromkeys(TASKS, 0.5), "digits": dict.fromkeys(TASKS, 0.125)}}
    assert table(scores) == (
        "| model | digits | clutter | letters | textures | shapes |\n"
        "|---|---|---|---|---|---|\n"
        "| base | 50.0 | 50.0 | 50.0 | 50.0 | 50.0 |\n"
        "| digits | 12.5 | 12.5 | 12.5 | 12.5 | 12.5 |"
    )


# Training


def test_a_step_of_training_can_be_repeated() -> None:
    one, again, other = (Run(BASE, None, seed=seed) for seed in (0, 0, 1))
    losses = [run.step() for run in (one, again, other)]
    assert losses[0] == losses[1] != losses[2]
    assert same(state_of(one), state_of(again))
    assert not same(state_of(one), state_of(other))


def test_a_stopped_run_ends_where_an_unbroken_one_does(tmp_path: Path) -> None:
    whole = Run(SHORT, None, seed=0)
    whole.finish(tmp_path / "whole.pt")
    stopped = Run(SHORT, None, seed=0)
    stopped.step()
    stopped.step()
    stopped.save(tmp_path / "run.pt")
    resumed = Run(SHORT, None, seed=0)
    seen: list[int] = []
    resumed.finish(tmp_path / "run.pt", progress=lambda done, loss: seen.append(done))
    assert seen == [3, 4]
    assert same(state_of(resumed), state_of(whole))
    assert list(tmp_path.iterdir()) == []


def test_fine_tuning_starts_from_the_base_and_keeps_its_classifier() -> None:
    base = load_model("base")
    before = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    run = Run(replace(FINE_TUNES["letters"], batch_size=8), base, seed=0)
    assert same(state_of(run), before)
    run.step()
    moved = [name for name, tensor in run.model.state_dict().items() if not torch.equal(tensor, before[name])]
    assert "vit.layernorm.weight" in moved
    assert [name for name in moved if name.startswith("classifier")] == []
    assert same(base.state_dict(), before)
