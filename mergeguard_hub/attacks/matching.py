"""Which unit is which: signed permutations and factors between two models, by linear assignment.

Source of the assignment: weight matching of Git Re-Basin (arXiv 2209.04836) and of the alignment attack
(arXiv 2606.30360); ours takes every port of a space at once, in whatever form the symmetry leaves comparable.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from mergeguard_hub.architecture.action import Monomial
from mergeguard_hub.architecture.space import Space
from mergeguard_hub.architecture.steps import Floats
from mergeguard_hub.attacks.factors import Curve, settle_factors
from mergeguard_hub.attacks.pieces import Piece, Pieces

Order = NDArray[np.int64]
_TINY = 1e-300


def assign(similarity: Tensor) -> Order:
    """Return for every row the column that it is matched with, so that the sum of similarities is largest.

    Where every row prefers a column of its own, those are the solution and no assignment problem is solved.

    Args:
        similarity: [n, n]; rows are the reference's units, columns ours.

    >>> assign(torch.tensor([[0.1, 0.9], [0.8, 0.9]])).tolist()
    [1, 0]
    """
    best = similarity.argmax(1)
    if len(torch.unique(best)) == len(best):
        return best.numpy()
    return np.asarray(linear_sum_assignment(similarity.numpy(), maximize=True)[1], dtype=np.int64)


def similarity_of(space: Space, pieces: Pieces) -> Tensor:
    """Return how alike every unit of the reference is to every one of ours, [size, size].

    Where factors are free, rows are compared by their angle, else by their inner product, which makes the assignment
    the least-squares one. Signs that belong to the space are common to all its ports.
    """
    plain = torch.zeros(space.size, space.size, dtype=torch.float64)
    signed = torch.zeros_like(plain)
    for piece in pieces():
        scaled = piece.loose or ("scale" in space.claims and piece.port.scale != 0)
        if scaled and piece.features < 2:
            continue  # the angle between two numbers says nothing
        if scaled:
            theirs, ours = _directions(piece.theirs), _directions(piece.ours)
            alike = piece.features * (theirs @ ours.T)
        else:
            alike = piece.weight * (piece.theirs @ piece.ours.T)
        if piece.loose:
            plain += alike.abs()
        elif piece.port.sign and "sign" in space.claims:
            signed += alike
        else:
            plain += alike
    return plain + signed.abs()


def _directions(rows: Tensor) -> Tensor:
    lengths: Tensor = rows.norm(dim=1, keepdim=True)
    return rows / lengths.clamp_min(_TINY)


def fit_monomial(space: Space, pieces: Pieces, *, snap: bool) -> Monomial:
    """Return the permutation, signs and factors that bring our units nearest to the reference's.

    Args:
        space: the units; only what it claims is solved for.
        pieces: what is known of them.
        snap: whether factors may settle on powers of two where these fit as well.
    """
    same = np.arange(space.size, dtype=np.int64)
    order = assign(similarity_of(space, pieces)) if "permute" in space.claims else same
    signs = _signs(space, pieces, order) if "sign" in space.claims else np.ones(space.size)
    scales = np.ones(space.size)
    if "scale" in space.claims:
        scales = settle_factors(curve_of(pieces, order, signs, space.size), snap=snap)
    return Monomial(order, signs, scales)


def _signs(space: Space, pieces: Pieces, order: Order) -> Floats:
    """Let every row vote with its weight in the reference: rows near zero, whose sign is chance, hardly count."""
    total = torch.zeros(space.size, dtype=torch.float64)
    for piece in pieces():
        if piece.port.sign and not piece.loose:
            along = (piece.theirs * _directions(piece.ours[torch.from_numpy(order)])).sum(1)
            total += piece.weight * along * piece.theirs.norm(dim=1)
    return np.where(total.numpy() < 0, -1.0, 1.0)


def curve_of(pieces: Pieces, order: Order, signs: Floats, size: int) -> Curve:
    """Return how far our units are from the reference's as a function of their factors."""
    curve = Curve.empty(size)
    for piece in pieces():
        if piece.port.scale == 0 or piece.loose:
            continue
        ours = piece.ours[torch.from_numpy(order)]
        products = (ours * piece.theirs).sum(1).numpy() * (signs if piece.port.sign else 1.0)
        curve.add(piece, ours.square().sum(1).numpy(), products)
    return curve


def distance_after(monomial: Monomial, pieces: list[Piece]) -> float:
    """Return the weighted squared distance that is left after a signed, scaled permutation."""
    total = 0.0
    for piece in pieces:
        factors = torch.from_numpy(monomial.factors(piece.port))[:, None]
        moved = piece.ours[torch.from_numpy(monomial.permutation)] * factors
        total += piece.weight * float((moved - piece.theirs).square().sum())
    return total
