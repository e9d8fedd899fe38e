"""CLIP image encoders from folders or the Hub, one fine-tune per data set, as in the paper.

A fine-tune is the encoder alone; the classifier is the base's text encoder on the names of the classes, and frozen.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from benchmarks.paper_tables.family import Batch, Family, Run, Training
from benchmarks.paper_tables.paper import DATASETS
from mergeguard_hub.audit.tasks import ClassificationTask
from mergeguard_hub.hub.source import local_folder

PROMPT = "a photo of a {}."  # the papers average over templates of each data set


class Heads(nn.Module):
    """The frozen classifiers of all tasks: how near an image's embedding is to those of the classes' names."""

    def __init__(self, clip: Any, tokenizer: Any, classes: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        self.register_buffer("projection", clip.visual_projection.weight.detach().clone())
        self.scale = float(clip.logit_scale.detach().exp())
        for task, names in classes.items():
            texts = tokenizer(
                [PROMPT.format(name.replace("_", " ")) for name in names], padding=True, return_tensors="pt"
            )
            with torch.no_grad():
                found = clip.text_projection(clip.text_model(**texts).pooler_output)
            self.register_buffer(f"of_{task}", normalize(found, dim=-1))

    def forward(self, pooled: Tensor, task: str) -> Tensor:
        """Return logits. [images, width] -> [images, classes]."""
        image = normalize(pooled @ self.projection.T, dim=-1)
        return self.scale * image @ self.get_buffer(f"of_{task}").T


class ZeroShot(nn.Module):
    """An encoder with the heads of all tasks, side by side, as `ClassificationTask` puts pictures to it."""

    def __init__(self, encoder: nn.Module, heads: Heads, tasks: Sequence[str]) -> None:
        super().__init__()
        self.encoder, self.heads, self.tasks = encoder, heads, tasks

    def forward(self, pixel_values: Tensor) -> SimpleNamespace:
        """Return `.logits` [images, classes of all tasks]."""
        pooled = self.encoder(pixel_values=pixel_values).pooler_output
        return SimpleNamespace(logits=torch.cat([self.heads(pooled, task) for task in self.tasks], dim=1))


class ImageFolders:
    """Pictures in FOLDER/train/CLASS/, opened when they are asked for."""

    def __init__(self, folders: Mapping[str, Path], processor: Any, heads: Heads) -> None:
        self._folders, self._processor, self._heads = folders, processor, heads

    def batches(self, task: str, count: int, size: int, *, seed: int = 0) -> list[Batch]:
        """Return pixels and labels of drawn pictures; of fewer than `count` if there are not as many."""
        known = ClassificationTask.from_folder(self._folders[task] / "train", processor=self._processor)
        order = torch.randperm(len(known.labels), generator=torch.Generator().manual_seed(seed))[:count]
        labels = torch.tensor(known.labels)
        images: Any = known.images
        return [
            (
                self._processor(images=[_opened(images[i]) for i in rows], return_tensors="pt")["pixel_values"],
                labels[rows],
            )
            for rows in order.split(size)
        ]

    def loss(self, run: Run, task: str, batch: Batch) -> Tensor:
        """Return the cross-entropy among the task's classes."""
        return cross_entropy(self.logits(run, task, batch), batch[1])

    def logits(self, run: Run, task: str, batch: Batch) -> Tensor:
        """Return the logits of the task's classes. -> [images, classes]."""
        found: Tensor = self._heads(run(pixel_values=batch[0]).pooler_output, task)
        return found


def clip_folders(base: str, tuned: Mapping[str, str], data: Mapping[str, str], work: Path) -> Family:
    """Return a family of CLIP encoders; `openai/clip-vit-large-patch14` with eight fine-tunes is the paper's.

    Args:
        base: folder or Hub id of the whole CLIP model, with its tokenizer and image processor.
        tuned: data set -> folder or Hub id of the fine-tuned image encoder.
        data: data set -> folder with train/CLASS/ and test/CLASS/.
        work: folder for the encoders in one layout.
    """
    from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel

    whole = local_folder(base)
    processor = AutoImageProcessor.from_pretrained(whole)
    folders = {task: Path(data[task]) for task in tuned}
    tests = {task: ClassificationTask.from_folder(folders[task] / "test", processor=processor) for task in tuned}
    classes = {task: test.classes for task, test in tests.items()}
    clip = CLIPModel.from_pretrained(whole, dtype=torch.float32).eval()
    heads = Heads(clip, AutoTokenizer.from_pretrained(whole), classes)
    ends = torch.tensor([0, *(len(names) for names in classes.values())]).cumsum(0).tolist()
    parts = dict(zip(classes, pairwise(ends), strict=True))
    source = ImageFolders(folders, processor, heads)
    return Family(
        title=f"{Path(base).name} and its fine-tunes",
        base=_encoder(whole, work / "base"),
        tuned={task: _encoder(local_folder(one), work / "fine-tuned" / task) for task, one in tuned.items()},
        tasks={task: _with_logits(test, task, slice(*parts[task])) for task, test in tests.items()},
        data=source,
        load=load_encoder,
        wrap=lambda encoder: ZeroShot(encoder, heads, tuple(tuned)),
        training=Training(steps=400, learning_rate=1e-5),
        roles={task: task for task in tuned if task in DATASETS} if set(tuned) == set(DATASETS) else {},
        logits=source.logits,
    )


def load_encoder(folder: Path) -> nn.Module:
    """Load an image encoder in float32, from its own folder or from that of a whole CLIP model."""
    from transformers import CLIPVisionModel

    encoder: nn.Module = CLIPVisionModel.from_pretrained(folder, dtype=torch.float32)
    return encoder.train(False)


def _encoder(source: Path, target: Path) -> Path:
    """Write the encoder alone, so that base and fine-tunes have the same tensors under the same names."""
    if not target.exists():
        unfinished = target.with_name(f"{target.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        read: Any = load_encoder(source)
        encoder: Any = type(read)(read.config)  # a model that was read keeps its folder's names; this has its class's
        encoder.load_state_dict(read.state_dict())
        encoder.save_pretrained(unfinished)
        unfinished.rename(target)
    return target


def _with_logits(task: ClassificationTask, name: str, part: slice) -> ClassificationTask:
    return ClassificationTask(name, name, task.images, task.labels, task.classes, part, task.processor)


def _opened(path: Path) -> Any:
    from PIL import Image

    with Image.open(path) as picture:
        return picture.convert("RGB")
