"""Where a family of models comes from: the part of its cards that people write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Provenance:
    """What a family's cards say beside the scores.

    Attributes:
        pipeline: the Hub's name of what the models do, for example "text-generation".
        about: architecture and training, what was tuned so that the unprotected models merge well included.
        data: every data source with its licence.
        models: a sentence or two on each model, by name.
    """

    pipeline: str
    about: str
    data: str
    models: Mapping[str, str]
