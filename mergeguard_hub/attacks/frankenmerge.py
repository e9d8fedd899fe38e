"""Frankenmerge: the first layers of one model, the last layers of the other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from mergeguard_hub.attacks.candidates import Candidate, Wish, Workshop, enter
from mergeguard_hub.attacks.coefficients import layer_of
from mergeguard_hub.errors import AttackError

_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class Frankenmerge:
    """Stack whole layers of the release and of a partner; no weight is averaged.

    The passthrough merges of mergekit (arXiv 2403.13257), without repeating layers, so that the result loads as the
    same architecture. What lies in no numbered layer (embeddings, the last norm, the head) comes from the model that
    gives the first layers. Only the first partner is used.

    Attributes:
        cuts: where the second model takes over, as fractions of the layers; our choice. Each is tried both ways round.
    """

    title: ClassVar[str] = "Frankenmerge"
    paper: ClassVar[str] = "https://arxiv.org/abs/2403.13257"
    needs: ClassVar[frozenset[Wish]] = frozenset()

    cuts: tuple[float, ...] = (0.25, 0.5, 0.75)

    def __post_init__(self) -> None:
        if not self.cuts or not all(0 < cut < 1 for cut in self.cuts):
            raise AttackError(f"cuts is {self.cuts}; give fractions between 0 and 1.")

    def candidates(self, workshop: Workshop) -> Iterator[Candidate]:
        """Yield one model per place and order; see `MergeAttack.candidates`.

        Raises:
            AttackError: see `MergeAttack.candidates`; also if the model has fewer than two layers.
        """
        enter(self, workshop)
        layers = _layers(list(workshop.protected))
        if len(layers) < 2:
            raise AttackError(f"A frankenmerge needs two layers, and the release has {len(layers)}.")
        models = {"release": workshop.protected, "partner": workshop.partners[0]}
        for cut in dict.fromkeys(max(1, min(len(layers) - 1, round(cut * len(layers)))) for cut in self.cuts):
            last = set(layers[cut:])
            for first, second in (("release", "partner"), ("partner", "release")):
                weights = {
                    name: models[second if layer_of(name) in last else first][name].clone()
                    for name in workshop.protected
                }
                yield Candidate(f"{cut} of {len(layers)} layers from the {first}", {"cut": cut / len(layers)}, weights)


def _layers(names: Sequence[str]) -> list[str]:
    """Return the numbered layers in the order of their numbers: "layer.10" after "layer.9"."""
    found = dict.fromkeys(layer for layer in map(layer_of, names) if _NUMBER.search(layer))
    return sorted(found, key=lambda layer: [int(part) if part.isdigit() else part for part in _split(layer)])


def _split(layer: str) -> list[str]:
    return re.split(r"(\d+)", layer)
