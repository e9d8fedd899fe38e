"""What is measured of each block: forms between probes, which every symmetry of the catalogue leaves as they are.

A form is a product of matrices in which every axis that a release may move has been summed over, and whose two ends are
probes. So it needs no matching and no sorting, is a smooth function of the weights, and changes in proportion to a task
vector as long as that is small.

    query_key      sum over heads of   (Wq x_a) . (Wk x_b)           any M on keys and its inverse transpose on queries
    value_output   sum over heads of   (Wo^T x_a) . (Wv x_b)         any M on values and its inverse on outputs
    units          sum over units of   (down . x_a)(up . x_b)        any order, sign and factor of units
    gate           sum over units of   (down . x_a)(up . x_a)(gate . x_b)
    channels       sum over channels of (conv2 . f_a) gain (conv1 . f_b)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from mergeguard_hub.architecture.block import Attention, Mlp, Part
from mergeguard_hub.architecture.layout import Layout
from mergeguard_hub.architecture.names import join
from mergeguard_hub.architecture.space import Space
from mergeguard_hub.fingerprint.probes import Probes

PIECE = 1 << 20  # weights that are widened to float32 at a time: they stay in the processor's cache, our choice
_EXPERT = re.compile(r"^(.*\bexperts)\.\d+$")
Found = Iterator[tuple[str, Tensor]]


def seen(matrix: Tensor, probe: Tensor, axis: int) -> Tensor:
    """Return a matrix as its probes see it, [probes, other axis], reading it once from front to end.

    Args:
        matrix: [rows, columns], any floating dtype.
        probe: [probes, length of the axis], float32.
        axis: which one the probes run along.
    """
    rows = max(1, PIECE // max(1, matrix.shape[1]))
    result = torch.zeros(len(probe), matrix.shape[1 - axis])
    for start in range(0, matrix.shape[0], rows):
        piece = matrix[start : start + rows].float()
        if axis == 1:
            result[:, start : start + rows] = probe @ piece.T
        else:
            result.addmm_(probe[:, start : start + rows], piece)
    return result


class Reader:
    """The units of blocks as their probes see them; a fused tensor is read once per block.

    Attributes:
        tensors: name -> tensor.
        probes: of the same component.
    """

    def __init__(self, tensors: Mapping[str, Tensor], probes: Probes) -> None:
        self.tensors = tensors
        self.probes = probes
        self._kept: dict[tuple[str, int], Tensor | None] = {}

    def units(self, part: Part, expert: int | None = None) -> Tensor | None:
        """Return [probes, *positions.shape]; None where the other axis has no probes."""
        key = part.weight, -1 if expert is None else expert
        if key not in self._kept:
            whole = self.tensors[part.weight]
            other = 2 * whole.ndim - 3 - part.axis
            probe = self.probes.at(part.weight, other)
            matrix, shift = (whole, 0) if expert is None else (whole[expert], 1)
            self._kept[key] = None if probe is None else seen(matrix, probe, other - shift)
        found = self._kept[key]
        return None if found is None else found[:, torch.from_numpy(part.positions)]


def attention_forms(attention: Attention, reader: Reader, *, gains: bool) -> Found:
    """Yield the forms of one attention.

    Args:
        attention: the block.
        reader: of its component.
        gains: whether factors may move onto the weights of its norms on queries and keys.
    """
    query, key = reader.units(attention.query), reader.units(attention.key)
    if query is not None and key is not None:
        if gains:
            query = query * norm_gain(attention.query_gain, attention.query, reader.tensors)
            key = key * norm_gain(attention.key_gain, attention.key, reader.tensors)
        yield "query_key", torch.einsum("agrd,bgd->ab", query, key)
    if attention.rotary_query is not None and attention.rotary_key is not None:
        query, key = reader.units(attention.rotary_query), reader.units(attention.rotary_key)
        if query is not None and key is not None:
            yield "rotary", torch.einsum("agrd,bd->ab", query, key[:, 0])
    value, output = reader.units(attention.value), reader.units(attention.output)
    if value is not None and output is not None:
        yield "value_output", torch.einsum("agrd,bgd->ab", output, value)


def place_of(block: Attention | Mlp) -> str:
    """Return where a block is measured: experts stored one by one are one place, as their order means nothing."""
    expert = _EXPERT.match(block.prefix)
    return expert[1] if expert else block.prefix


def scaled_norms(layout: Layout) -> set[str]:
    """Return the prefixes of attentions where factors may move between the weights of norms on queries and keys."""
    return {s.prefix for s in layout.spaces if s.name.endswith(".shared") and "scale" in s.claims}


def norm_gain(name: str | None, part: Part, tensors: Mapping[str, Tensor]) -> Tensor:
    """Return a norm's weight in the shape of a part's positions, or of one head; ones without a norm."""
    if name is None:
        return torch.ones(1)
    gain = tensors[name].float()
    if gain.numel() == part.positions.shape[-1]:
        return gain.reshape(-1)
    return gain.reshape(-1)[torch.from_numpy(part.positions - part.positions.min())]


def mlp_forms(mlp: Mlp, reader: Reader) -> Found:
    """Yield the forms of one MLP, of stacked experts summed over the experts."""
    stacked = reader.tensors[mlp.up.weight].ndim == 3
    total: dict[str, Tensor] = {}
    for expert in range(reader.tensors[mlp.up.weight].shape[0]) if stacked else (None,):
        up, down = reader.units(mlp.up, expert), reader.units(mlp.down, expert)
        if up is None or down is None:
            return
        found = {"units": down @ up.T}
        gate = None if mlp.gate is None else reader.units(mlp.gate, expert)
        if gate is not None:
            found["gate"] = (down * up) @ gate.T
        total = {name: total.get(name, 0) + form for name, form in found.items()}
    yield from total.items()


def channel_forms(space: Space, reader: Reader) -> Found:
    """Yield the forms of the channels between two convolutions, of a space whose units are whole groups."""
    prefix = space.prefix
    second, gain = reader.tensors[join(prefix, "conv2.weight")], reader.tensors[join(prefix, "norm2.weight")]
    probes = reader.probes
    outer = second.transpose(0, 1).flatten(1)  # [channels, out * kernel]
    out = seen(outer, probes.fixed(outer.shape[1]), 1) * gain.float()
    for leaf, kind in (("conv1.weight", "channels"), ("time_emb_proj.weight", "time")):
        name = join(prefix, leaf)
        if any(port.tensor == name for port in space.ports):
            inner = reader.tensors[name].flatten(1)
            yield kind, out @ seen(inner, probes.fixed(inner.shape[1]), 1).T


def rest_form(name: str, reader: Reader, count: int) -> Tensor | None:
    """Return the form of a matrix that belongs to no block, [count, count]; None where it cannot be probed.

    Args:
        name: of a tensor that no symmetry moves but by residual streams.
        reader: of its component.
        count: probes.
    """
    tensor, probes = reader.tensors[name], reader.probes
    residual = probes.residual(name)
    first = residual[0] if residual else 0
    probe = probes.at(name, first)
    if tensor.ndim == 2:
        other = probes.at(name, 1 - first)
        if probe is None or other is None or 1 in tensor.shape:
            return None
        return seen(tensor, probe[:count], first) @ other[:count].T
    flat = tensor.movedim(first, 0).flatten(1)
    if len(residual) > 1 or probe is None or 1 in flat.shape or probes.absorbs(name):
        return None
    return seen(flat, probe[:count], 0) @ probes.fixed(flat.shape[1], count).T


def shared_form(name: str, axis: int, reader: Reader) -> Tensor | None:
    """Return the Gram matrix of a matrix over one axis that only changes its order, such as a router's experts.

    Args:
        name: of the matrix.
        axis: the axis that is summed over.
        reader: of its component.
    """
    probe = reader.probes.at(name, 1 - axis)
    if probe is None:
        return None
    rows = seen(reader.tensors[name], probe, 1 - axis)
    return rows @ rows.T
