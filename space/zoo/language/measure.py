"""Scores of a family of language models: alone, merged as they are, and merged after the defender was protected."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from torch import Tensor

from mergeguard_hub import protect_folder
from mergeguard_hub.audit.tasks import AnswerTask, LanguageModel, Score, WinRateTask
from mergeguard_hub.merging import WeightAveraging
from space.release import DEMO_KEY
from space.zoo.language.kinds import SKILLS
from space.zoo.language.recipe import SEED
from space.zoo.language.tasks import tasks
from space.zoo.merged import Pair, merge_rows, record

DEFENDER = "math"
PARTNERS = ("code", "style")
MODELS = ("base", *SKILLS)
SHOWN = 5  # questions of each skill whose answers are recorded

Tasks = Mapping[str, AnswerTask | WinRateTask]


def measure(weights: Path, *, limit: int | None = None) -> dict[str, Any]:
    """Return what the models of a family can do, ready for JSON.

    Args:
        weights: folder with one folder for each of `MODELS`.
        limit: of items per task; None: all.

    Returns:
        "scores" of each model and "protected" of the defender's release on each task; "merges" of the defender with
        each partner on both their skills; "same_answers", the fraction of all questions that defender and release
        answer alike, word for word; some "answers" side by side.
    """
    models = {name: LanguageModel.load(weights / name) for name in MODELS}
    released = _release(weights)
    known = tasks(models["base"])

    def score(merged: Mapping[str, Tensor], pair: Pair) -> dict[str, Score]:
        model = with_weights(models["base"], merged)
        return {task: known[task].score(model, limit=limit) for task in (pair.defender, pair.partner)}

    rows = merge_rows(
        [Pair(DEFENDER, partner) for partner in PARTNERS],
        weights_of=lambda name: models[name].model.state_dict(),
        release_of=lambda _: released.model.state_dict(),
        score=score,
    )
    return {
        "scores": {name: _scores(model, known, limit) for name, model in models.items()},
        "protected": {DEFENDER: _scores(released, known, limit)},
        "merges": list(rows),
        "same_answers": _same_answers(models[DEFENDER], released, known, limit),
        "answers": [row for partner in PARTNERS for row in _side_by_side(models, released, partner, known)],
        "seed": SEED,
        "tools": {tool.__name__: tool.__version__ for tool in (torch, transformers, tokenizers)},
    }


def with_weights(model: LanguageModel, weights: Mapping[str, Tensor]) -> LanguageModel:
    """Return a model of the same architecture and tokenizer with other weights, named as in `state_dict`."""
    other = type(model.model)(model.model.config)
    other.load_state_dict(dict(weights))
    return LanguageModel(other, model.tokenizer)


def _release(weights: Path) -> LanguageModel:
    """Protect the defender with the demonstration's key and load the release."""
    with tempfile.TemporaryDirectory() as folder:
        protect_folder(weights / DEFENDER, Path(folder) / "release", key=DEMO_KEY, base=weights / "base")
        return LanguageModel.load(Path(folder) / "release")


def _scores(model: LanguageModel, known: Tasks, limit: int | None) -> dict[str, dict[str, float]]:
    return {name: record(task.score(model, limit=limit)) for name, task in known.items()}


def _same_answers(one: LanguageModel, other: LanguageModel, known: Tasks, limit: int | None) -> float:
    pairs = [
        pair
        for task in known.values()
        for pair in zip(task.answers(one, limit=limit), task.answers(other, limit=limit), strict=True)
    ]
    return sum(first == second for first, second in pairs) / len(pairs)


def _side_by_side(
    models: Mapping[str, LanguageModel], released: LanguageModel, partner: str, known: Tasks
) -> Iterator[dict[str, str]]:
    """Yield questions of the defender's and the partner's skill with the answers of models and averages."""

    def average(*parts: LanguageModel) -> LanguageModel:
        weights = [dict(part.model.state_dict()) for part in parts]
        return with_weights(parts[0], WeightAveraging().merge(weights[0], weights))

    shown = {
        "base": models["base"],
        "defender": models[DEFENDER],
        "partner": models[partner],
        "unprotected merge": average(models[DEFENDER], models[partner]),
        "protected alone": released,
        "protected merge": average(released, models[partner]),
    }
    for name in (DEFENDER, partner):
        answers: dict[str, Sequence[str]] = {
            title: known[name].answers(model, limit=SHOWN) for title, model in shown.items()
        }
        for position, question in enumerate(known[name].questions[:SHOWN]):
            given = {title: texts[position] for title, texts in answers.items()}
            yield {"partner model": partner, "task": name, "question": question.prompt, **given}
