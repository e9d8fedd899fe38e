"""Scores of the models, of their merges and of the same with a protected release."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
import transformers
from diffusers import StableDiffusionPipeline
from PIL import Image

from mergeguard_hub import Key
from mergeguard_hub.audit.tasks import Score
from mergeguard_hub.release import protect_folder
from space.release import DEMO_KEY
from space.zoo.images.merges import merged_weights, pipeline_of
from space.zoo.images.models import load_pipeline
from space.zoo.images.scorer import Scorer
from space.zoo.images.tasks import GUIDANCE, PARTS, STEPS, skill
from space.zoo.merged import Pair, Weights, merge_rows, record

PAIRS = {"hero": "styles", "papercut": "neon"}
"""Defender and partner."""

Records = dict[str, dict[str, float]]
Drawn = dict[str, list[Image.Image]]


def pairs_in(weights: Path) -> dict[str, str]:
    """Return the pairs of which both models are there."""
    return {
        defender: partner
        for defender, partner in PAIRS.items()
        if (weights / defender).exists() and (weights / partner).exists()
    }


@contextmanager
def protected(weights: Path, name: str, *, key: Key = DEMO_KEY) -> Iterator[StableDiffusionPipeline]:
    """Give a model's protected release, made by the library and loaded as anybody would."""
    with tempfile.TemporaryDirectory() as folder:
        release = Path(folder) / name
        protect_folder(weights / name, release, key=key, base=weights / "base")
        yield load_pipeline(release)


def measure(weights: Path) -> dict[str, Any]:
    """Score all that `weights` holds: models alone, defenders' releases alone, and merges of the pairs."""
    scorer, base = Scorer.load(weights / "scorer"), load_pipeline(weights / "base")
    pairs = pairs_in(weights)
    scores: dict[str, Records] = {"base": {}}
    alone: dict[str, Records] = {}
    apart: dict[str, int] = {}
    released: dict[str, Weights] = {}
    for defender, partner in pairs.items():
        tasks = (defender, partner, "base")
        scores["base"].update(_records(_score(base, tasks, scorer)[0]))
        found, drawn = _score(load_pipeline(weights / defender), tasks, scorer)
        scores[defender] = _records(found)
        scores[partner] = _records(_score(load_pipeline(weights / partner), tasks, scorer)[0])
        with protected(weights, defender) as release:
            found, again = _score(release, tasks, scorer)
            alone[defender], apart[defender] = _records(found), furthest_apart(drawn, again)
            released[defender] = merged_weights(release)
    rows = merge_rows(
        [Pair(defender, partner) for defender, partner in pairs.items()],
        weights_of=lambda name: merged_weights(load_pipeline(weights / name)),
        release_of=released.__getitem__,
        score=lambda merged, pair: _score(pipeline_of(merged, base), (pair.defender, pair.partner), scorer)[0],
    )
    return {
        "scores": scores,
        "protected": alone,
        "merges": list(rows),
        "largest pixel difference of a protected release alone": apart,
        "seed": 0,
        "sampling": {"steps": STEPS, "guidance": GUIDANCE},
        "tools": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "diffusers": diffusers.__version__,
            "transformers": transformers.__version__,
        },
    }


def furthest_apart(one: Drawn, other: Drawn) -> int:
    """Return the largest difference between two sets of the same pictures, in grey values of 255."""
    differences = [
        np.abs(np.asarray(a, dtype=int) - np.asarray(b, dtype=int)).max()
        for task in one
        for a, b in zip(one[task], other[task], strict=True)
    ]
    return int(max(differences))


def _score(pipeline: StableDiffusionPipeline, tasks: tuple[str, ...], scorer: Scorer) -> tuple[dict[str, Score], Drawn]:
    """Return the scores of a pipeline on some tasks, and the pictures that it drew for them."""
    scores: dict[str, Score] = {}
    drawn: Drawn = {}
    for name in tasks:
        task = skill(name, scorer)
        drawn[name] = task.pictures(pipeline)
        scores[name] = task.judged(drawn[name])
        for title, right in PARTS.get(name, {}).items():
            scores[title] = skill(name, scorer, right=right).judged(drawn[name])
    return scores, drawn


def _records(scores: Mapping[str, Score]) -> Records:
    return {name: record(score) for name, score in scores.items()}
