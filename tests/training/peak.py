"""The most memory that tensors take at once during a piece of work, counted from what is allocated and freed."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _Peak(TorchDispatchMode):
    """Counts the bytes of storages that operations have made and that are still alive."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.most = 0, 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {_storage(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)}
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and _storage(leaf) not in given | self._known:
                storage, place = leaf.untyped_storage(), _storage(leaf)
                self._known.add(place)
                self.now += storage.nbytes()
                self.most = max(self.most, self.now)
                weakref.finalize(storage, self._freed, place, storage.nbytes())
        return result

    def _freed(self, place: int, nbytes: int) -> None:
        self._known.discard(place)
        self.now -= nbytes


def _storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata


def peak_bytes(work: Callable[[], object]) -> int:
    """Return the most bytes that tensors made by `work` took at once; what was there before does not count."""
    with _Peak() as counted:
        work()
    return counted.most
