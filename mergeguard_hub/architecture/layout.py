"""The layout of a checkpoint: the blocks and spaces that were proved, and why others were not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from mergeguard_hub.architecture.block import Attention, Candidate, Mlp
from mergeguard_hub.architecture.names import Names, template_of
from mergeguard_hub.architecture.proposal import propose
from mergeguard_hub.architecture.prove import Place, Proof
from mergeguard_hub.architecture.space import Space


@dataclass(frozen=True, eq=False)
class Layout:
    """What may be done to one checkpoint: only what was proved on its miniature.

    Attributes:
        spaces: proved spaces, each limited to its proved claims.
        attentions, mlps: the blocks behind them, in the readings that were proved.
        refused: place -> why nothing is done there.
    """

    spaces: tuple[Space, ...]
    attentions: tuple[Attention, ...]
    mlps: tuple[Mlp, ...]
    refused: Mapping[Place, str]


def lay_out(names: Names, proof: Proof) -> Layout:
    """Find on a real checkpoint the places that were proved on its miniature.

    A place counts as proved only if every tensor that it reaches has a counterpart in the miniature, by name.
    """
    proposal = propose(names, axes=proof.axes)
    refused = dict(proof.refused)
    spaces: list[Space] = []
    used: set[tuple[str, str]] = set()
    taken: set[Place] = set()
    for whole in proposal.candidates:
        for candidate in _placed(whole, names, proof):
            place = _place(candidate)
            if place not in proof.proved:
                refused.setdefault(place, "the scaled-down instance has no such place; were these weights renamed?")
                continue
            claims = proof.proved[place].claims
            if proof.proved[place].reading != candidate.reading:
                continue
            reason = _unknown(names, candidate, proof)
            if reason is not None:
                refused[place] = reason
                continue
            spaces += [space.limited_to(claims) for space in candidate.spaces if space.claims & claims]
            taken.add(place)
            used |= {(space.prefix, candidate.reading) for space in candidate.spaces}
    placed = {place for whole in proposal.candidates for c in _placed(whole, names, proof) for place in [_place(c)]}
    for place, proved in proof.proved.items():
        if place not in taken and place not in refused and place in placed:
            refused[place] = f"it was proved as {proved.reading!r}, and these tensors cannot be read that way"
    attentions = [attention for attention in proposal.attentions if (attention.prefix, attention.reading) in used]
    mlps = [mlp for mlp in proposal.mlps if (mlp.prefix, mlp.reading) in used]
    return Layout(tuple(spaces), tuple(attentions), tuple(mlps), refused)


def _place(candidate: Candidate) -> Place:
    return candidate.template, candidate.group


def _placed(candidate: Candidate, names: Names, proof: Proof) -> list[Candidate]:
    """Return the candidate, or its parts by kind of layer where only those were proved."""
    if (candidate.template, candidate.group) in proof.proved:
        return [candidate]
    parts = candidate.by_kind(names.layer_kind)
    proved = [part for place, part in parts.items() if (place, candidate.group) in proof.proved]
    return proved or [candidate]


def _unknown(names: Names, candidate: Candidate, proof: Proof) -> str | None:
    """Return why what was proved on the miniature does not hold for a candidate's own tensors, if it does not.

    What follows the residual stream, or reads it after a norm, may be anything of its width, known to the class or not:
    a value head beside the language model's, for one. A block is what lies below its prefix.
    """
    reached = {name for space in candidate.spaces for name in space.tensors}
    packed = {name for space in candidate.spaces for name in names.packed if name.startswith(f"{space.prefix}.")}
    if candidate.group in ("residual", "norm"):
        sizes = {space.size for space in candidate.spaces}
        most = 3 if candidate.group == "norm" else 5  # what reads a norm is a matrix, or experts'; masks have four axes
        reached |= {name for name, shape in names.shapes.items() if 1 < len(shape) <= most and sizes & set(shape)}
        packed |= {name for name, shape in names.packed.items() if sizes & set(shape)}
    if packed:
        return f"{min(packed)} is float8, which is passed through as it is, so nothing around it may change"
    strange = next((name for name in sorted(reached) if template_of(name) not in proof.tensors), None)
    return strange and f"{strange} does not exist in the scaled-down instance, so nothing is known about it"


def coverage(names: Names, moved: frozenset[str]) -> tuple[float, float]:
    """Return the fractions in [0, 1] of attention and MLP weights, and of all weights, that a recipe moves.

    Attention and MLP weights are the matrices (two or three axes) inside layers. A model without layers counts whole.
    """
    shapes = {**names.shapes, **names.packed}
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    layers = {name for name, shape in shapes.items() if len(shape) in (2, 3) and template_of(name) != name}
    layers = layers or set(sizes)
    return (
        sum(sizes[name] for name in layers & moved) / max(1, sum(sizes[name] for name in layers)),
        sum(sizes[name] for name in moved) / max(1, sum(sizes.values())),
    )
