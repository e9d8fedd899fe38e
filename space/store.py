"""Loaded models, kept within a budget of memory: who was not asked for the longest leaves first."""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable, Iterator
from typing import Any

from torch import nn

BUDGET_BYTES = 600 * 2**20  # of weights; a pipeline of the zoo has 23 MB in float32, a language model 8


class Store:
    """A cache of models that several visitors use at a time.

    Args:
        budget_bytes: of the weights kept; a model that is larger alone is returned and not kept.
    """

    def __init__(self, budget_bytes: int = BUDGET_BYTES) -> None:
        self.budget_bytes = budget_bytes
        self._kept: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._lock = threading.Lock()
        self._making: defaultdict[Hashable, threading.Lock] = defaultdict(threading.Lock)

    @property
    def held_bytes(self) -> int:
        """Return the size of all weights kept."""
        with self._lock:
            return sum(size for _, size in self._kept.values())

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return the model of this key, made only if it is not there; nobody makes the same one twice at a time.

        Args:
            key: says all that the model depends on.
            make: loads or computes it.
        """
        with self._making[key]:
            with self._lock:
                if key in self._kept:
                    self._kept.move_to_end(key)
                    return self._kept[key][0]
            made = make()
            self._keep(key, made)
        return made

    def _keep(self, key: Hashable, model: Any) -> None:
        size = weight_bytes(model)
        if size > self.budget_bytes:
            return
        with self._lock:
            self._kept[key] = (model, size)
            while sum(held for _, held in self._kept.values()) > self.budget_bytes:
                self._kept.popitem(last=False)


def weight_bytes(model: Any) -> int:
    """Return the size of a model's parameters and buffers: of a module, a pipeline or a `LanguageModel`."""
    return sum(
        tensor.numel() * tensor.element_size()
        for module in _modules(model)
        for tensor in (*module.parameters(), *module.buffers())
    )


def _modules(model: Any) -> Iterator[nn.Module]:
    if isinstance(model, nn.Module):
        yield model
    elif hasattr(model, "components"):  # a diffusers pipeline
        yield from (part for part in model.components.values() if isinstance(part, nn.Module))
    else:
        yield model.model


MODELS = Store()

IN_USE: defaultdict[str, threading.RLock] = defaultdict(threading.RLock)
"""Held, by family, while its models compute: a pipeline's scheduler and a model's generation settings are changed by
use, and two tabs may have got the same model."""
