"""Ranking layers by their criticality in memory: exactly, from one gradient, or from both."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mergeguard_hub.errors import TrainingError
from mergeguard_hub.training.base_weights import Base, differing, matched
from mergeguard_hub.training.criticality import Criticality
from mergeguard_hub.training.layers import Granularity, Layers, language_roles, layers_of
from mergeguard_hub.training.prefix import PrefixReuse

Batch = Any  # whatever the score takes; by default keyword arguments of the model's forward, labels among them
Score = Callable[[nn.Module, Batch], Tensor]
"""(model, batch) -> mean over its examples of what is good, for example an accuracy or a negative loss; a scalar."""
Probe = Literal["revert", "zero"]


def negative_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Return minus the loss that the model itself computes from a batch of keyword arguments with labels."""
    result: Tensor = -model(**batch).loss
    return result


def tuned_layers(
    model: nn.Module, base: Base, *, granularity: Granularity = "tensor", exclude: Collection[str] | None = None
) -> dict[str, tuple[str, ...]]:
    """Return the layers that fine-tuning has changed; only those can be critical.

    Args:
        model: the fine-tuned model.
        base: the base model.
        granularity: see `layers_of`.
        exclude: names that are left out; None: by their roles, if it is a language model (see `language_roles`).

    Raises:
        BaseModelError: the base does not match.
        TrainingError: nothing has changed, or everything that has is excluded.
    """
    named = dict(model.named_parameters())
    changed = differing(named, matched(named, base))
    if not changed:
        raise TrainingError("the model equals its base: nothing was fine-tuned, so no layer is critical.")
    if exclude is None:
        config: Any = getattr(model, "config", None)
        known = config.to_dict() if config is not None and hasattr(config, "to_dict") else {}
        exclude = language_roles({name: tuple(tensor.shape) for name, tensor in named.items()}, known)
    return layers_of(changed, granularity=granularity, exclude=exclude)


def rank_exactly(
    model: nn.Module,
    base: Base,
    batches: Sequence[Batch],
    *,
    layers: Layers | None = None,
    probe: Probe = "revert",
    score: Score = negative_loss,
    reuse: bool = True,
) -> Criticality:
    """Mask one layer after another and measure what the model loses, as MergeGuard does.

    Arxiv 2511.11851 does not say what masking puts in a layer's place. "revert" (our default) puts the base's weights
    there, which takes the layer's part of the fine-tuning away; "zero" puts zeros there, which also ranks what any
    network of this structure needs. Blocks in front of the masked layer are computed once per batch where the result
    stays the same (see `PrefixReuse`).

    Args:
        model: the fine-tuned model; its weights are changed meanwhile and put back bit for bit.
        base: the base model.
        batches: what is evaluated; a batch counts by its number of examples.
        layers: what is ranked; None: `tuned_layers(model, base)`.
        probe: "revert" or "zero".
        score: what is good; by default minus the model's own loss.
        reuse: whether to compute the blocks in front of the masked layer once. False is the paper's brute force.

    Raises:
        TrainingError: there is no batch, or the probe is unknown.
        BaseModelError: the base does not match.
    """
    if probe not in ("revert", "zero"):
        raise TrainingError(f"probe is {probe!r}, and must be 'revert' or 'zero'.")
    ranked, weights = prepared(model, base, batches, layers)
    reference = matched(weights, base)
    drops, cost, prefix = dict.fromkeys(ranked, 0.0), 0.0, PrefixReuse(model)
    with evaluating(model), torch.no_grad():
        for batch, part in zip(batches, _parts(batches), strict=True):
            with prefix.recording():
                whole = score(model, batch)
            cost += part
            for layer, names in ranked.items():
                masked = {name: reference[name] if probe == "revert" else torch.zeros(()) for name in names}
                with with_weights(weights, masked), prefix.replaying(names if reuse else ()) as share:
                    drops[layer] += part * float(whole - score(model, batch))
                cost += part * (share if reuse else 1.0)
    return Criticality(drops, ranked, "exact", cost)


def rank_by_gradient(
    model: nn.Module,
    base: Base,
    batches: Sequence[Batch],
    *,
    layers: Layers | None = None,
    score: Score = negative_loss,
    at: float = 0.5,
) -> Criticality:
    """Estimate the drops of all layers from one backward pass: the gradient along each layer's task vector.

    The score of the model without layer l is score(theta) - <gradient, tau_l> to first order. At the fine-tuned weights
    that gradient is nearly zero, because training has made it so; half-way to the base (`at` 0.5, the midpoint rule of
    an integral along the way) it says more. Ours. It sees no curvature within a layer: `refine` corrects that.

    Args:
        model: the fine-tuned model; its weights are put back bit for bit, its gradients are cleared.
        base: the base model.
        batches: what is evaluated.
        layers: what is ranked; None: `tuned_layers(model, base)`.
        score: what is good, differentiable.
        at: where on the way from the base (0) to the model (1) the gradient is taken.

    Raises:
        TrainingError: there is no batch.
        BaseModelError: the base does not match.
    """
    ranked, weights = prepared(model, base, batches, layers)
    reference = matched(weights, base)
    between = {name: reference[name].to(weight).lerp(weight.detach(), at) for name, weight in weights.items()}
    frozen = [weight for weight in weights.values() if not weight.requires_grad]
    model.zero_grad()
    try:
        with evaluating(model), with_weights(weights, between):
            for weight in frozen:
                weight.requires_grad_(True)
            for batch, part in zip(batches, _parts(batches), strict=True):
                torch.autograd.backward([part * score(model, batch)])
        drops = {
            layer: sum(_along(weights[name], reference[name]) for name in names) for layer, names in ranked.items()
        }
    finally:
        model.zero_grad()
        for weight in frozen:
            weight.requires_grad_(False)
    return Criticality(drops, ranked, "first order", 3.0)


def _along(weight: nn.Parameter, base: Tensor) -> float:
    """Return <gradient, task vector> of one tensor; 0 if the score does not depend on it."""
    if weight.grad is None:
        return 0.0
    return float((weight.grad.float() * (weight.detach().float() - base.to(weight).float())).sum())


def prepared(
    model: nn.Module, base: Base, batches: Sequence[Batch], layers: Layers | None
) -> tuple[dict[str, tuple[str, ...]], dict[str, nn.Parameter]]:
    """Return the layers to rank, and the parameters in them."""
    if not batches:
        raise TrainingError("there is no batch to rank layers with: give task samples, or rank without data.")
    ranked = dict(layers) if layers is not None else tuned_layers(model, base)
    named = dict(model.named_parameters())
    for name in (name for names in ranked.values() for name in names):
        if name not in named:
            raise TrainingError(f"the layers to rank hold {name!r}, and the model has no parameter of that name.")
    return ranked, {name: named[name] for names in ranked.values() for name in names}


@contextmanager
def with_weights(weights: Mapping[str, nn.Parameter], values: Mapping[str, Tensor]) -> Iterator[None]:
    """Let parameters have other values inside, and put theirs back bit for bit."""
    own = {name: weights[name].detach().clone() for name in values}
    try:
        for name, value in values.items():
            weights[name].data.copy_(value)
        yield
    finally:
        for name, value in own.items():
            weights[name].data.copy_(value)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into eval mode inside, and back into its own afterwards."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def _parts(batches: Sequence[Batch]) -> list[float]:
    """Return what share of all examples each batch has."""
    sizes = [_examples(batch) for batch in batches]
    return [size / sum(sizes) for size in sizes]


def _examples(batch: Batch) -> int:
    """Count the rows of the first tensor in a batch; 1 if there is none."""
    values = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, Sequence) else [batch]
    return next((len(value) for value in values if isinstance(value, Tensor) and value.ndim), 1)
