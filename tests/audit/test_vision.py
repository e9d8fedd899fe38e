"""Image classification with pictures whose class a model is built to see."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from transformers import ViTImageProcessor

from mergeguard_hub.audit.tasks import ClassificationTask
from mergeguard_hub.errors import TaskError
from tests import tiny
from tests.hub_server import LocalHub

ROOT = Path(__file__).resolve().parents[2]
COLOURS = {"blue": (0, 0, 255), "green": (0, 255, 0), "red": (255, 0, 0)}
CLASSES = tuple(COLOURS)


class Seer(nn.Module):
    """Sees the strongest colour of a picture; its first two logits belong to some other task."""

    def __init__(self, *, before: int = 0) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))
        self.dropout = nn.Dropout(0.9)
        self.before = before
        self.batches: list[int] = []

    def forward(self, pixel_values: Tensor) -> Any:
        self.batches.append(len(pixel_values))
        colours = self.dropout(pixel_values.mean(dim=(2, 3)).flip(1))  # [n, 3], in alphabetical order
        others = torch.full((len(colours), self.before), 9.0)
        return SimpleNamespace(logits=torch.cat([others, self.gain * colours], dim=1))


def processor() -> ViTImageProcessor:
    return ViTImageProcessor(size={"height": 4, "width": 4})


def _painted(folder: Path) -> Path:
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (6, 6), colour).save(folder / name / f"{number}.png")
    return folder


def _tensors() -> Tensor:
    return torch.stack(
        [torch.tensor(colour).float()[:, None, None].expand(3, 4, 4) / 255 for colour in COLOURS.values()]
    )


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_tensors(batch_size: int) -> None:
    task = ClassificationTask("colours", "Colours", _tensors(), (0, 1, 0), CLASSES, batch_size=batch_size)
    subject = Seer()
    assert task.predictions(subject) == [0, 1, 2]
    assert task.score(subject).verdicts == (1.0, 1.0, 0.0)
    assert task.score(subject, limit=2).verdicts == (1.0, 1.0)
    assert max(subject.batches) == min(batch_size, 3)
    assert task.chance == pytest.approx(1 / 3)
    assert all(module.training for module in subject.modules())


def test_labels_may_be_a_tensor() -> None:
    task = ClassificationTask("colours", "Colours", _tensors(), torch.tensor([0, 1, 2]), CLASSES)  # type: ignore[arg-type]
    assert task.labels == (0, 1, 2)


def test_a_slice_of_the_logits() -> None:
    task = ClassificationTask("colours", "Colours", _tensors(), (0, 1, 2), CLASSES, logits=slice(2, 5))
    assert task.score(Seer(before=2)).value == 1.0


def test_a_real_class_in_half_precision() -> None:
    model = tiny.vit(dtype=torch.bfloat16)
    pixels = torch.randn(5, 1, 16, 16)
    with torch.no_grad():
        expected = model(pixel_values=pixels.bfloat16()).logits.argmax(1)
    task = ClassificationTask("noise", "Noise", pixels, tuple(expected.tolist()), ("a", "b", "c"), batch_size=5)
    assert task.score(model).value == 1.0


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    folder = _painted(tmp_path / "colours")
    (folder / "blue" / "notes.txt").write_text("not a picture")
    task = ClassificationTask.from_folder(folder, processor=processor(), batch_size=4)
    assert (task.name, task.classes, task.labels) == ("colours", CLASSES, (0, 0, 1, 1, 2, 2))
    assert task.score(Seer()).value == 1.0


def test_pictures_in_memory_of_any_mode() -> None:
    images = [Image.new("RGBA", (6, 6), (255, 0, 0, 9)), Image.new("P", (6, 6))]
    task = ClassificationTask("colours", "Colours", images, (2, 0), CLASSES, processor=processor())
    assert task.predictions(Seer(), limit=1) == [2]
    assert task.score(Seer()).items == 2


def test_a_dataset_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    _painted(tmp_path / "colours" / "test")
    task = ClassificationTask.from_hub(str(tmp_path / "colours"), split="test", processor=processor(), batch_size=4)
    assert (task.name, task.classes, task.labels) == ("colours", CLASSES, (0, 0, 1, 1, 2, 2))
    assert task.score(Seer()).value == 1.0
    assert task.score(Seer(), limit=3).items == 3


FROM_THE_HUB = """
from mergeguard_hub.audit.tasks.hub_pictures import read_dataset
pictures, labels, classes = read_dataset("org/colours", split="test")
print([pictures[0].getpixel((0, 0)), pictures[4].getpixel((0, 0))], labels, classes)
"""


def test_a_dataset_on_the_hub(tmp_path: Path) -> None:
    """In a process of its own: the client reads where the Hub is when it is imported."""
    pytest.importorskip("datasets")
    with LocalHub() as hub:
        hub.add("datasets/org/colours", _painted(tmp_path / "colours" / "test").parent)
        environment = hub.environment(tmp_path, PYTHONPATH=str(ROOT))
        found = subprocess.run(
            [sys.executable, "-c", FROM_THE_HUB], env=environment, capture_output=True, text=True, check=True
        )
    assert found.stdout == f"{[COLOURS['blue'], COLOURS['red']]} (0, 0, 1, 1, 2, 2) {CLASSES}\n"


def test_a_dataset_without_pictures_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "test.jsonl").write_text('{"text": "a", "label": 0}\n')
    with pytest.raises(TaskError, match="has no column of kind Image, but text: Value, label: Value"):
        ClassificationTask.from_hub(str(tmp_path / "texts"), split="test", processor=processor())


def test_datasets_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(TaskError, match=r"datasets, which is not installed: pip install 'mergeguard-hub\[audit\]'"):
        ClassificationTask.from_hub("org/colours", split="test", processor=processor())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": (0, 1)}, "has 3 pictures and 2 labels"),
        ({"labels": (0, 1, 3)}, "Picture 2 of 'colours' has label 3, and there are 3 classes: labels count from 0"),
        ({"labels": (0, 1, -1)}, "Picture 2 of 'colours' has label -1"),
        ({"images": [None] * 3}, r"has pictures and no processor .*AutoImageProcessor\.from_pretrained"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes: dict[str, Any], message: str) -> None:
    settings = {"images": _tensors(), "labels": (0, 1, 2), "classes": CLASSES, **changes}
    with pytest.raises(TaskError, match=message):
        ClassificationTask("colours", "Colours", **settings)


def test_another_number_of_classes_is_refused() -> None:
    task = ClassificationTask("colours", "Colours", _tensors(), (0, 1, 2), CLASSES)
    with pytest.raises(TaskError, match="The model gives 5 logits and 'colours' has 3 classes: set `logits`"):
        task.score(Seer(before=2))


@pytest.mark.parametrize("inside", ["", "empty"])
def test_a_folder_without_pictures_is_refused(inside: str, tmp_path: Path) -> None:
    (tmp_path / "colours" / inside).mkdir(parents=True)
    with pytest.raises(TaskError, match=r"holds no class/picture\.png: give the folder above"):
        ClassificationTask.from_folder(tmp_path / "colours", processor=processor())
