"""Scores of the models, of their merges and of the same with a protected release."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Iterator
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
from mergeguard_hub.release import protect_folder
from space.release import DEMO_KEY
from space.zoo.images.merges import METHODS, merge
from space.zoo.images.models import load_pipeline
from space.zoo.images.scorer import Scorer
from space.zoo.images.tasks import GUIDANCE, PARTS, STEPS, skill
from space.zoo.merged import record

PAIRS = {"hero": "styles", "papercut": "neon"}
"""Defender and partner."""

Scores = dict[str, dict[str, float]]
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
    """Score everything that `weights` holds; every merge first with the defender as trained, then with its release."""
    scorer = Scorer.load(weights / "scorer")
    base = load_pipeline(weights / "base")
    scores: dict[str, Scores] = {"base": {}}
    alone: dict[str, Scores] = {}
    rows: list[dict[str, Any]] = []
    apart: dict[str, int] = {}
    for defender, partner in pairs_in(weights).items():
        own, other = load_pipeline(weights / defender), load_pipeline(weights / partner)
        tasks = (defender, partner, "base")
        scores["base"].update(_score(base, tasks, scorer)[0])
        scores[defender], drawn = _score(own, tasks, scorer)
        scores[partner] = _score(other, tasks, scorer)[0]
        with protected(weights, defender) as release:
            alone[defender], again = _score(release, tasks, scorer)
            apart[defender] = furthest_apart(drawn, again)
            for title, method in METHODS.items():
                for model in (own, release):
                    found = _score(merge(method, base, [model, other]), tasks[:2], scorer)[0]
                    rows.append(
                        {
                            "defender": defender,
                            "partner": partner,
                            "method": title,
                            "protected": model is release,
                            "scores": found,
                        }
                    )
    return {
        "scores": scores,
        "protected": alone,
        "merges": rows,
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


def _score(pipeline: StableDiffusionPipeline, tasks: tuple[str, ...], scorer: Scorer) -> tuple[Scores, Drawn]:
    """Return the scores of a pipeline on some tasks, and the pictures that it drew for them."""
    scores: Scores = {}
    drawn: Drawn = {}
    for name in tasks:
        task = skill(name, scorer)
        drawn[name] = task.pictures(pipeline)
        scores[name] = record(task.judged(drawn[name]))
        for title, right in PARTS.get(name, {}).items():
            scores[title] = record(skill(name, scorer, right=right).judged(drawn[name]))
    return scores, drawn
