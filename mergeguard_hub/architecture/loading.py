"""Loading changed weights again and again, exactly as a class's own loading code would.

Loading in transformers takes longer than a miniature's forward pass. But all it does to weights is to move them: it
renames, fuses, splits, transposes. So one checkpoint of serial numbers, loaded once by the class's own code, tells
where every weight ends up, and from then on weights are put there directly. What was learned is compared with a real
load of random weights; a class that does arithmetic on loading is loaded in full every time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

StateDict = Mapping[str, Tensor]
Load = Callable[[dict[str, Tensor]], Any]


class Loader:
    """Gives back a model holding given weights.

    Attributes:
        load: the class's own loading of a checkpoint in its layout on disk.
    """

    def __init__(self, load: Load, state: StateDict, dtype: torch.dtype) -> None:
        """Learn where the weights of a checkpoint end up.

        Args:
            load: the class's own loading.
            state: random weights under their names on disk.
            dtype: dtype of the loaded model.
        """
        self.load = load
        self._floating = [name for name, tensor in state.items() if tensor.is_floating_point()]
        self._fixed = {name: tensor for name, tensor in state.items() if not tensor.is_floating_point()}
        self._model: Any = None
        self._places: list[tuple[Tensor, Tensor]] = []
        self._learn(state, dtype)

    def __call__(self, state: StateDict) -> Any:
        """Return a model with these weights; it is valid until the next call."""
        if self._model is None:
            return self.load(dict(state))
        weights = self._flat(state)
        with torch.no_grad():
            for holder, index in self._places:
                holder.copy_(weights[index])
        return self._model

    def forget(self) -> None:
        """Load in full from now on."""
        self._model, self._places = None, []

    def _flat(self, state: StateDict) -> Tensor:
        return torch.cat([state[name].reshape(-1) for name in self._floating])

    def _learn(self, state: StateDict, dtype: torch.dtype) -> None:
        weights = self._flat(state)
        if weights.numel() >= (1 << 53 if dtype == torch.float64 else 1 << 24):
            return  # serial numbers would not be exact
        numbers, start = dict(self._fixed), 1
        for name in self._floating:
            size = state[name].numel()
            numbers[name] = torch.arange(start, start + size, dtype=dtype).reshape(state[name].shape)
            start += size
        # a load may keep the very tensors it was given, and these are written to later
        numbered, model = self.load(numbers), self.load({name: tensor.clone() for name, tensor in state.items()})
        places = []
        for holder, marks in zip(_holders(model), _holders(numbered), strict=True):
            index = marks.detach().double().round().long() - 1
            inside = bool(((index >= 0) & (index < weights.numel())).all())
            if inside and torch.equal(weights[index].to(holder.dtype), holder.detach()):
                places.append((holder, index))
            elif not torch.equal(holder, marks):
                return  # neither a copy of stored weights nor a constant
        self._model, self._places = model, places


def _holders(model: Any) -> Iterator[Tensor]:
    """Yield every floating parameter and buffer."""
    yield from (tensor for tensor in model.parameters() if tensor.is_floating_point())
    yield from (tensor for tensor in model.buffers() if tensor.is_floating_point())
