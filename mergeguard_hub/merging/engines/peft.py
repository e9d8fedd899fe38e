"""PEFT's own merging of LoRA adapters, as it is, with a seed and without its silent zeros."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from mergeguard_hub.errors import EngineError

if TYPE_CHECKING:
    from peft import PeftModel

ADAPTER_METHODS = (
    *("svd", "cat", "linear", "ties", "ties_svd", "dare_linear", "dare_linear_svd", "dare_ties", "dare_ties_svd"),
    *("magnitude_prune", "magnitude_prune_svd"),
)
"""PEFT's combination types. Those in `_svd`, and svd and cat, merge the products B A; the others A and B separately,
each with the square root of the weight, so that their result is not that of the same method on the products."""

_WITH_DENSITY = ("ties", "dare_", "magnitude_prune")


def merge_adapters(
    model: PeftModel,
    adapters: Sequence[str],
    name: str,
    *,
    method: str = "svd",
    weights: Sequence[float] | None = None,
    density: float | None = None,
    seed: int = 0,
    **settings: Any,
) -> None:
    """Add to a PEFT model the adapter that PEFT merges of some of its adapters.

    Args:
        model: holds the adapters, and gets the new one.
        adapters: their names.
        name: of the new adapter; must not be taken.
        method: one of `ADAPTER_METHODS`, PEFT's `combination_type`.
        weights: coefficient of each adapter; None: 1 each, as in PEFT.
        density: fraction that is kept, in (0, 1]; required by methods that drop entries, which have no default.
        seed: of the methods that drop at random; PEFT itself has none. The caller's generator is left as it was.
        **settings: passed on to `add_weighted_adapter`: svd_rank, majority_sign_method and so on.

    Raises:
        EngineError: an adapter or a method is unknown, a setting is missing or outside its range, or PEFT refuses.
    """
    _check(model, adapters, name, method, density)
    values = [1.0] * len(adapters) if weights is None else list(weights)
    if len(values) != len(adapters):
        raise EngineError(f"There are {len(values)} weights for {len(adapters)} adapters; give one for each.")
    if density is not None:
        settings["density"] = density
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model.add_weighted_adapter(list(adapters), values, name, combination_type=method, **settings)
        except (ValueError, TypeError, NotImplementedError, AttributeError) as error:
            raise EngineError(
                f"PEFT cannot merge the adapters {', '.join(adapters)} by {method!r}: {error}. Methods that merge A "
                "and B separately need equal ranks; svd and cat do not."
            ) from error


def _check(model: PeftModel, adapters: Sequence[str], name: str, method: str, density: float | None) -> None:
    if method not in ADAPTER_METHODS:
        raise EngineError(f"{method!r} is no combination type of PEFT; choose one of {', '.join(ADAPTER_METHODS)}.")
    known = list(model.peft_config)
    if not adapters:
        raise EngineError("There is nothing to merge: the list of adapters is empty; give at least one.")
    for adapter in adapters:
        if adapter not in known:
            raise EngineError(f"The model has no adapter {adapter!r}, only {', '.join(known)}.")
    if name in known:
        raise EngineError(f"The model has an adapter {name!r} already; PEFT would return without merging anything.")
    if method.startswith(_WITH_DENSITY):
        if density is None or not 0 < density <= 1 or math.isnan(density):
            raise EngineError(f"density is {density}, and {method!r} needs one above 0 and at most 1.")
    elif density is not None:
        raise EngineError(f"density is {density}, and {method!r} has none; leave it out.")
