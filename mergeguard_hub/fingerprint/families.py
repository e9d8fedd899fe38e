"""Which base model is each model a derivative of, by TensorGuard: K-means that starts at the base models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mergeguard_hub.errors import FingerprintError
from mergeguard_hub.fingerprint.tensorguard import GradientFingerprint

Vectors = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Families:
    """Groups of models around base models, made by `Families.fit`; TensorGuard, arXiv 2506.01631.

    Every model gets a base, the one whose group is nearest, also a model that descends from none of them: the paper
    has no threshold.

    Attributes:
        bases: names of the base models, one for each group.
        labels: for every model that was fitted, the base of its group.
    """

    bases: tuple[str, ...]
    labels: Mapping[str, str]
    _scaler: Any
    _groups: Any

    @classmethod
    def fit(cls, bases: Mapping[str, GradientFingerprint], derivatives: Mapping[str, GradientFingerprint]) -> Families:
        """Standardise all fingerprints together and group them by K-means, with one group started at each base.

        Args:
            bases: fingerprints of the base models by name, two at least.
            derivatives: those of the models to group, under names of their own.

        Raises:
            FingerprintError: fewer than two bases, or two alike; or scikit-learn is not installed.
        """
        _check(bases)
        cluster, preprocessing = _scikit_learn()
        rows = _rows([*bases.values(), *derivatives.values()])
        scaler = preprocessing.StandardScaler().fit(rows)
        scaled = scaler.transform(rows)
        groups = cluster.KMeans(len(bases), init=scaled[: len(bases)], n_init=1).fit(scaled)
        names = tuple(bases)
        labels = {name: names[at] for name, at in zip([*bases, *derivatives], groups.labels_, strict=True)}
        return cls(names, labels, scaler, groups)

    def predict(self, model: GradientFingerprint) -> str:
        """Return the base whose group is nearest to a model that was not fitted."""
        return self.bases[int(self._groups.predict(self._scaler.transform(_rows([model])))[0])]

    def distances(self, model: GradientFingerprint) -> dict[str, float]:
        """Return the Euclidean distances of a model to the centre of each group, in standardised features."""
        (row,) = self._groups.transform(self._scaler.transform(_rows([model])))
        return {name: float(distance) for name, distance in zip(self.bases, row, strict=True)}


def family_distances(models: Sequence[GradientFingerprint]) -> Vectors:
    """Return all distances [n, n] between models: Euclidean, of features standardised over these models.

    Raises:
        FingerprintError: scikit-learn is not installed.
    """
    _, preprocessing = _scikit_learn()
    scaled = preprocessing.StandardScaler().fit_transform(_rows(models))
    return np.asarray(np.linalg.norm(scaled[:, None] - scaled[None], axis=-1), dtype=np.float64)


def _rows(models: Sequence[GradientFingerprint]) -> Vectors:
    return np.array([model.values for model in models], dtype=np.float64)


def _check(bases: Mapping[str, GradientFingerprint]) -> None:
    if len(bases) < 2:
        raise FingerprintError(f"TensorGuard sorts models among base models and got {len(bases)}; give two at least.")
    seen: dict[tuple[float, ...], str] = {}
    for name, fingerprint in bases.items():
        if fingerprint.values in seen:
            raise FingerprintError(
                f"The bases {seen[fingerprint.values]} and {name} have the same fingerprint, so no model could be told "
                "to descend from one and not the other. Are they the same weights? Give one of them."
            )
        seen[fingerprint.values] = name


def _scikit_learn() -> tuple[Any, Any]:
    try:
        from sklearn import cluster, preprocessing
    except ImportError as error:
        raise FingerprintError("TensorGuard needs scikit-learn: pip install 'mergeguard-hub[audit]'.") from error
    return cluster, preprocessing
