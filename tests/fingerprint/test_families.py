"""K-means around base models: what it sorts rightly, and what it cannot."""

from __future__ import annotations

import numpy as np
import pytest

from mergeguard_hub.errors import FingerprintError
from mergeguard_hub.fingerprint import FEATURES, Families, GradientFingerprint, family_distances


def drawn(center: float, seed: int, spread: float = 0.1) -> GradientFingerprint:
    values = center + spread * np.random.default_rng(seed).standard_normal(len(FEATURES))
    return GradientFingerprint(tuple(float(value) for value in values), ("w",))


BASES = {"a": drawn(0.0, 0), "b": drawn(5.0, 1), "c": drawn(-7.0, 2)}
CENTERS = {"a": 0.0, "b": 5.0, "c": -7.0}


def test_models_are_sorted_to_the_base_they_lie_at() -> None:
    models = {f"{name}{seed}": drawn(center, 10 + seed) for name, center in CENTERS.items() for seed in range(4)}
    found = Families.fit(BASES, models)
    assert found.bases == ("a", "b", "c")
    assert found.labels == {name: name[0] for name in [*BASES, *models]}
    assert found.predict(drawn(4.8, 99)) == "b"
    distances = found.distances(drawn(4.8, 99))
    assert min(distances, key=lambda name: distances[name]) == "b"


def test_it_is_k_means_and_no_nearest_base() -> None:
    """Groups move: a base can lie at the rim of its own group, which its derivatives pull away from it."""
    models = {f"far{seed}": drawn(2.0, 20 + seed) for seed in range(6)}
    found = Families.fit({"a": drawn(0.0, 0), "b": drawn(6.0, 1)}, models)
    assert set(found.labels.values()) == {"a", "b"}
    assert found.distances(drawn(2.0, 40))["a"] < found.distances(drawn(0.0, 0))["a"]


def test_distances_are_euclidean_over_standardised_features() -> None:
    rows = [drawn(0.0, 0), drawn(1.0, 1), drawn(3.0, 2)]
    values = np.array([row.values for row in rows])
    scaled = (values - values.mean(0)) / values.std(0)
    expected = [[np.linalg.norm(one - other) for other in scaled] for one in scaled]
    assert family_distances(rows) == pytest.approx(np.array(expected))


@pytest.mark.parametrize(
    ("bases", "models", "sentence"),
    [
        ({"a": drawn(0.0, 0)}, {}, "got 1; give two at least"),
        ({"a": drawn(0.0, 0), "again": drawn(0.0, 0)}, {}, "a and again have the same fingerprint"),
    ],
)
def test_what_cannot_be_sorted_is_refused(
    bases: dict[str, GradientFingerprint], models: dict[str, GradientFingerprint], sentence: str
) -> None:
    with pytest.raises(FingerprintError, match=sentence):
        Families.fit(bases, models)
