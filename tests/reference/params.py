"""PaRaMS (arXiv 2503.07661) as its paper writes it down, in plain numpy, for tests to compare with.

An MLP is x -> W2 s(W1 x + b1) + b2. Heads are in the row-vector convention: Q = X W_Q with W_Q of shape [d, d_h].
"""

from __future__ import annotations

from itertools import permutations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Heads = list[Floats]
Mlp = tuple[Floats, Floats, Floats]  # W1 [n, d], b1 [n], W2 [d, n]


def rearranged(mlp: Mlp, permutation: Floats) -> Mlp:
    """W1' = P W1, b1' = P b1, W2' = W2 P^T, with P of shape [n, n]."""
    w1, b1, w2 = mlp
    return permutation @ w1, permutation @ b1, w2 @ permutation.T


def apart(mlp: Mlp, base: Mlp) -> float:
    """The squared distance between two MLPs, which the permutation maximises."""
    return float(sum(((mine - theirs) ** 2).sum() for mine, theirs in zip(mlp, base, strict=True)))


def farthest(mlp: Mlp, base: Mlp) -> Floats:
    """P* = argmax_P || base - P mlp ||^2, by trying every permutation."""
    size = len(mlp[1])
    candidates = (np.eye(size)[list(order)] for order in permutations(range(size)))
    return max(candidates, key=lambda matrix: apart(rearranged(mlp, matrix), base))


def scaled_heads(
    queries: list[Floats],
    keys: list[Floats],
    values: list[Floats],
    outputs: list[Floats],
    a: list[Floats],
    b: list[Floats],
) -> tuple[list[Floats], list[Floats], list[Floats], list[Floats]]:
    """Q_i <- Q_i A_i, K_i <- K_i A_i^-1, V_i <- V_i B_i, O_i <- B_i^-1 O_i, with diagonal A_i and B_i.

    Args:
        queries: per head [d, d_h].
        keys: the same.
        values: the same.
        outputs: per head [d_h, d].
        a: per head the diagonal of A_i.
        b: per head the diagonal of B_i.
    """
    return (
        [q @ np.diag(s) for q, s in zip(queries, a, strict=True)],
        [k @ np.diag(1 / s) for k, s in zip(keys, a, strict=True)],
        [v @ np.diag(s) for v, s in zip(values, b, strict=True)],
        [np.diag(1 / s) @ o for o, s in zip(outputs, b, strict=True)],
    )
