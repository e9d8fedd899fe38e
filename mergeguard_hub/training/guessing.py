"""The loss of guessing: how bad a model can be made before making it worse is wasted, and where caps stand."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mergeguard_hub.errors import TrainingError

CAP_FACTOR = 1.2  # of the loss of guessing; ours, see docs/hardening.md

_WHOLE = (torch.int64, torch.int32, torch.int16, torch.uint8, torch.int8)


def class_guessing(classes: int) -> float:
    """Return the cross-entropy of guessing evenly among classes, ln C, in nats.

    >>> round(class_guessing(10), 3)
    2.303
    """
    if classes < 2:
        raise TrainingError(f"guessing among {classes} classes is no task; give at least 2.")
    return math.log(classes)


def unigram_entropy(tokens: Tensor, *, ignored: int = -100) -> float:
    """Return the loss of a language model that knows nothing but how frequent each token is, in nats per token.

    Args:
        tokens: labels of the training data, int64 [*S]; a few thousand tokens are enough.
        ignored: the label that is not counted.

    Raises:
        TrainingError: there are fewer than two different tokens, or labels are no token numbers.

    Example:
        >>> round(unigram_entropy(torch.tensor([[5, 5, 7, 7], [-100, 5, 7, 9]])), 3)
        1.004
    """
    counted = tokens[tokens != ignored]
    if tokens.dtype not in _WHOLE or bool((counted < 0).any()):
        least = float(counted.min()) if counted.numel() else math.nan
        raise TrainingError(
            f"labels are {tokens.dtype} from {least:g} on, and must be token numbers: integers of at least 0, or "
            f"{ignored} where they do not count."
        )
    counts = torch.bincount(counted.flatten()).double()
    shares = counts[counts > 0] / counts.sum()
    if len(shares) < 2:
        raise TrainingError("the labels hold fewer than two different tokens, so there is nothing to guess.")
    return float(-(shares * shares.log()).sum())


def zero_prediction(targets: Tensor) -> float:
    """Return the squared error of predicting zero everywhere: 1 for noise, the mean square for other targets.

    Args:
        targets: what a diffusion model is trained to predict, [*S].

    >>> zero_prediction(torch.tensor([1.0, -2.0]))
    2.5
    """
    return float(targets.detach().double().square().mean())
