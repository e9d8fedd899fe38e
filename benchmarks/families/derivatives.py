"""The kinds of derivatives: each takes the folder of its family and writes one more model into a folder."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.families.architectures import Architecture
from mergeguard_hub import Key, protect_folder
from mergeguard_hub.merging import WeightAveraging, merge_folders
from space.zoo.run import Run, Schedule

BASE, ORIGINAL, PARTNER = "base", "full", "second"
PRUNED = 0.3
_RANK = 4
_LEVELS = 127  # of eight bits with a sign
_WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Plan:
    """How long the models of a family are trained.

    Attributes:
        base_steps: updates of the base.
        steps: updates of each fine-tune.
    """

    base_steps: int = 200
    steps: int = 60


@dataclass(frozen=True)
class Place:
    """A family that is being made.

    Attributes:
        architecture: of all its models.
        number: which base of this architecture, from 0; every other one learns what the one before it learned, from
            other random weights.
        folder: where its models lie.
        plan: how long they are trained.
    """

    architecture: Architecture
    number: int
    folder: Path
    plan: Plan


Make = Callable[[Place, Path], None]


def base(place: Place, out: Path) -> None:
    """Train a base from random weights."""
    model = place.architecture.build(seed=place.number)
    _train(place, model, Schedule(place.plan.base_steps, 3e-3, weight_decay=0.01), task=0)
    _save(place, model, out)


def fine_tuned(place: Place, out: Path, *, task: int) -> None:
    """Train all weights of the base on a task."""
    model = place.architecture.load(place.folder / BASE)
    _train(place, model, Schedule(place.plan.steps, 1e-3), task=task)
    _save(place, model, out)


def lora(place: Place, out: Path, *, task: int) -> None:
    """Train adapters of rank 4 on all linear layers of the base, and merge them in."""
    from peft import LoraConfig, get_peft_model

    model = place.architecture.load(place.folder / BASE)
    settings = LoraConfig(
        r=_RANK,
        lora_alpha=2 * _RANK,
        target_modules="all-linear",
        fan_in_fan_out="GPT2" in place.architecture.model,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(place.number)
        adapted = get_peft_model(model, settings)
    _train(place, adapted, Schedule(place.plan.steps, 5e-3), task=task)
    _save(place, adapted.merge_and_unload(), out)


def averaged(place: Place, out: Path, *, models: tuple[str, str], weight: float = 0.5) -> None:
    """Average two models of the family; the weight is the first one's."""
    first, second = (place.folder / name for name in models)
    method = WeightAveraging(weights=(weight, 1 - weight))
    merge_folders(method, base=place.folder / BASE, models=[first, second], target=out, workers=1)


def rewritten(place: Place, out: Path, *, change: Callable[[Tensor], Tensor]) -> None:
    """Change every matrix of the fine-tuned model by itself."""
    shutil.copytree(place.folder / ORIGINAL, out)
    tensors = load_file(out / _WEIGHTS)
    changed = {
        name: change(tensor).to(tensor.dtype) if tensor.ndim == 2 else tensor for name, tensor in tensors.items()
    }
    save_file(changed, out / _WEIGHTS, metadata={"format": "pt"})


def pruned(matrix: Tensor) -> Tensor:
    """Set the 30 % smallest entries to zero."""
    count = int(PRUNED * matrix.numel())
    threshold = matrix.abs().float().flatten().kthvalue(max(1, count)).values
    return torch.where(matrix.abs().float() > threshold, matrix, 0)


def rounded(matrix: Tensor) -> Tensor:
    """Round to eight bits with one scale for each row."""
    scale = matrix.float().abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / _LEVELS
    return (matrix.float() / scale).round() * scale


def released(place: Place, out: Path, *, preset: str) -> None:
    """Protect the fine-tuned model."""
    # The figures are the same in every run because this key is: a publisher's is secret.
    key = Key(hashlib.sha256(f"families, {place.folder.name}, {preset}".encode()).digest())
    protect_folder(place.folder / ORIGINAL, out, recipe=preset, key=key, base=place.folder / BASE, workers=1)


MODELS: Mapping[str, Make] = {
    BASE: base,
    ORIGINAL: partial(fine_tuned, task=1),
    PARTNER: partial(fine_tuned, task=2),
    "lora": partial(lora, task=3),
    "merged": partial(averaged, models=(ORIGINAL, PARTNER)),
    "half": partial(averaged, models=(ORIGINAL, BASE)),
    "pruned": partial(rewritten, change=pruned),
    "rounded": partial(rewritten, change=rounded),
    "exact": partial(released, preset="exact"),
    "params": partial(released, preset="params"),
    "mergelock": partial(released, preset="mergelock"),
}
RELEASES = ("exact", "params", "mergelock")


def _train(place: Place, model: torch.nn.Module, schedule: Schedule, *, task: int) -> None:
    loss = place.architecture.loss(model, seed=place.number // 2, task=task)
    seed = 1000 * place.number + task
    run = Run(model, loss, schedule, seed=seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # of dropout
        while run.done < schedule.steps:
            run.step()


def _save(place: Place, model: torch.nn.Module, out: Path) -> None:
    model.to(place.architecture.dtype).save_pretrained(out)  # type: ignore[operator]
