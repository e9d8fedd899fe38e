"""What a proof needs of whatever it is carried out on."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor


class Subject(Protocol):
    """A model small enough to run again and again, with its tensors in the layout they have on disk.

    Attributes:
        cls: its class.
        state: tensor name on disk -> weights.
        config: its configuration.
        dtype: of the proof.
    """

    cls: type[Any]
    state: dict[str, Tensor]
    config: dict[str, Any]
    dtype: torch.dtype

    @property
    def tolerance(self) -> float:
        """Relative error below which outputs count as equal."""
        ...

    def error(self, state: dict[str, Tensor]) -> float:
        """Return the largest relative difference between outputs on other weights and on its own."""
        ...
