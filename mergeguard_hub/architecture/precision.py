"""Running a model in double precision throughout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class WideFloats(TorchFunctionMode):
    """Turns every explicit float32 inside a forward pass into float64.

    Transformers computes norms, softmax and rotary angles in float32 whatever the model's dtype, which would blur a
    proof to 1e-7. Under this mode a float64 model is float64 throughout.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call `func` with every float32 among its arguments replaced by float64."""
        if func is Tensor.float:
            return args[0].double()
        widened = tuple(torch.float64 if arg is torch.float32 else arg for arg in args)
        named = {key: torch.float64 if value is torch.float32 else value for key, value in (kwargs or {}).items()}
        return func(*widened, **named)
