"""Which head is which, whatever was done inside them.

The products W_q^T W_k and W_o W_v of a head are the same in every basis of the head, under rotary embeddings and
without, so they tell heads apart before anything inside a head is solved. They are compared through products of size
head_dim, never formed.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from mergeguard_hub.architecture.action import Monomial
from mergeguard_hub.architecture.block import Attention, Part
from mergeguard_hub.architecture.space import Space
from mergeguard_hub.attacks.matching import assign

Tensors = Mapping[str, Tensor]


def fit_heads(space: Space, attention: Attention, ours: Tensors, theirs: Tensors) -> Monomial:
    """Return the permutation of key-value heads, or of the query heads of one group.

    Args:
        space: of kind "key_value_heads" or "query_heads".
        attention: the block that the heads belong to.
        ours: the attacked model, where the residual stream and norms are solved.
        theirs: the reference.
    """
    alike = head_similarity(attention, ours, theirs)  # [kv, rep, kv, rep]
    if space.kind == "query_heads":
        group = int(space.name.rpartition(".")[2])
        order = assign(alike[group, :, group])
    else:
        order = assign(_groups(alike))
    return Monomial(order, np.ones(space.size), np.ones(space.size))


def _groups(alike: Tensor) -> Tensor:
    """Return how alike groups of query heads are when the heads inside are matched as well as possible, [kv, kv]."""
    if alike.shape[1] == 1:
        return alike[:, 0, :, 0].contiguous()
    result = torch.zeros(alike.shape[0], alike.shape[2], dtype=alike.dtype)
    for one in range(alike.shape[0]):
        for other in range(alike.shape[2]):
            block = alike[one, :, other].numpy()
            result[one, other] = float(block[linear_sum_assignment(block, maximize=True)].sum())
    return result


def head_similarity(attention: Attention, ours: Tensors, theirs: Tensors) -> Tensor:
    """Return the cosines of both products between every head of the reference and every one of ours, summed.

    Returns:
        [kv, rep, kv, rep]: key-value head and query of the reference, then of ours.
    """
    scores = _alike(attention.query, attention.key, ours, theirs)
    return scores + _alike(attention.output, attention.value, ours, theirs)


def _alike(wide: Part, narrow: Part, ours: Tensors, theirs: Tensors) -> Tensor:
    """Cosines of wide^T narrow between heads; `wide` has heads [kv, rep, n], `narrow` [kv, n]."""
    between = _inner((wide, narrow, theirs), (wide, narrow, ours))
    sizes = [_own(wide, narrow, tensors) for tensors in (theirs, ours)]
    return between / (sizes[0][:, :, None, None] * sizes[1]).clamp_min(1e-300)


def _rows(part: Part, tensors: Tensors) -> Tensor:
    """Return the rows of every head with their biases, [*heads, n, features]."""
    at = torch.from_numpy(part.positions.reshape(-1))
    rows = tensors[part.weight].index_select(part.axis, at).movedim(part.axis, 0).reshape(len(at), -1).double()
    if part.bias is not None:
        rows = torch.cat([rows, tensors[part.bias].index_select(0, at)[:, None].double()], 1)
    return rows.reshape(*part.positions.shape, -1)


def _inner(one: tuple[Part, Part, Tensors], other: tuple[Part, Part, Tensors]) -> Tensor:
    """Frobenius products of wide^T narrow between all heads of two models, [kv, rep, kv, rep]."""
    wide, narrow = _rows(one[0], one[2]), _rows(one[1], one[2])
    wide_other, narrow_other = _rows(other[0], other[2]), _rows(other[1], other[2])
    kv, rep, _, _ = wide.shape
    result = torch.zeros(kv, rep, kv, rep, dtype=torch.float64)
    for group in range(kv):
        keys = torch.einsum("if,gjf->gij", narrow[group], narrow_other)
        for head in range(rep):
            queries = torch.einsum("if,grjf->grij", wide[group, head], wide_other)
            result[group, head] = torch.einsum("grij,gij->gr", queries, keys)
    return result


def _own(wide: Part, narrow: Part, tensors: Tensors) -> Tensor:
    """Frobenius norms of wide^T narrow of every head, [kv, rep]."""
    queries, keys = _rows(wide, tensors), _rows(narrow, tensors)
    products = torch.einsum("grif,grjf->grij", queries, queries) * torch.einsum("gif,gjf->gij", keys, keys)[:, None]
    return products.sum((2, 3)).clamp_min(0).sqrt()


def own_sizes(attention: Attention, tensors: Tensors) -> Tensor:
    """Return how large the products W_q^T W_k and W_o W_v of every head are together, [kv, rep]."""
    return _own(attention.query, attention.key, tensors) * _own(attention.output, attention.value, tensors)
