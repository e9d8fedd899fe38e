"""Norm absorption: factors moved between a norm's gain and the columns of whatever reads the norm.

Source of the algebra: catalogue entry G8 in docs/symmetries.md. Which blocks read a norm cannot be told from names,
so every sensible set of readers is a candidate. Norms that store `w` and multiply by `1 + w` fail the proof and are
left alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mergeguard_hub.architecture.block import Attention, Candidate
from mergeguard_hub.architecture.names import Names, is_cross_attention, parent_of, template_of
from mergeguard_hub.architecture.residual import Axes
from mergeguard_hub.architecture.space import Claim, Port, Space

Reads = frozenset[tuple[str, int]]
ABSORB: frozenset[Claim] = frozenset({"scale", "sign"})


def norm_candidates(
    names: Names, axes: Mapping[str, Axes], attentions: Sequence[Attention], cross: Reads, writes: Reads
) -> list[Candidate]:
    """Return every reading of every norm.

    Args:
        names: names and shapes.
        axes: tower label -> residual axes by tensor template.
        attentions: every reading of every attention.
        cross: (tensor, axis) through which cross-attentions read keys and values.
        writes: (tensor, axis) through which blocks write to the residual stream.
    """
    blocks = _Blocks.of(names, attentions, cross, writes)
    found: dict[tuple[str, str], list[Space]] = {}
    merged = {template: at for per_tower in axes.values() for template, at in per_tower.items()}
    for name, shape in names.shapes.items():
        if len(shape) != 1 or not name.endswith("weight") or template_of(name) not in merged:
            continue
        for reading, readers in _readers(names, name, merged, blocks):
            space = _absorption(names, name, readers)
            found.setdefault((template_of(parent_of(name)), reading), []).append(space)
    return [Candidate(template, "norm", reading, tuple(spaces)) for (template, reading), spaces in found.items()]


@dataclass(frozen=True)
class _Blocks:
    """What `_readers` must know of the blocks: (tensor, axis) pairs, and names of all attentions' tensors."""

    attention: frozenset[str]
    cross: Reads
    writes: Reads

    @classmethod
    def of(cls, names: Names, attentions: Sequence[Attention], cross: Reads, writes: Reads) -> _Blocks:
        weights = {name for attention in attentions for name in attention.weights}
        below = {
            name
            for attention in attentions
            if parent_of(attention.output.weight).startswith(attention.prefix)
            for name in names.children[attention.prefix]
        }
        return cls(frozenset(weights | below), cross, writes)


def _readers(names: Names, norm: str, axes: Axes, blocks: _Blocks) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    """Yield (reading, [(tensor, axis)]) for every set of linear maps that may read this norm."""
    layer = template_of(norm) != norm
    scope = parent_of(parent_of(norm)) if layer else ""
    while True:
        inside = [
            (name, axis)
            for name in names.children.get(scope, ())
            if len(names.shapes[name]) > 1 and (layer or template_of(name) == name)
            for axis in axes.get(template_of(name), ())
            if (name, axis) not in blocks.writes
        ]
        if inside or not scope:
            break
        scope = parent_of(scope)
    if not layer:
        for name, axis in inside:
            yield f"read by {name}", [(name, axis)]
        if blocks.cross:
            yield "read by cross-attentions' keys and values", sorted(blocks.cross)
        return
    if not inside or template_of(scope) == scope:
        return  # a norm inside layers whose readers lie outside every layer is not understood
    own = [read for read in inside if read not in blocks.cross]
    by_attention = [read for read in own if read[0] in blocks.attention]
    by_rest = [read for read in own if read[0] not in blocks.attention]
    if by_attention and by_rest:
        yield "read by attention", by_attention
        yield "read by mlp", by_rest
    yield "read by everything", inside
    if blocks.cross and own:
        yield "read by everything but cross-attentions' keys and values", own
    for kind, reads in _by_attention(by_attention).items():
        yield f"read by {kind}", reads


def _by_attention(reads: list[tuple[str, int]]) -> dict[str, list[tuple[str, int]]]:
    """Tell self-attention from cross-attention where a layer has both."""
    crossing = [read for read in reads if is_cross_attention(read[0])]
    if not crossing or len(crossing) == len(reads):
        return {}
    return {"cross-attention's queries": crossing, "self-attention": [read for read in reads if read not in crossing]}


def _absorption(names: Names, norm: str, readers: list[tuple[str, int]]) -> Space:
    size = names.shapes[norm][0]
    at = np.arange(size, dtype=np.int64)[:, None]
    ports = [Port(norm, 0, at, scale=1)]
    bias = names.bias(norm)
    if bias is not None:
        ports.append(Port(bias, 0, at, scale=1))
    ports += [Port(name, axis, at, scale=-1) for name, axis in readers]
    return Space(f"{parent_of(norm)}/absorb", "norm", size, tuple(ports), ABSORB)
