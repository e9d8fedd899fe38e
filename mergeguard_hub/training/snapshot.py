"""A model as it was: its weights, and what forward passes in train mode change besides them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mergeguard_hub.training.sharded import forget_gathered, local


class Snapshot:
    """Keeps one copy of weights, and of running statistics and counters (buffers), and puts them back bit for bit.

    Integer buffers with axes are not kept: no forward pass changes them, and packed weights are large.

    Args:
        model: whose buffers are kept.
        weights: the weights that are kept.
    """

    def __init__(self, model: nn.Module, weights: Sequence[Tensor]) -> None:
        self._model, self._weights = model, list(weights)
        self.kept: list[Tensor] = []
        self._buffers: list[tuple[nn.Module, str, Tensor, Tensor]] = []

    def take(self) -> None:
        """Keep the model as it is now, in place of what was kept before."""
        now = [local(weight) for weight in self._weights]
        if self.kept:
            torch._foreach_copy_(self.kept, now)
        else:
            self.kept = [tensor.clone() for tensor in now]
        self._buffers = [
            (module, name, buffer, buffer.detach().clone())
            for module in self._model.modules()
            for name, buffer in module._buffers.items()
            if buffer is not None and (buffer.is_floating_point() or buffer.ndim == 0)
        ]

    def restore(self) -> bool:
        """Put the model back to what was kept; returns False, and changes nothing, if nothing was."""
        if not self.kept:
            return False
        torch._foreach_copy_([local(weight) for weight in self._weights], self.kept)
        for module, name, buffer, kept in self._buffers:
            buffer.detach().copy_(kept)
            module._buffers[name] = buffer  # in case a pass has replaced it
        forget_copies(self._model)
        return True


def forget_copies(model: nn.Module) -> None:
    """Drop what others keep of weights as they were: autocast their 16-bit copies, `fully_shard` whole ones."""
    torch.clear_autocast_cache()
    forget_gathered(model)
