"""Attacks that solve one kind of element only: factors from norms, rotations, permutations towards a partner."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from mergeguard_hub.architecture.action import Action, Monomial
from mergeguard_hub.architecture.space import Space
from mergeguard_hub.architecture.steps import Floats
from mergeguard_hub.attacks.alignment import batches
from mergeguard_hub.attacks.attack import Knowledge, Need, Tensors, check_same_tensors, require
from mergeguard_hub.attacks.linear_fit import fit_rotation
from mergeguard_hub.attacks.matching import assign
from mergeguard_hub.attacks.pieces import Pieces, pieces_of
from mergeguard_hub.attacks.rotary_fit import fit_pairs
from mergeguard_hub.attacks.view import Atlas, View
from mergeguard_hub.errors import AttackError


@dataclass(frozen=True)
class NormRatio:
    """Scale every unit back to the norm that it has in the base, in place: nothing is moved, flipped or mixed.

    The cheapest attack on PaRaMS's head scaling (arXiv 2503.07661): one pass, no matching. Our catalogue calls it A1.
    Ports that multiply by a factor and ports that divide by it vote together, by the mean of their logarithms.
    """

    title: ClassVar[str] = "Norm-ratio unscaling"
    paper: ClassVar[str] = ""
    needs: ClassVar[frozenset[Need]] = frozenset({"base", "architecture"})
    everyone: ClassVar[bool] = False

    def apply(self, protected: Tensors, *, base: Tensors, knowledge: Knowledge) -> dict[str, Tensor]:
        """Return the release with every factor that norms show taken back; see `Attack.apply`."""
        layout = require(self, knowledge)
        check_same_tensors(protected, base)
        view, reference = View(protected), View(base)
        scaled = [space for space in layout.spaces if "scale" in space.claims]
        atlas = Atlas(scaled)  # nothing is moved, so only factors blur each other
        for spaces in batches(scaled):
            for space in spaces:
                scales = _norm_ratios(space, pieces_of(space, view, reference, atlas))
                view.act(space, Monomial(np.arange(space.size, dtype=np.int64), np.ones(space.size), scales))
            atlas.unsolved -= {space.name for space in spaces}
            view.forget()
            reference.forget()
        return view.stored()


def _norm_ratios(space: Space, pieces: Pieces) -> Floats:
    """Return the mean factor by which the reference's rows are longer, one per rotated pair where there are any."""
    logs, votes = np.zeros(space.size), np.zeros(space.size)
    for piece in pieces():
        if piece.port.scale == 0:
            continue
        squares = [rows.square().sum(1).numpy() for rows in (piece.theirs, piece.ours)]
        if space.pairs is not None:
            for square in squares:
                square[space.pairs] = square[space.pairs].sum(1)[:, None]
        known = (squares[0] > 0) & (squares[1] > 0)
        ratio = np.log(np.where(known, squares[0], 1.0)) - np.log(np.where(known, squares[1], 1.0))
        logs += piece.features * piece.port.scale * ratio / 2
        votes += piece.features * known
    return np.asarray(np.exp(logs / np.maximum(votes, 1.0)))


@dataclass(frozen=True)
class Procrustes:
    """Turn every head back by the nearest rotation to the base, and nothing else.

    Kabsch's solution, which the MergeLock paper (arXiv 2509.01548) tries on itself: it undoes rotations and signed
    permutations inside a head, but no factors and no general invertible matrix. Under rotary embeddings the rotation
    is one angle per pair.
    """

    title: ClassVar[str] = "Orthogonal Procrustes"
    paper: ClassVar[str] = "https://arxiv.org/abs/2509.01548"
    needs: ClassVar[frozenset[Need]] = frozenset({"base", "architecture"})
    everyone: ClassVar[bool] = False

    def apply(self, protected: Tensors, *, base: Tensors, knowledge: Knowledge) -> dict[str, Tensor]:
        """Return the release with its heads turned towards the base; see `Attack.apply`."""
        layout = require(self, knowledge)
        check_same_tensors(protected, base)
        view, reference, atlas = View(protected), View(base), Atlas(())
        for space in layout.spaces:
            if "mix" in space.claims:
                view.act(space, _turn(space, pieces_of(space, view, reference, atlas)))
        return view.stored()


def _turn(space: Space, pieces: Pieces) -> Action:
    if space.pairs is not None:
        return fit_pairs(space, pieces, snap=False, scales=False)
    return fit_rotation(pieces, space.size)


@dataclass(frozen=True)
class WeightMatching:
    """Permute a release towards the free-rider's own model, by the weights alone and without the base.

    Git Re-Basin (Ainsworth et al. 2023, arXiv 2209.04836), algorithm 1: spaces are visited in random order, each is
    solved as a linear assignment with all others held fixed, until nothing changes. Inner products of whole weights,
    no signs, no factors, no mixes. From a release in which everything was shuffled at once it may stop early, as the
    published method does.

    Attributes:
        passes: at most so many rounds over all spaces; 100 is the published code's.
        seed: of the order in which spaces are visited.
    """

    title: ClassVar[str] = "Weight matching"
    paper: ClassVar[str] = "https://arxiv.org/abs/2209.04836"
    needs: ClassVar[frozenset[Need]] = frozenset({"architecture", "partner"})
    everyone: ClassVar[bool] = False

    passes: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        if self.passes < 1:
            raise AttackError(f"passes is {self.passes}, and must be at least 1.")

    def apply(self, protected: Tensors, *, base: Tensors, knowledge: Knowledge) -> dict[str, Tensor]:
        """Return the release permuted towards the partner; see `Attack.apply`."""
        layout = require(self, knowledge)
        partner = knowledge.partner or {}
        check_same_tensors(protected, partner, what="the partner")
        view, reference, atlas = View(protected), View(partner), Atlas(())
        spaces = [s for s in layout.spaces if "permute" in s.claims and s.pairs is None]
        generator = np.random.default_rng(self.seed)
        for _ in range(self.passes):
            changed = False
            for number in generator.permutation(len(spaces)):
                space = spaces[number].limited_to(frozenset({"permute"}))
                order = assign(products(space, pieces_of(space, view, reference, atlas)))
                if not np.array_equal(order, np.arange(space.size)):
                    view.act(space, Monomial(order, np.ones(space.size), np.ones(space.size)))
                    changed = True
            if not changed:
                break
        return view.stored()


def products(space: Space, pieces: Pieces) -> Tensor:
    """Return the inner products of the reference's units with ours over all ports, [size, size].

    The identity gets a hair's breadth more, so that ties do not go round in circles.
    """
    total = torch.zeros(space.size, space.size, dtype=torch.float64)
    for piece in pieces():
        total += piece.theirs @ piece.ours.T
    return total + 1e-9 * total.abs().max().clamp_min(1e-300) * torch.eye(space.size, dtype=torch.float64)


@dataclass(frozen=True)
class ActivationMatching:
    """Permute hidden units so that they fire together with the free-rider's own model on unlabelled inputs.

    Git Re-Basin (arXiv 2209.04836), section 3.1: linear assignment on the correlation of activations. Only hidden
    units of MLPs; it needs no base and does not care for factors, but it sees only what the inputs excite.
    """

    title: ClassVar[str] = "Activation matching"
    paper: ClassVar[str] = "https://arxiv.org/abs/2209.04836"
    needs: ClassVar[frozenset[Need]] = frozenset({"architecture", "partner", "inputs"})
    everyone: ClassVar[bool] = False

    def apply(self, protected: Tensors, *, base: Tensors, knowledge: Knowledge) -> dict[str, Tensor]:
        """Return the release with its hidden units in the partner's order; see `Attack.apply`."""
        layout = require(self, knowledge)
        partner = knowledge.partner or {}
        check_same_tensors(protected, partner, what="the partner")
        if knowledge.activations is None:
            raise AttackError(f"{self.title} needs inputs, which were not given; pass `activations` in `knowledge`.")
        ours, theirs = knowledge.activations(protected), knowledge.activations(partner)
        view = View(protected)
        for space in layout.spaces:
            if space.kind == "hidden_units" and space.name in ours and "permute" in space.claims:
                order = assign(_correlation(theirs[space.name], ours[space.name]))
                view.act(
                    replace(space, claims=frozenset({"permute"})),
                    Monomial(order, np.ones(space.size), np.ones(space.size)),
                )
        return view.stored()


def _correlation(theirs: Tensor, ours: Tensor) -> Tensor:
    """Pearson correlation between units, [units, units]; units that never change get zero."""
    columns = [t.double() - t.double().mean(0) for t in (theirs, ours)]
    normed = [t / t.norm(dim=0).clamp_min(1e-300) for t in columns]
    result: Tensor = normed[0].T @ normed[1]
    return result.abs()
