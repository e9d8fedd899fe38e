"""What two passes over one batch, and several processes, have to share: random numbers and the mean of a loss."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def keep_chance() -> Any:
    """Return the state of torch's random generators, for `restore_chance`."""
    return torch.get_rng_state(), torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []


def restore_chance(state: Any) -> None:
    """Let torch draw the same numbers as after `keep_chance`: the same dropout masks and the same noise."""
    torch.set_rng_state(state[0])
    if state[1]:
        torch.cuda.set_rng_state_all(state[1])


def mean_over_processes(loss: Tensor) -> float:
    """Return a loss, or its mean over all processes if torch.distributed is running."""
    level = loss.detach().float()
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        level = level.clone()
        torch.distributed.all_reduce(level)
        level = level / torch.distributed.get_world_size()
    return float(level)
