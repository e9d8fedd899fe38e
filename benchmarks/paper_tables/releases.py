"""Every release that the tables compare, made when it is first asked for and kept in a folder."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import get_cosine_schedule_with_warmup

from benchmarks.paper_tables.family import Batch, Family, Training
from mergeguard_hub import Key, protect_folder
from mergeguard_hub.attacks import Alignment
from mergeguard_hub.attacks.folder import attack_folder
from mergeguard_hub.training import (
    Criticality,
    DensityPenalty,
    LastGood,
    negate_folder,
    on_disk,
    refine,
    tuned_layers,
)

KEY = Key(bytes(range(32)))  # of PaRaMS; the tables are the same every time because it is
ALPHA = 0.01  # the paper's
RANKING_BATCHES = 16


@dataclass(frozen=True)
class Release:
    """One way to publish a fine-tune.

    Attributes:
        title: in tables and in names of folders.
        stage1: whether it is trained with MergeGuard's penalty first.
        stage2: whether its weights are negated.
        rate: factor on the learning rate of stage 1.
        params: whether PaRaMS is applied.
        aligned: whether a free-rider has aligned it to the base.
    """

    title: str
    stage1: bool = False
    stage2: bool = False
    rate: float = 1.0
    params: bool = False
    aligned: bool = False


def _title(name: str, rate: float) -> str:
    return name if rate == 1 else f"{name}, rate x {rate:g}"


PLAIN = Release("unprotected")
BOTH = Release("both", stage1=True, stage2=True)
PARAMS = Release("PaRaMS", params=True)
ABLATION = (Release("stage 1", stage1=True), Release("stage 2", stage2=True), BOTH)
ALIGNED = replace(PARAMS, title="PaRaMS, aligned", aligned=True)
RATES = (1.0, 5.0)
STRONGER = {
    rate: (
        Release(_title("stage 1", rate), stage1=True, rate=rate),
        replace(BOTH, title=_title("both", rate), rate=rate),
    )
    for rate in RATES
}
"""By the factor on the learning rate: stage 1, and both stages."""


def released(family: Family, release: Release, task: str, work: Path) -> Path:
    """Return the folder of a task's fine-tune, released in that way."""
    if release == PLAIN:
        return family.tuned[task]
    target = work / release.title / task
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    if release.aligned:
        attack_folder(Alignment(), released(family, PARAMS, task, work), family.base, target)
    elif release.params:
        protect_folder(family.tuned[task], target, recipe="params", base=family.base, key=KEY)
    elif release.stage2:
        trained = replace(release, stage2=False, title=_title("stage 1", release.rate))
        source = released(family, trained, task, work) if release.stage1 else family.tuned[task]
        negate_folder(source, family.base, target, criticality=rank(family, task, source))
    else:
        train(family, task, target, rate=release.rate)
    return target


def rank(family: Family, task: str, source: Path) -> Criticality:
    """Return which layers of a fine-tune are critical, by the refined ranking on training examples."""
    model, base = family.load(source), family.load(family.base)
    batches = family.data.batches(task, family.ranked, max(1, family.ranked // RANKING_BATCHES))
    there = sum(len(labels) for _, labels in batches)  # fewer than asked for, if the data has no more
    if there < family.ranked:
        batches = family.data.batches(task, there, max(1, there // RANKING_BATCHES))

    def score(one: nn.Module, batch: Batch) -> Tensor:
        return -family.data.loss(one, task, batch)

    return on_disk(refine(model, base, batches, score=score), model, source)


def train(family: Family, task: str, target: Path, *, rate: float = 1.0) -> None:
    """Write a fine-tune after MergeGuard's stage 1: the task's loss and alpha times the squares of all weights.

    Only what the fine-tune had changed is trained: what all models share stays shared.
    """
    model, base = family.load(family.tuned[task]), family.load(family.base)
    chosen = replace(family.training, learning_rate=rate * family.training.learning_rate)
    changed = {name for names in tuned_layers(model, base, exclude=()).values() for name in names}
    for name, weight in model.named_parameters():
        weight.requires_grad_(name in changed)
    fit(model, lambda batch: family.data.loss(model, task, batch), chosen, family.data.batches, task)
    unfinished = target.with_name(f"{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(family.tuned[task], unfinished, ignore=shutil.ignore_patterns("*.safetensors*", "*.bin*"))
    saved: Any = model.to(_dtype(family.tuned[task]))
    saved.save_pretrained(unfinished)
    unfinished.rename(target)


def fit(
    model: nn.Module,
    loss: Callable[[Batch], Tensor],
    training: Training,
    batches: Callable[..., list[Batch]],
    task: str,
) -> None:
    """Train in place."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=training.learning_rate, betas=(0.9, 0.99), weight_decay=0.0)
    rate = get_cosine_schedule_with_warmup(optimizer, training.steps // 20, training.steps)
    penalty, good = DensityPenalty(alpha=ALPHA), LastGood(model, cause=f"alpha {ALPHA}")
    data = itertools.cycle(batches(task, training.examples, training.size, seed=1))
    model.train()
    for batch in itertools.islice(data, training.steps):
        optimizer.zero_grad()
        value = loss(batch)
        good.check(value)
        torch.autograd.backward([value])
        penalty.add_gradients(model)
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        rate.step()
    model.train(False)


def negated_share(family: Family, folder: Path, task: str) -> float:
    """Return which fraction of the trained weights are exactly the base's, which anybody can count."""
    one, base = dict(family.load(folder).named_parameters()), dict(family.load(family.base).named_parameters())
    tuned = dict(family.load(family.tuned[task]).named_parameters())
    moved = {name for name in tuned if not torch.equal(tuned[name], base[name])}
    equal = sum(int((one[name] == base[name]).sum()) for name in moved)
    return equal / sum(one[name].numel() for name in moved)


def _dtype(folder: Path) -> torch.dtype:
    from mergeguard_hub.checkpoint import Checkpoint

    return next(entry.torch_dtype for entry in Checkpoint.open(folder).entries.values() if entry.is_floating)
