"""Every layer of one model against every layer of another, so that stacked, dropped and moved layers show."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mergeguard_hub.errors import FingerprintError
from mergeguard_hub.fingerprint.agreement import agreement
from mergeguard_hub.fingerprint.pairing import Matrix, values_of
from mergeguard_hub.fingerprint.record import Fingerprint

_LAYER = re.compile(r"^(.*?\.?\d+)(?:\.|$)")
Inside = dict[tuple[str, str], Matrix]


@dataclass(frozen=True, eq=False)
class LayerScores:
    """How alike the layers of two models are.

    Attributes:
        ours, theirs: names of the layers.
        scores: mean cosine of what two layers have in common, [ours, theirs]; NaN where they have nothing.
    """

    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    scores: NDArray[np.float64]


def compare_layers(ours: Fingerprint, theirs: Fingerprint) -> LayerScores:
    """Compare every layer of one model with every layer of another.

    Args:
        ours: one model.
        theirs: the other; it may have more or fewer layers.

    Raises:
        FingerprintError: one of them has no numbered layers.
    """
    left, right = _layers(ours), _layers(theirs)
    if not left or not right:
        raise FingerprintError("one of the models has no numbered layers, so there is nothing to set side by side.")
    scores = np.array([[_score(one, two) for two in right.values()] for one in left.values()])
    return LayerScores(tuple(left), tuple(right), scores)


def _layers(fingerprint: Fingerprint) -> dict[str, Inside]:
    found: dict[str, Inside] = {}
    for (component, place, kind), values in values_of(fingerprint).items():
        layer = _LAYER.match(place)
        if layer is not None:
            name = f"{component}/{layer[1]}" if component else layer[1]
            found.setdefault(name, {})[place[len(layer[1]) :], kind] = values
    return dict(sorted(found.items(), key=lambda entry: [int(p) if p.isdigit() else p for p in _parts(entry[0])]))


def _parts(name: str) -> list[str]:
    return [part for part in re.split(r"(\d+)", name) if part]


def _score(ours: Inside, theirs: Inside) -> float:
    keys = [key for key in ours if key in theirs and ours[key].shape == theirs[key].shape]
    return agreement((key[1], ours[key], theirs[key]) for key in keys).score if keys else float("nan")
