"""A model of any class as the subject of its own proof, for classes that no library can build from a configuration.

A miniature needs a class that can be scaled down. A module of the publisher's own (a `PyTorchModelHubMixin`, say)
cannot be, but a copy of it can be proved on as it is: with random weights, in float64, on inputs that the publisher
gives.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mergeguard_hub.architecture.miniature import StateDict, floats, plain, quiet, randomise, relative
from mergeguard_hub.architecture.precision import WideFloats
from mergeguard_hub.errors import ArchitectureError

Inputs = Mapping[str, Any] | Sequence[Any]


class LiveInstance:
    """A copy of a model with random weights. It has what `prove` needs of a miniature.

    Attributes:
        cls: the model's class.
        config: what is known of its sizes.
        state: tensor name on disk -> weights; of tied ones the name that safetensors keeps.
        dtype: float64.
        tolerance: 1e-9.
    """

    dtype = torch.float64
    tolerance = 1e-9

    def __init__(self, model: nn.Module, inputs: Inputs, *, stored: Sequence[str], config: Mapping[str, Any]) -> None:
        """Copy the model; the original is not touched.

        Args:
            model: any module.
            inputs: arguments of its forward pass, by name or in order.
            stored: names of the tensors that its checkpoint holds.
            config: its configuration, if it has one: head counts and sizes are read from it.

        Raises:
            ArchitectureError: the copy does not run on these inputs in float64.
        """
        self.cls = type(model)
        self.config = plain(config)
        self._inputs = _widened(inputs)
        try:
            with quiet():
                self._model = copy.deepcopy(model).cpu().to(self.dtype).eval()
                randomise(self._model, torch.Generator().manual_seed(20260101))
                everything = self._model.state_dict()
                self.state: StateDict = {name: everything[name].detach().clone() for name in stored}
                self.reference = self.outputs(self.state)
        except Exception as error:
            raise ArchitectureError(
                f"{self.cls.__name__} does not run on the example inputs in float64 ({type(error).__name__}: {error}), "
                "so nothing about it can be proved. Give inputs that its forward takes."
            ) from error
        if not self.reference:
            raise ArchitectureError(f"{self.cls.__name__} returns no floating-point tensor, so nothing can be proved.")

    def outputs(self, state: StateDict) -> list[Tensor]:
        """Load tensors into the copy and return its floating-point outputs."""
        with torch.no_grad(), WideFloats():
            self._model.load_state_dict(state, strict=False)
            found = self._model(**self._inputs) if isinstance(self._inputs, Mapping) else self._model(*self._inputs)
            return floats(found)

    def error(self, state: StateDict) -> float:
        """Return the largest relative difference between outputs on `state` and on the random weights."""
        changed = self.outputs(state)
        return max(relative(a, b) for a, b in zip(self.reference, changed, strict=True))


def _widened(inputs: Inputs) -> Inputs:
    def wide(value: Any) -> Any:
        return value.detach().cpu().double() if isinstance(value, Tensor) and value.is_floating_point() else value

    if isinstance(inputs, Mapping):
        return {name: wide(value) for name, value in inputs.items()}
    return tuple(wide(value) for value in inputs)
