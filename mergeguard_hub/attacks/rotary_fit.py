"""The element of a head under rotary embeddings: one complex number per rotated pair, coupled over keys and queries.

A pair of rows is one complex number per feature. Keys were multiplied by c = s e^(i phi), queries by e^(i phi) / s: of
the free mix only these commute with the positions' rotations, so nothing else need be solved for (algebra in
docs/symmetries.md). Per pair that is two parameters against two rows of keys and queries, so what fine-tuning changed
hardly enters the estimate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mergeguard_hub.architecture.action import Action, Mix
from mergeguard_hub.architecture.rotary import quarter_turns, rotations
from mergeguard_hub.architecture.space import Positions, Space
from mergeguard_hub.architecture.steps import Floats
from mergeguard_hub.attacks.factors import Curve, nearly_as_good, settle_factors
from mergeguard_hub.attacks.pieces import Piece, Pieces

Complex = NDArray[np.complex128]
_ROUNDS = 20


@dataclass(frozen=True, eq=False)
class _Evidence:
    """Per piece: conj(ours) . theirs and |ours|^2 of every pair."""

    piece: Piece
    product: Complex
    squares: Floats


def fit_pairs(space: Space, pieces: Pieces, *, snap: bool, turns: bool = True, scales: bool = True) -> Action:
    """Return one angle and one factor per pair, as quarter turns and powers of two where these fit as well.

    Where the space may not be mixed (norms on queries and keys), only the turns and factors that it claims are tried,
    and copies that another symmetry may still flip vote without their signs.

    Args:
        space: of a head, or of all heads that share a norm.
        pieces: keys and queries, and gains of their norms.
        snap: whether simpler elements are tried.
        turns: whether angles are solved for.
        scales: whether factors are solved for.
    """
    if space.pairs is None:
        raise ValueError(f"{space.name} has no rotary pairs")
    if "mix" not in space.claims:
        return _quarter(space, space.pairs, list(pieces()), snap=snap)
    found = [_evidence(piece, space.pairs) for piece in pieces()]
    ones = np.ones(len(space.pairs))
    angles, factors = _solve(found, len(ones), turns=turns, scales=scales)
    if not snap:
        return Mix(rotations(space, angles, factors))
    general = _curve(found, angles, len(ones)).at(factors)
    whole = np.rint(angles / (np.pi / 2))
    curve = _curve(found, whole * np.pi / 2, len(ones))
    settled = settle_factors(curve, snap=True) if scales else ones
    if nearly_as_good(curve.at(settled), general, power=curve.power, data=curve.data, spent=len(ones)):
        return quarter_turns(space, whole.astype(np.int64) % 4, settled)
    turned = _curve(found, angles, len(ones))
    return Mix(rotations(space, angles, settle_factors(turned, snap=True) if scales else ones))


def _complex(rows: torch.Tensor, pairs: Positions) -> Complex:
    values = rows.numpy()
    return np.asarray(values[pairs[:, 0]] + 1j * values[pairs[:, 1]])


def _evidence(piece: Piece, pairs: Positions) -> _Evidence:
    ours, theirs = _complex(piece.ours, pairs), _complex(piece.theirs, pairs)
    return _Evidence(piece, (ours.conj() * theirs).sum(1), (np.abs(ours) ** 2).sum(1))


def _curve(found: list[_Evidence], angles: Floats, pairs: int) -> Curve:
    curve = Curve.empty(pairs)
    for evidence in found:
        curve.add(evidence.piece, evidence.squares, (np.exp(-1j * angles) * evidence.product).real)
    return curve


def _solve(found: list[_Evidence], pairs: int, *, turns: bool, scales: bool) -> tuple[Floats, Floats]:
    """Alternate between the best angles for the factors and the best factors for the angles; each is closed or convex.

    The start ignores the factors: each side's own least squares knows the angle.
    """
    up, down = (
        sum((e.piece.weight * e.product for e in found if e.piece.port.scale * sign > 0), np.zeros(pairs, complex))
        for sign in (1, -1)
    )
    factors = np.ones(pairs)
    angles = np.zeros(pairs)
    if turns:
        angles = np.angle(up / np.maximum(np.abs(up), 1e-300) + down / np.maximum(np.abs(down), 1e-300))
    for _ in range(_ROUNDS if scales else 1):
        if scales:
            factors = _curve(found, angles, pairs).lowest()
        if turns:
            angles = np.angle(factors * up + down / factors)
    return angles, factors


def _quarter(space: Space, pairs: Positions, pieces: list[Piece], *, snap: bool) -> Action:
    """Turns by votes of all copies; then factors, which sit on the gains of norms."""
    even, odd, signed = np.zeros(len(pairs)), np.zeros(len(pairs)), np.zeros(len(pairs), complex)
    for piece in pieces:
        if not piece.port.sign:
            continue
        product = piece.weight * _evidence(piece, pairs).product
        even += np.abs(product.real) if piece.loose else product.real
        odd += np.abs(product.imag) if piece.loose else product.imag
        signed += product
    turned = np.abs(odd) > np.abs(even) if "permute" in space.claims else np.zeros(len(pairs), dtype=bool)
    along = np.where(turned, signed.imag, signed.real)
    half = (along < 0) & ("sign" in space.claims)
    turns = turned.astype(np.int64) + 2 * half.astype(np.int64)
    scales = np.ones(len(pairs))
    if "scale" in space.claims:
        moved = quarter_turns(space, turns, scales)
        curve = Curve.empty(len(pairs))
        for piece in pieces:
            if piece.port.scale == 0 or piece.loose:
                continue
            ours = piece.ours.numpy()[moved.permutation] * moved.factors(piece.port)[:, None]
            theirs = piece.theirs.numpy()
            squares, products = (ours**2).sum(1)[pairs].sum(1), (ours * theirs).sum(1)[pairs].sum(1)
            curve.add(piece, squares, products)
        scales = settle_factors(curve, snap=snap)
    return quarter_turns(space, turns, scales)
