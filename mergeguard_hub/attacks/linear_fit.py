"""The invertible matrix of a head, coupled over the ports that take it and those that take its inverse transpose.

Keys and queries (or values and outputs) answer for one matrix M: keys were multiplied by it, queries by its inverse
transpose. Solving it from one side alone, as the published attack does (arXiv 2606.30360), throws half of the evidence
away and leaves the two sides inconsistent, so that the attacked model no longer computes what the release computes.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.linalg import solve_sylvester

from mergeguard_hub.architecture.action import Action, Mix
from mergeguard_hub.architecture.space import Space
from mergeguard_hub.architecture.steps import Floats, inverse_of
from mergeguard_hub.attacks.factors import nearly_as_good
from mergeguard_hub.attacks.matching import distance_after, fit_monomial
from mergeguard_hub.attacks.pieces import Piece, Pieces

_ROUNDS = 12
_SETTLED = 1e-13
_MOST = 0.5  # largest step relative to the matrix, so that it stays invertible


def fit_linear(space: Space, pieces: Pieces, *, snap: bool) -> Action:
    """Return the simplest element that brings a head nearest to the reference's: monomial, rotation, any matrix.

    A rotation or a signed and scaled permutation has fewer parameters, so it is taken whenever it explains the
    reference as well as the general matrix; what the fine-tuning changed is then left untouched.

    Args:
        space: dimensions of one head that may be mixed freely.
        pieces: keys and queries, or values and outputs.
        snap: whether simpler elements are tried.
    """
    found = list(pieces())
    if not found:  # the reference is zero wherever this head could be seen
        return Mix(np.eye(space.size))
    up = _stacked([piece for piece in found if piece.port.scale > 0])
    down = _stacked([piece for piece in found if piece.port.scale < 0])
    general = coupled(up, down)
    best = distance(general, up, down)
    if not snap:
        return Mix(general)
    power = sum(float((piece.theirs**2).sum()) * piece.weight for piece in found)
    data = sum(piece.theirs.numel() for piece in found)
    monomial = fit_monomial(space, lambda: iter(found), snap=True)
    spent = space.size**2 - space.size
    if nearly_as_good(distance_after(monomial, found), best, power=power, data=data, spent=spent):
        return monomial
    turned = rotation(up, down)
    spent = space.size * (space.size + 1) // 2
    if nearly_as_good(distance(turned, up, down), best, power=power, data=data, spent=spent):
        return Mix(turned)
    return Mix(general)


Side = tuple[Floats, Floats]  # ours and theirs, [size, features], scaled so that every tensor counts alike


def _stacked(pieces: list[Piece]) -> Side:
    if not pieces:
        return np.zeros((0, 0)), np.zeros((0, 0))
    both = [torch.cat([getattr(p, side) * p.weight**0.5 for p in pieces], 1).numpy() for side in ("ours", "theirs")]
    return both[0], both[1]


def coupled(up: Side, down: Side) -> Floats:
    """Return M that minimises |M K - K'|^2 + |M^-T Q - Q'|^2, [size, size].

    Least squares on one side is the start; then Gauss-Newton steps M <- (1 + E) M, each of which is the solution of a
    Sylvester equation in E.

    Args:
        up: K and K', the ports that take the matrix.
        down: Q and Q', those that take its inverse transpose.
    """
    matrix = _start(up, down)
    for _ in range(_ROUNDS if up[0].size and down[0].size else 0):
        keys, queries = matrix @ up[0], inverse_of(matrix).T @ down[0]
        left, right = queries @ queries.T, keys @ keys.T
        gradient = (up[1] - keys) @ keys.T - queries @ (down[1] - queries).T
        step = solve_sylvester(left, right, gradient)
        size = float(np.linalg.norm(step, 2))
        if not np.isfinite(size):
            break
        matrix = matrix + min(1.0, _MOST / max(size, 1e-300)) * (step @ matrix)
        if size < _SETTLED:
            break
    return np.asarray(matrix)


def _start(up: Side, down: Side) -> Floats:
    """Least squares on the side with more numbers; the identity where it is singular."""
    size = len(up[0]) or len(down[0])
    first = up[0].size >= down[0].size
    ours, theirs = up if first else down
    matrix = np.asarray(np.linalg.lstsq(ours.T, theirs.T, rcond=None)[0].T, dtype=np.float64)
    if not np.isfinite(matrix).all() or np.linalg.cond(matrix) > 1e12:
        return np.eye(size)
    return matrix if first else inverse_of(matrix).T


def rotation(up: Side, down: Side) -> Floats:
    """Return the orthogonal matrix nearest to both sides (Kabsch, Schönemann 1966): its own inverse transpose."""
    products = [theirs @ ours.T for ours, theirs in (up, down) if ours.size]
    left, _, right = np.linalg.svd(np.sum(products, axis=0))
    return np.asarray(left @ right)


def distance(matrix: Floats, up: Side, down: Side) -> float:
    """Return the squared distance that is left after a matrix."""
    total = float(((matrix @ up[0] - up[1]) ** 2).sum()) if up[0].size else 0.0
    return total + (float(((inverse_of(matrix).T @ down[0] - down[1]) ** 2).sum()) if down[0].size else 0.0)


def fit_rotation(pieces: Pieces, size: int) -> Mix:
    """Return the orthogonal matrix alone, MergeLock's own test of itself; the identity where nothing can be seen."""
    found = list(pieces())
    if not found:
        return Mix(np.eye(size))
    return Mix(rotation(*(_stacked([p for p in found if p.port.scale * sign > 0]) for sign in (1, -1))))
