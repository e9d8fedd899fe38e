"""Bring every model to one form of its own, so that equal models look equal, without any base."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from mergeguard_hub.architecture.action import Action, Mix, Monomial
from mergeguard_hub.architecture.block import Attention
from mergeguard_hub.architecture.rotary import rotations
from mergeguard_hub.architecture.space import Space
from mergeguard_hub.architecture.steps import Floats, inverse_of
from mergeguard_hub.attacks.alignment import attention_of, batches
from mergeguard_hub.attacks.attack import Knowledge, Need, Tensors, require
from mergeguard_hub.attacks.head_match import own_sizes
from mergeguard_hub.attacks.pieces import Piece, pieces_of
from mergeguard_hub.attacks.view import Atlas, View


@dataclass(frozen=True)
class Canonicalisation:
    """Put every space into a form that depends only on what the model computes, then merge those forms.

    Ours (catalogue A6 of the attack suite). The free-rider applies it to the release, the base and the partners alike,
    so it needs no base to compare with. Heads become the singular vectors of the product that they stand for, rotated
    pairs and gated units are balanced and turned so that their largest weight is positive, gains become one, and units,
    heads, experts, channels and the residual stream are sorted by size. Two fine-tunes sort alike only as far as their
    sizes differ by more than what training changed, so it recovers heads better than orders.
    """

    title: ClassVar[str] = "Canonicalisation without a base"
    paper: ClassVar[str] = ""
    needs: ClassVar[frozenset[Need]] = frozenset({"architecture"})
    everyone: ClassVar[bool] = True

    def apply(self, protected: Tensors, *, base: Tensors, knowledge: Knowledge) -> dict[str, Tensor]:
        """Return the canonical form of one model; see `Attack.apply`. The base is not looked at."""
        layout = require(self, knowledge)
        view, atlas = View(protected), Atlas(layout.spaces)
        for spaces in batches(layout.spaces):
            for space in spaces:
                attention = attention_of(space, layout.attentions) if space.kind.endswith("heads") else None
                view.act(space, canonical(space, list(pieces_of(space, view, view, atlas)()), attention, view))
            atlas.unsolved -= {space.name for space in spaces}
            view.forget()
        return view.stored()


def canonical(space: Space, pieces: list[Piece], attention: Attention | None, tensors: Tensors) -> Action:
    """Return the element that brings one space to its canonical form.

    Args:
        space: the units.
        pieces: what can be seen of them; both sides are the model itself.
        attention: the block that a space of heads belongs to.
        tensors: the model.
    """
    if attention is not None:
        sizes = own_sizes(attention, tensors)
        group = int(space.name.rpartition(".")[2]) if space.kind == "query_heads" else None
        return _sorted(sizes.sum(1) if group is None else sizes[group])
    up, down = ([p for p in pieces if p.port.scale * sign > 0] for sign in (1, -1))
    if "mix" in space.claims and up and down:
        sides = _rows(up), _rows(down)
        return Mix(_paired(space, *sides) if space.pairs is not None else _singular(*sides))
    if "mix" in space.claims or space.pairs is not None or not pieces:
        same = np.arange(space.size, dtype=np.int64)
        return Monomial(same, np.ones(space.size), np.ones(space.size))
    return _balanced(space, pieces)


def _rows(pieces: list[Piece]) -> Floats:
    return np.concatenate([piece.ours.numpy() for piece in pieces], 1)


def _positive(rows: Floats) -> Floats:
    """Return the sign of each row's largest entry."""
    largest = rows[np.arange(len(rows)), np.abs(rows).argmax(1)]
    return np.where(largest < 0, -1.0, 1.0)


def _singular(up: Floats, down: Floats) -> Floats:
    """Return M with M up = S^1/2 V^T and M^-T down = S^1/2 U^T, where down^T up = U S V^T."""
    triangles = [np.asarray(np.linalg.qr(side.T, mode="r"), dtype=np.float64) for side in (up, down)]
    _, values, right = np.linalg.svd(triangles[1] @ triangles[0].T)
    root = np.sqrt(np.maximum(values, 1e-300))
    matrix = root[:, None] * (right @ inverse_of(triangles[0]).T)
    if not np.isfinite(matrix).all() or np.linalg.cond(matrix) > 1e12:
        return np.eye(len(up))
    return np.asarray(_positive(matrix @ up)[:, None] * matrix)


def _paired(space: Space, up: Floats, down: Floats) -> Floats:
    """Balance both sides of every rotated pair, and turn its largest weight onto the positive axis."""
    pairs = np.asarray(space.pairs)
    keys, queries = (rows[pairs[:, 0]] + 1j * rows[pairs[:, 1]] for rows in (up, down))
    sizes = [np.maximum(np.linalg.norm(values, axis=1), 1e-300) for values in (keys, queries)]
    largest = keys[np.arange(len(keys)), np.abs(keys).argmax(1)]
    return rotations(space, -np.angle(largest), np.sqrt(sizes[1] / sizes[0]))


def _balanced(space: Space, pieces: list[Piece]) -> Monomial:
    """Balance the ports that take a factor and those that take its inverse, fix signs, sort by size."""
    ones = np.ones(space.size)
    up, down = ([p for p in pieces if p.port.scale * sign > 0] for sign in (1, -1))
    scales = ones
    if "scale" in space.claims and up:
        sizes = [np.maximum(np.linalg.norm(_rows(side), axis=1), 1e-300) if side else ones for side in (up, down)]
        scales = 1 / sizes[0] if space.kind == "norm" or not down else np.sqrt(sizes[1] / sizes[0])
    signs = _positive(_rows(up)) if "sign" in space.claims and up else ones
    order = np.arange(space.size, dtype=np.int64)
    if "permute" in space.claims:
        factors = Monomial(order, signs, scales)
        squares = [(p.ours.numpy() * factors.factors(p.port)[:, None]) ** 2 * p.weight for p in pieces]
        order = np.argsort(-np.sum([square.sum(1) for square in squares], axis=0), kind="stable")
    if space.kind == "residual" and "sign" in space.claims:
        signs = _positive(_rows([p for p in pieces if p.port.sign]))
    return Monomial(order, signs[order], scales[order])


def _sorted(sizes: Tensor) -> Monomial:
    order = torch.argsort(sizes, descending=True, stable=True).numpy().astype(np.int64)
    return Monomial(order, np.ones(len(order)), np.ones(len(order)))
