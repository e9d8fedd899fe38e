"""Scores of the vision family: every model on every task, and merges of some pairs, unprotected and protected."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from mergeguard_hub import protect_folder
from mergeguard_hub.audit.tasks import Score
from space.release import DEMO_KEY
from space.zoo.merged import Pair, merge_rows, record
from space.zoo.vision.family import MODELS, classification, load_model, model_of
from space.zoo.vision.tasks import TASKS

SEED = 0
PAIRS = (
    Pair("digits", "vehicles"),
    Pair("scenes", "aerial"),
    Pair("signs", "scenes"),
    Pair("numbers", "land"),
)


def measure(weights: Path) -> dict[str, Any]:
    """Return what the models can do, ready for JSON: fractions in [0, 1] of whole test sets.

    Args:
        weights: folder with one folder for each of `MODELS`.

    Returns:
        "scores" of every model on every task; "protected", the same of the defenders' releases on their own task;
        "merges" of `PAIRS` on both tasks, see `merge_rows`.
    """
    scores = {name: scores_of(_tensors(weights / name), tuple(TASKS)) for name in MODELS}
    with tempfile.TemporaryDirectory() as folder:
        released = {pair.defender: _release(pair.defender, weights, Path(folder)) for pair in PAIRS}
    rows = merge_rows(
        PAIRS, weights_of=lambda name: _tensors(weights / name), release_of=released.__getitem__, score=_on_both
    )
    return {
        "scores": {name: {task: record(score) for task, score in found.items()} for name, found in scores.items()},
        "protected": {name: {name: record(scores_of(tensors, (name,))[name])} for name, tensors in released.items()},
        "merges": list(rows),
        "seed": SEED,
        "tools": {"torch": torch.__version__, "transformers": transformers.__version__},
    }


def scores_of(weights: Mapping[str, Tensor], tasks: tuple[str, ...]) -> dict[str, Score]:
    """Return how a model of the family with these weights does on the test pictures of each task."""
    model = model_of(weights)
    return {task: classification(task).score(model) for task in tasks}


def _on_both(weights: Mapping[str, Tensor], pair: Pair) -> dict[str, Score]:
    return scores_of(weights, (pair.defender, pair.partner))


def _tensors(folder: Path) -> dict[str, Tensor]:
    return dict(load_model(folder).state_dict())


def _release(name: str, weights: Path, folder: Path) -> dict[str, Tensor]:
    """Protect a model with the demonstration's key, and load it as anybody would."""
    protect_folder(weights / name, folder / name, key=DEMO_KEY, base=weights / "base")
    return _tensors(folder / name)
