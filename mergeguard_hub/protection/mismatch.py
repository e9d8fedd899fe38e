"""PaRaMS's assignment: the permutation that moves hidden units farthest from the base model's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from mergeguard_hub.architecture.space import Space
from mergeguard_hub.errors import BaseModelError

Reader = Callable[[str], Tensor]


def mismatch(space: Space, *, read: Reader, read_base: Reader) -> NDArray[np.int64]:
    """Return the permutation that maximises the distance between rearranged and base weights of one MLP.

    Norms do not depend on the order, so it minimises the inner product: a linear assignment problem, solved exactly.
    Source: PaRaMS (arXiv 2503.07661); its published code applies the inverse of the solution, we apply the solution.

    Args:
        space: the hidden units, of size n.
        read: tensor name -> weights of the fine-tuned model.
        read_base: the same of the base model.

    Returns:
        [n]; unit i of the release is unit `result[i]` of the original.

    Raises:
        BaseModelError: the base model's tensor has another shape, or holds NaN or infinite values.
    """
    products = torch.zeros(space.size, space.size, dtype=torch.float32)
    for port in space.ports:
        ours, base = read(port.tensor), read_base(port.tensor)
        if ours.shape != base.shape:
            raise BaseModelError(
                f"{port.tensor} has shape {list(ours.shape)}, in the base model {list(base.shape)}. "
                "Give the base model that this one was fine-tuned from."
            )
        at = torch.from_numpy(port.positions[:, 0])
        rows = [
            t.index_select(port.axis, at).movedim(port.axis, 0).reshape(space.size, -1).float() for t in (base, ours)
        ]
        products += rows[0] @ rows[1].T
    if not bool(torch.isfinite(products).all()):
        raise BaseModelError(
            f"the weights of {space.name} and those of the base model have no finite product; the base model holds NaN "
            "or infinite values. Download it again."
        )
    return np.asarray(linear_sum_assignment(products.numpy())[1], dtype=np.int64)
