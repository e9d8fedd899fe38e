"""MergeLock (arXiv 2509.01548) as its paper writes it down, in plain numpy, for tests to compare with.

Row-vector convention: Q = X W_Q with W_Q of shape [d, d_h] per head, and the head's output is softmax(Q K^T) V W_O.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def locked_head(
    query: Floats, key: Floats, value: Floats, output: Floats, a: Floats, b: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """W_Q <- W_Q A, W_K <- W_K A^-T, W_V <- W_V B, W_O <- B^-1 W_O.

    Args:
        query: [d, d_h]; with a bias, as one more row.
        key: the same.
        value: the same.
        output: [d_h, d].
        a: [d_h, d_h], invertible.
        b: the same.
    """
    return query @ a, key @ np.linalg.inv(a).T, value @ b, np.linalg.inv(b) @ output


def attended(x: Floats, query: Floats, key: Floats, value: Floats, output: Floats) -> Floats:
    """What one head adds for inputs x of shape [tokens, d]; with biases, x ends in a column of ones."""
    scores = (x @ query) @ (x @ key).T / np.sqrt(query.shape[1])
    weights = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(weights / weights.sum(1, keepdims=True) @ (x @ value) @ output)
