"""The same page on a processor, on a GPU, and on Spaces that lend a GPU for as long as a function runs (ZeroGPU)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import torch

Function = TypeVar("Function", bound=Callable[..., Any])
_LONGEST_S = 60  # what a comparison may take on a lent GPU


def on_gpu(function: Function) -> Function:
    """Mark a function that computes with models: it gets a GPU where Spaces lends one, elsewhere it stays as it is."""
    if not os.environ.get("SPACES_ZERO_GPU"):
        return function
    import spaces  # comes with ZeroGPU, and does nothing useful elsewhere

    lent: Function = spaces.GPU(duration=_LONGEST_S)(function)
    return lent


def other_models_welcome() -> bool:
    """Say whether models of the Hub can be tried: there is a GPU, and the network was not turned off."""
    return torch.cuda.is_available() and not os.environ.get("HF_HUB_OFFLINE")
