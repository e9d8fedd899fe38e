"""The tasks of the zoo's models by name, for `mergeguard audit --tasks space.zoo.tasks:language_math ...`.

Names are a family and one of its models: `vision_digits`, `images_hero`, `language_code`, `gemma_style`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from mergeguard_hub.audit.tasks import LanguageModel, Task

_ZOO = Path(__file__).parent


def __getattr__(name: str) -> Task[Any]:
    """Return the task of that name."""
    family, _, model = name.partition("_")
    if family not in ("vision", "images", "language", "gemma") or not (_ZOO / family / "weights" / model).is_dir():
        raise AttributeError(f"the zoo has no model {model!r} in a family {family!r}")
    return task(family, model)


@cache
def task(family: str, model: str) -> Task[Any]:
    """Return the task on which a model of a family was fine-tuned."""
    if family == "vision":
        from space.zoo.vision.family import classification

        return classification(model)
    if family == "images":
        from space.zoo.images.scorer import Scorer
        from space.zoo.images.tasks import skill

        return skill(model, Scorer.load(_ZOO / family / "weights" / "scorer"))
    from space.zoo.language.tasks import tasks

    return tasks(LanguageModel.load(_ZOO / family / "weights" / "base"))[model]
