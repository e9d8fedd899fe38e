"""Partners to harden against: task vectors of surrogate fine-tunes, or random directions that look like one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from mergeguard_hub.errors import BaseModelError
from mergeguard_hub.training.base_weights import Base, check_pair, matched, tensors_of

Direction = Mapping[str, Tensor]
"""Parameter name -> what is added to it at weight 1; parameters that are not named stay."""

_COUNTS = (torch.int64, torch.bool)  # never weights, quantised ones neither


class TaskVector(Mapping[str, Tensor]):
    """A partner's task vector, computed tensor by tensor when it is asked for: no memory of its own.

    Args:
        partner: a fine-tune of the base on another task: weights by name, a model, or a folder with the same names.
        base: the base model, likewise.
        exclude: patterns of names that are left out, such as "classifier*" for the head of another task.

    Raises:
        BaseModelError: the two do not match.

    Example:
        >>> dict(TaskVector({"w": torch.tensor([3.0])}, {"w": torch.tensor([1.0])}))
        {'w': tensor([2.])}
    """

    def __init__(self, partner: Base, base: Base, *, exclude: Sequence[str] = ()) -> None:
        self._partner, self._base = tensors_of(partner), tensors_of(base)
        self._names: dict[str, None] = {}
        for name, tensor in self._partner.items():
            if any(fnmatchcase(name, pattern) for pattern in exclude):
                continue
            if name not in self._base:
                raise BaseModelError(
                    f"the partner has a tensor {name!r} and the base has none: they are of different architectures. "
                    "Give partners that were fine-tuned from this base; leave a new head out with `exclude`."
                )
            if tensor.dtype.is_floating_point:
                check_pair(name, tensor, self._base[name])
                self._names[name] = None

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._names:
            raise KeyError(name)
        return self._partner[name].detach().float() - self._base[name].detach().float()

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def sources(self) -> Iterator[tuple[str, Tensor]]:
        """Return the tensors that it is computed from."""
        return ((name, tensors[name]) for name in self._names for tensors in (self._partner, self._base))


def random_direction(tuned: Mapping[str, Tensor], base: Base, *, seed: int, rank: int = 16) -> dict[str, Tensor]:
    """Draw a partner that has the size and the spectrum of a task vector but no task, where there is no surrogate.

    Every matrix gets the largest singular values of its own task vector on random orthonormal directions; vectors get a
    random one of the same norm. Ours; real surrogates ruin merges further (docs/hardening.md).

    Args:
        tuned: fine-tuned weights by name, whose task vector is imitated; counters, positions and masks (int64, bool)
            are left out.
        base: the base model.
        seed: of the drawing.
        rank: how many singular values.

    Returns:
        Name -> float32 tensor of the same shape; tensors that were not changed are left out.

    Raises:
        BaseModelError: the base does not match.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = {name: tensor for name, tensor in tuned.items() if tensor.dtype not in _COUNTS}
    reference = matched(weights, base)
    found = {}
    for name, tensor in weights.items():
        change = (tensor.detach().float() - reference[name].float()).cpu()
        if change.any():
            found[name] = _like(change, generator, rank)
    return found


def _like(change: Tensor, generator: torch.Generator, rank: int) -> Tensor:
    if change.ndim < 2 or min(change.shape[0], change[0].numel()) == 1:
        noise = torch.randn(change.shape, generator=generator)
        return noise.mul_(float(change.norm() / noise.norm()))
    matrix = change.flatten(1)
    values = torch.linalg.svdvals(matrix)[: min(rank, *matrix.shape)]
    left, right = (_orthonormal(size, len(values), generator) for size in matrix.shape)
    return torch.mm(left * values, right.T).reshape(change.shape)


def _orthonormal(size: int, count: int, generator: torch.Generator) -> Tensor:
    found: Tensor = torch.linalg.qr(torch.randn(size, count, generator=generator)).Q
    return found
