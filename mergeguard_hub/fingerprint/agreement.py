"""How well two sets of forms agree, and how well they would by chance."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from mergeguard_hub.fingerprint.pairing import Matrix
from mergeguard_hub.fingerprint.probes import PROBES

SINGLE = frozenset({"gate"})  # kinds whose rows are probed twice, so that their sign cancels


@dataclass(frozen=True)
class Agreement:
    """The mean cosine of pairs of forms, beside its distribution by chance.

    Attributes:
        score: in [-1, 1]; forms count by how many numbers they have.
        p_value: the chance that models which are no more alike than was allowed for agree as well or better.
    """

    score: float
    p_value: float


def agreement(pairs: Iterable[tuple[str, Matrix, Matrix]], *, likeness: float = 0.0) -> Agreement:
    """Compare forms entry by entry, leaving out diagonals, and put the score beside what chance would give.

    Probes are drawn with random signs, so flipping the sign of any probe in one of two models gives fingerprints that
    are just as likely unless the weights of the two have to do with each other. All 4096 choices of signs are gone
    through. To test against models that are a little alike, that likeness is taken off every product first and what is
    left is flipped: a randomisation test of a shift. The p-value is the tail of a normal distribution of the choices'
    spread, and never below the share of the choices that agree as well: with so few choices, nothing below one in 4096
    is counted, it is extrapolated.

    Args:
        pairs: kind of form, and its values in both models.
        likeness: the score that models may have by themselves; 0 tests against independent weights.
    """
    bilinear, linear, total = np.zeros((PROBES, PROBES)), np.zeros(PROBES), 0.0
    for kind, ours, theirs in pairs:
        product, size = _products(kind, ours, theirs, likeness)
        rows, columns = product.shape
        total += size
        if kind in SINGLE:
            linear[:columns] += product.sum(0)
        else:
            bilinear[:rows, :columns] += product
    if total == 0.0:
        return Agreement(0.0, 1.0)
    beyond = float(bilinear.sum() + linear.sum()) / total
    flips = _FLIPS if linear.any() else _FLIPS[::2]  # without single signs, flipping all of them changes nothing
    chance = (np.einsum("fa,ab,fb->f", flips, bilinear, flips, optimize=True) + flips @ linear) / total
    spread = float(chance.std())
    normal = 0.5 * math.erfc(beyond / spread / math.sqrt(2)) if spread > 0 else 1.0
    counted = float(np.mean(chance[1:] >= beyond - 1e-12))
    return Agreement(beyond + likeness, max(normal, counted if counted > 1 / len(chance) else 0.0))


_FLIPS = 1.0 - 2.0 * ((np.arange(1 << PROBES)[:, None] >> np.arange(PROBES)) & 1)  # [2^PROBES, PROBES]


def _products(kind: str, ours: Matrix, theirs: Matrix, likeness: float) -> tuple[Matrix, float]:
    """Return products of entries less the likeness: they add up to what the cosine is beyond it, times the entries."""
    allowed = np.full_like(ours, likeness)
    if kind not in SINGLE:
        ours, theirs, allowed = without_diagonal(ours), without_diagonal(theirs), without_diagonal(allowed)
    size = float(ours.size - (0 if kind in SINGLE else min(ours.shape)))
    norm = float(np.linalg.norm(ours) * np.linalg.norm(theirs))
    if norm == 0.0:
        return np.zeros_like(ours), 0.0
    return ours * theirs * (size / norm) - allowed, size


def without_diagonal(values: Matrix) -> Matrix:
    """Return a copy with zeros on the diagonal, whose entries are of one sign in any two models."""
    copy = values.copy()
    np.fill_diagonal(copy, 0.0)
    return copy
