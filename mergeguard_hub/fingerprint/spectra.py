"""Sizes of units and heads, sorted: what is left to compare where no probe can be trusted.

Probes need a vocabulary in a known order. Somebody who renumbers the tokens, and the tokeniser with them, keeps the
function and takes that order away. These numbers need none: of hidden units, the products of the lengths of their rows
and columns; of heads, the singular values of their query-key and value-output products. Every axis is summed over or
sorted, so they say less than forms do: unrelated models of one training recipe resemble each other in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mergeguard_hub.architecture.block import Attention, Mlp, Part
from mergeguard_hub.architecture.layout import Layout
from mergeguard_hub.fingerprint.forms import PIECE, norm_gain, place_of, scaled_norms
from mergeguard_hub.fingerprint.probes import absorbed_gains
from mergeguard_hub.fingerprint.record import Form

QUANTILES = 32  # of each kind and block, our choice
BLOCKS = 2  # attentions and MLPs that are taken: one costs as much as several layers of forms, our choice
_LEAST = 1e-20
Block = TypeVar("Block")
Tensors = Mapping[str, Tensor]
Gains = Mapping[tuple[str, int], list[str]]


def measure_spectra(layout: Layout, tensors: Tensors, *, component: str = "") -> list[Form]:
    """Return quantiles of the logarithms of sizes, one form [1, QUANTILES] for each kind and block.

    Args:
        layout: what was proved of the component.
        tensors: its weights, read one block at a time.
        component: its name.
    """
    gains = absorbed_gains(layout.spaces)
    places: dict[str, list[Mlp]] = {}
    for mlp in layout.mlps:
        places.setdefault(place_of(mlp), []).append(mlp)
    found = []
    for place in _evenly(list(places)):
        sizes = torch.cat([_units(mlp, tensors, gains).reshape(-1) for mlp in places[place]])
        found.append(Form(component, place, "unit_sizes", _quantiles(sizes)))
    for attention in _evenly(layout.attentions):
        for kind, sizes in _heads(attention, tensors, gains, scaled=attention.prefix in scaled_norms(layout)):
            found.append(Form(component, attention.prefix, kind, _quantiles(sizes)))
    return found


def _evenly(blocks: Sequence[Block]) -> list[Block]:
    count = len(blocks)
    return [blocks[i] for i in sorted({round(i * (count - 1) / (BLOCKS - 1)) for i in range(BLOCKS)})] if count else []


def _quantiles(sizes: Tensor) -> NDArray[np.float32]:
    logs = sizes.reshape(-1).double().clamp_min(_LEAST).log().numpy()
    return np.asarray(np.quantile(logs, (np.arange(QUANTILES) + 0.5) / QUANTILES)[None], dtype=np.float32)


def _units(mlp: Mlp, tensors: Tensors, gains: Gains) -> Tensor:
    """Return the product of the lengths of each hidden unit's rows and column, of stacked experts of all."""
    sizes = torch.ones(1)
    for part in mlp.parts:
        squares = _squares(part, tensors, gains)[..., torch.from_numpy(part.positions)]
        sizes = sizes * squares.sqrt()
    return sizes


def _squares(part: Part, tensors: Tensors, gains: Gains) -> Tensor:
    """Return the squared length of every unit of a matrix, [*experts, units]."""
    whole = tensors[part.weight]
    other = 2 * whole.ndim - 3 - part.axis
    gain = _gain(part.weight, other, tensors, gains)
    return torch.stack([_lengths(m, other - whole.ndim + 2, gain) for m in whole.reshape(-1, *whole.shape[-2:])])


def _lengths(matrix: Tensor, axis: int, gain: Tensor | None) -> Tensor:
    rows = max(1, PIECE // max(1, matrix.shape[1]))
    weight = torch.ones(matrix.shape[axis]) if gain is None else gain.square()
    result = torch.zeros(matrix.shape[1 - axis])
    for start in range(0, matrix.shape[0], rows):
        piece = matrix[start : start + rows].float().square()
        if axis == 1:
            result[start : start + rows] = piece @ weight
        else:
            result += weight[start : start + rows] @ piece
    return result


def _gain(name: str, axis: int, tensors: Tensors, gains: Gains) -> Tensor | None:
    found = gains.get((name, axis), [])
    return torch.stack([tensors[gain].float() for gain in found]).prod(0) if found else None


def _heads(attention: Attention, tensors: Tensors, gains: Gains, *, scaled: bool) -> Iterator[tuple[str, Tensor]]:
    """Yield the singular values of every query head's products, by their Gram matrices."""
    query, key, value, output = (
        _grams(part, tensors, gains) for part in (attention.query, attention.key, attention.value, attention.output)
    )
    if scaled:
        ours = norm_gain(attention.query_gain, attention.query, tensors)
        theirs = norm_gain(attention.key_gain, attention.key, tensors)
        query = query * ours[..., :, None] * ours[..., None, :]
        key = key * theirs[..., :, None] * theirs[..., None, :]
    yield "query_key_sizes", _singular(query, key[:, None])
    yield "value_output_sizes", _singular(output, value[:, None])


def _grams(part: Part, tensors: Tensors, gains: Gains) -> Tensor:
    """Return the Gram matrix of every head over the axis that it reads or writes, [*heads, head_dim, head_dim]."""
    matrix = tensors[part.weight]
    gain = _gain(part.weight, 1 - part.axis, tensors, gains)
    found = []
    for head in part.positions.reshape(-1, part.positions.shape[-1]):
        rows = matrix.index_select(part.axis, torch.from_numpy(head)).float()
        rows = rows if part.axis == 0 else rows.T
        rows = rows if gain is None else rows * gain
        found.append(rows @ rows.T)
    return torch.stack(found).reshape(*part.positions.shape, part.positions.shape[-1])


def _singular(ours: Tensor, theirs: Tensor) -> Tensor:
    """Return the singular values of A^T B from the Gram matrices A A^T and B B^T: eigenvalues of L^T (B B^T) L."""
    values, vectors = torch.linalg.eigh(ours.double())
    half = vectors * values.clamp_min(0).sqrt()[..., None, :]
    squares: Tensor = torch.linalg.eigvalsh(half.transpose(-1, -2) @ theirs.double() @ half)
    return squares.clamp_min(0).sqrt()
