"""What a model answers, as a list of tensors that can be compared."""

from __future__ import annotations

import contextlib
import inspect
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from mergeguard_hub.architecture.inputs import inputs_for


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence warnings, log lines and progress bars of building and loading toy models."""
    from transformers.utils import logging as transformers_logging

    bars, level = transformers_logging.is_progress_bar_enabled(), logging.root.manager.disable
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
        if bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def example_inputs(model: Any) -> dict[str, Any]:
    """Return fixed random inputs for every input that the model's forward declares and that it needs."""
    return inputs_for(model, set(inspect.signature(model.forward).parameters))


def floats(output: Any) -> list[Tensor]:
    """Return the floating-point tensors of a model output, in order.

    Caches are left out, and so are, beside logits, the hidden states that led to them.
    """
    if isinstance(output, Tensor):
        return [output] if output.is_floating_point() else []
    if isinstance(output, Mapping):
        skipped: tuple[str, ...] = ("past_key_values",)
        if any(key.startswith("logits") for key in output):
            skipped += ("encoder_last_hidden_state", "text_model_output", "vision_model_output")
        return [t for key, value in output.items() if key not in skipped for t in floats(value)]
    if isinstance(output, (tuple, list)):
        return [t for value in output for t in floats(value)]
    return []


def relative(a: Tensor, b: Tensor) -> float:
    """Return |a - b| / |a| in the Frobenius norm; infinite if either is not finite."""
    a, b = a.double(), b.double()
    if a.shape != b.shape or not bool(torch.isfinite(a).all() and torch.isfinite(b).all()):
        return float("inf")
    return float((a - b).norm() / a.norm().clamp_min(1e-30))
