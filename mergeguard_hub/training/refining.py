"""The critical layers at a fraction of the exact ranking's cost: a gradient proposes, a race over batches decides."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from mergeguard_hub.errors import TrainingError
from mergeguard_hub.training.base_weights import Base, matched
from mergeguard_hub.training.criticality import Criticality
from mergeguard_hub.training.layers import Layers
from mergeguard_hub.training.prefix import PrefixReuse
from mergeguard_hub.training.ranking import (
    Batch,
    Score,
    evaluating,
    negative_loss,
    prepared,
    rank_by_gradient,
    tuned_layers,
    with_weights,
)


@dataclass(frozen=True)
class Race:
    """How `refine` spends its effort; all values are our choice, found with the models of benchmarks/criticality.py.

    Attributes:
        share: of the layers that are wanted as critical.
        budget: what may be spent, as a fraction of the cost of masking every layer on every batch; higher is nearer to
            the exact ranking. The race goes on for its first batches whatever they cost.
        gradient: fraction of the budget that goes into the first-order estimate, which is taken over as many batches as
            that pays for. On few of them it is mostly noise, and proposes layers that do not matter.
        proposals: how many layers enter the race, as a multiple of those wanted.
        first_batches: batches that every one of them is masked for; at least 2.
    """

    share: float = 0.1
    budget: float = 0.05
    gradient: float = 0.6
    proposals: float = 2.0
    first_batches: int = 4

    def __post_init__(self) -> None:
        fractions = 0 < self.share <= 1 and self.budget > 0 and 0 < self.gradient <= 1
        if not (fractions and self.proposals >= 1 and self.first_batches >= 2):
            raise TrainingError(
                f"{self} is impossible: share and gradient lie in (0, 1], the budget is above 0, proposals are at "
                "least 1 and the first batches at least 2."
            )


_CONFIDENCE = 1.0  # standard errors from the cut at which a layer leaves the race, our choice


def refine(
    model: nn.Module,
    base: Base,
    batches: Sequence[Batch],
    *,
    layers: Layers | None = None,
    score: Score = negative_loss,
    race: Race | None = None,
) -> Criticality:
    """Find the critical layers without masking every layer on every batch. Ours.

    The gradient half-way to the base proposes some layers; those are masked batch by batch, with the blocks in front of
    them computed once, until the budget is spent; each leaves the race as soon as it is clear on which side of the cut
    it lies. Layers that were not proposed rank behind all that were, by their estimate. Only who is among the critical
    ones is meant to be right, not the order. The batches should be of equal size; many small ones are better than few
    large ones.

    Args:
        model: the fine-tuned model; its weights are put back bit for bit, its gradients are cleared.
        base: the base model.
        batches: what is evaluated, at least `race.first_batches`.
        layers: what is ranked; None: `tuned_layers(model, base)`.
        score: what is good, differentiable.
        race: how the effort is spent.

    Raises:
        TrainingError: there are too few batches.
        BaseModelError: the base does not match.
    """
    plan = race or Race()
    if len(batches) < plan.first_batches:
        raise TrainingError(
            f"{len(batches)} batches are too few to race over, {plan.first_batches} are needed: cut the samples into "
            "smaller batches, or rank exactly."
        )
    ranked = tuned_layers(model, base) if layers is None else layers
    budget = plan.budget * (len(ranked) + 1) * len(batches)  # in forward passes of one batch
    first = min(len(batches), math.ceil(plan.gradient * budget / 3))
    guess = rank_by_gradient(model, base, batches[:first], layers=ranked, score=score)
    wanted = len(guess.critical(plan.share))
    proposed = guess.ranked[: math.ceil(plan.proposals * wanted)]
    left = budget - 3 * first
    entered = {layer: guess.layers[layer] for layer in proposed}
    seen, cost = _race(model, base, batches, entered, score=score, wanted=wanted, least=plan.first_batches, budget=left)
    means = {layer: statistics.fmean(values) for layer, values in seen.items()}
    floor = min([*means.values(), 0.0]) - 1.0
    behind = {layer: floor - place for place, layer in enumerate(guess.ranked[len(proposed) :])}
    drops = {layer: means[layer] if layer in means else behind[layer] for layer in guess.layers}
    spent = (3 * first + cost) / len(batches)
    return Criticality(drops, guess.layers, "refined", spent)


def _race(
    model: nn.Module,
    base: Base,
    batches: Sequence[Batch],
    layers: Layers,
    *,
    score: Score,
    wanted: int,
    least: int,
    budget: float,
) -> tuple[dict[str, list[float]], float]:
    """Return the drops by layer and batch, and the cost in forward passes of one batch."""
    _, weights = prepared(model, base, batches, layers)
    reference = matched(weights, base)
    seen: dict[str, list[float]] = {layer: [] for layer in layers}
    running, cost, latest, prefix = set(layers), 0.0, 0.0, PrefixReuse(model)
    with evaluating(model), torch.no_grad():
        for number, batch in enumerate(batches):
            if not running or (number >= least and cost + latest > budget):
                break
            with prefix.recording():
                whole = score(model, batch)
            latest = 1.0
            for layer in (layer for layer in layers if layer in running):
                masked = {name: reference[name] for name in layers[layer]}
                with with_weights(weights, masked), prefix.replaying(layers[layer]) as share:
                    seen[layer].append(float(whole - score(model, batch)))
                latest += share
            cost += latest
            if number + 1 >= least:
                running = _undecided(seen, running, wanted)
    return seen, cost


def _undecided(seen: dict[str, list[float]], running: set[str], wanted: int) -> set[str]:
    means = {layer: statistics.fmean(values) for layer, values in seen.items()}
    order = sorted(means.values(), reverse=True)
    if wanted >= len(order):
        return set()
    cut = (order[wanted - 1] + order[wanted]) / 2
    return {
        layer
        for layer in running
        if abs(means[layer] - cut) < _CONFIDENCE * statistics.stdev(seen[layer]) / math.sqrt(len(seen[layer]))
    }
