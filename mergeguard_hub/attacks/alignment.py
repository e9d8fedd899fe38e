"""Alignment to the public base: every symmetry of the architecture solved, whatever protection was applied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from mergeguard_hub.architecture import Layout, Space
from mergeguard_hub.architecture.action import Action, Mix
from mergeguard_hub.architecture.block import Attention
from mergeguard_hub.architecture.space import Kind
from mergeguard_hub.architecture.steps import is_power_of_two
from mergeguard_hub.attacks.attack import Knowledge, Need, Tensors, check_same_tensors, require
from mergeguard_hub.attacks.channel_match import fit_groups, single_units
from mergeguard_hub.attacks.head_match import fit_heads
from mergeguard_hub.attacks.linear_fit import fit_linear
from mergeguard_hub.attacks.matching import fit_monomial
from mergeguard_hub.attacks.pieces import pieces_of
from mergeguard_hub.attacks.rotary_fit import fit_pairs
from mergeguard_hub.attacks.view import Atlas, View
from mergeguard_hub.errors import AttackError

# What blurs others comes first: a stage below reads axes that the stages above have put in order.
ORDER: tuple[Kind, ...] = (
    "residual",
    "norm",
    "experts",
    "channels",
    "key_value_heads",
    "query_heads",
    "query_key",
    "value_output",
    "hidden_units",
)
_SETTLED = 1e-9


@dataclass(frozen=True)
class Alignment:
    """Bring a release as near to its public base as the symmetries of its architecture allow.

    Ours, after the alignment attack AGA (arXiv 2606.30360): a fine-tuned model lies close to its base, so the element
    of the symmetry group that carries the release nearest to the base undoes every protection that is a symmetry. It
    is not told what was applied. It solves every space that the architecture has, and every port of a space at once:
    signed and scaled permutations by linear assignment, one complex number per rotated pair, one invertible matrix per
    head coupled over its two sides, heads by products that do not depend on their bases. It stays inside the group, so
    the attacked model computes what the release computes, and it does nothing to a model that was not protected.

    It does not touch what is no symmetry: protections trained into the weights survive it.

    Attributes:
        passes: how often all spaces are solved at most; a second pass uses what the first had to leave out, and it is
            over when a pass changes nothing. Default: our choice.
        snap: prefer signed permutations, quarter turns, powers of two and rotations where they fit as well as a general
            element; what was drawn from these is then recovered to the bit.
    """

    title: ClassVar[str] = "Alignment to the base"
    paper: ClassVar[str] = "https://arxiv.org/abs/2606.30360"
    needs: ClassVar[frozenset[Need]] = frozenset({"base", "architecture"})
    everyone: ClassVar[bool] = False

    passes: int = 4
    snap: bool = True

    def __post_init__(self) -> None:
        if self.passes < 1:
            raise AttackError(f"passes is {self.passes}, and must be at least 1.")

    def apply(self, protected: Tensors, *, base: Tensors, knowledge: Knowledge) -> dict[str, Tensor]:
        """Return the release carried next to the base; see `Attack.apply`."""
        layout = require(self, knowledge)
        check_same_tensors(protected, base)
        return self.solve(protected, base=base, layout=layout).stored()

    def solve(self, protected: Tensors, *, base: Tensors, layout: Layout) -> View:
        """Return the release as `apply` would leave it, without making it: mappings may read lazily from disk.

        Memory stays at the tensors of one block; the residual stream is read tensor by tensor.

        Args:
            protected: the release.
            base: the public base model.
            layout: spaces and blocks of the architecture.

        Returns:
            A view that gives every tensor when it is asked for, and in `plan` what was found.
        """
        view, reference = View(protected), View(base)
        self._solve(view, reference, layout)
        return view

    def _solve(self, ours: View, theirs: View, layout: Layout) -> None:
        atlas = Atlas(layout.spaces)
        general: set[str] = set()  # spaces that no simple element explained: nor would one explain what is left of them
        for _ in range(self.passes):
            changed = False
            for spaces in batches(layout.spaces):
                snaps = [self.snap and space.name not in general for space in spaces]
                actions = [
                    _fit(space, ours, theirs, atlas, layout.attentions, snap=snap)
                    for space, snap in zip(spaces, snaps, strict=True)
                ]
                for space, action in zip(spaces, actions, strict=True):
                    if action is not None and not is_identity(action):
                        ours.act(space, action)
                        general |= set() if is_simple(action) else {space.name}
                        changed = True
                atlas.unsolved -= {space.name for space in spaces}
                ours.forget()
                theirs.forget()
            atlas.aligned = True
            if not changed:
                break


def _fit(
    space: Space, ours: View, theirs: View, atlas: Atlas, attentions: Sequence[Attention], *, snap: bool
) -> Action | None:
    if space.kind in ("key_value_heads", "query_heads"):
        attention = attention_of(space, attentions)
        return None if attention is None else fit_heads(space, attention, ours, theirs)
    if space.kind == "channels" and space.ports[0].positions.shape[1] > 1:
        return fit_groups(space, pieces_of(single_units(space), ours, theirs, atlas))
    pieces = pieces_of(space, ours, theirs, atlas)
    if space.pairs is not None:
        return fit_pairs(space, pieces, snap=snap)
    if "mix" in space.claims:
        return fit_linear(space, pieces, snap=snap)
    return fit_monomial(space, pieces, snap=snap)


def batches(spaces: Sequence[Space]) -> Iterator[list[Space]]:
    """Yield spaces in the order to solve them, those of one block and kind together.

    Spaces of one batch act on different units: a shared space and the flips inside it, which overlap, claim different
    things and so are different batches, the one with more claims first.
    """
    found: dict[tuple[int, str, int, bool], list[Space]] = {}
    for space in spaces:
        outer = space.kind == "channels" and space.ports[0].positions.shape[1] > 1
        found.setdefault((ORDER.index(space.kind), space.prefix, -len(space.claims), not outer), []).append(space)
    yield from (found[key] for key in sorted(found))


def attention_of(space: Space, attentions: Sequence[Attention]) -> Attention | None:
    """Return the attention that a space of heads belongs to, in the reading that has so many heads."""
    for attention in attentions:
        kv, rep, _ = attention.query.positions.shape
        if attention.prefix == space.prefix and space.size == (kv if space.kind == "key_value_heads" else rep):
            return attention
    return None


def is_identity(action: Action) -> bool:
    """Whether an action changes nothing, up to the rounding of its own computation."""
    if isinstance(action, Mix):
        return bool(np.abs(action.matrix - np.eye(len(action.matrix))).max() < _SETTLED)
    moved = not np.array_equal(action.permutation, np.arange(len(action.permutation)))
    return not moved and bool(np.abs(action.signs * action.scales - 1).max() < _SETTLED)


def is_simple(action: Action) -> bool:
    """Whether an action is a signed permutation with powers of two, or a rotation."""
    if isinstance(action, Mix):
        return bool(np.abs(action.matrix @ action.matrix.T - np.eye(len(action.matrix))).max() < _SETTLED)
    return is_power_of_two(action.scales)
