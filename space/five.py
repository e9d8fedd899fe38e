"""Five models side by side: two fine-tunes, the protected release, and a merge with each of the first and third."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor

from mergeguard_hub.audit.model_folder import ModelFolder, tuned_components
from space.choice import Choice
from space.release import release
from space.shelf import BASE, Shelf
from space.store import MODELS


@dataclass(frozen=True)
class Column:
    """One of the five.

    Attributes:
        name: of the column in code and addresses.
        title, note: what a visitor reads above it.
    """

    name: str
    title: str
    note: str


COLUMNS: tuple[Column, ...] = (
    Column("defender", "Defender", "the model whose skill is wanted"),
    Column("partner", "Partner", "the free-rider's own model"),
    Column("control", "Merge without protection", "defender and partner"),
    Column("protected", "Protected alone", "the defender, as published"),
    Column("merged", "Merge with protection", "protected release and partner"),
)


def model_of(choice: Choice, column: str) -> Any:
    """Return one of the five, ready to be used; it is loaded or merged only if nobody asked for it lately.

    Args:
        choice: what the visitor chose.
        column: the name of one of `COLUMNS`, or "base".

    Returns:
        An image classifier, a pipeline of diffusers or a `LanguageModel`, in float32.
    """
    return MODELS.get(_identity(choice, column), lambda: _load(choice, column))


def folder_of(choice: Choice, column: str) -> Path:
    """Return the folder of a model that is not a merge: "base", "defender", "partner" or "protected"."""
    if column == "protected":
        return release(choice.defender, family=choice.family, protection=choice.protection)
    return choice.shelf.folder({BASE: BASE, "defender": choice.defender, "partner": choice.partner}[column])


def tensors_of(choice: Choice, who: str) -> dict[str, Tensor]:
    """Return what fine-tuning changes of a model in `folder_of`: views of its files, as merge tools read them."""
    return ModelFolder(folder_of(choice, who)).tensors(*tuned_parts(choice.shelf))


def merged_with(choice: Choice, own: Mapping[str, Tensor]) -> Any:
    """Merge a defender, in whatever state, with the partner, and return the model.

    Args:
        choice: what the visitor chose.
        own: the defender's tensors, named as by `tensors_of`.
    """
    return made_of(choice, choice.method.merge(tensors_of(choice, BASE), [own, tensors_of(choice, "partner")]))


def made_of(choice: Choice, weights: Mapping[str, Tensor]) -> Any:
    """Return the model that has these weights, and the base's where there are none."""
    with ModelFolder(folder_of(choice, BASE)).loaded_with(weights) as model:
        return model


@cache
def tuned_parts(shelf: Shelf) -> tuple[str, ...]:
    """Return the components of a family that fine-tuning changes; of a plain model its only one, ""."""
    base = ModelFolder(shelf.folder(BASE))
    return tuned_components(base, ModelFolder(shelf.folder(next(iter(shelf.skills)))))


def _load(choice: Choice, column: str) -> Any:
    if column not in ("control", "merged"):
        return ModelFolder(folder_of(choice, column)).load()
    return merged_with(choice, tensors_of(choice, "defender" if column == "control" else "protected"))


def _identity(choice: Choice, column: str) -> tuple[Any, ...]:
    """Return what a model depends on, so that a visitor who changes one thing finds the others ready."""
    own: dict[str, tuple[Any, ...]] = {
        BASE: (),
        "defender": (choice.defender,),
        "partner": (choice.partner,),
        "protected": (choice.defender, choice.protection),
        "control": (choice.defender, choice.partner, choice.merge, choice.weight),
        "merged": (choice.defender, choice.partner, choice.merge, choice.weight, choice.protection),
    }
    kind = "alone" if column in (BASE, "defender", "partner") else column
    return (choice.family, kind, *(own[column] or (BASE,)))
