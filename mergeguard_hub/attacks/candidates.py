"""Attacks on the merge itself: merges that a free-rider would try besides the published methods.

A merge method gives one model; these give many, and the free-rider keeps the one that scores best. So they have a
protocol of their own: they yield candidates, and the audit scores every one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

from torch import Tensor

from mergeguard_hub.attacks.attack import Tensors, check_same_tensors
from mergeguard_hub.errors import AttackError

Merge = Callable[[Tensors, Sequence[Tensors]], dict[str, Tensor]]  # (base, models) -> merged, as merge methods do
Score = Callable[[Tensors], float]  # weights -> the merger's own validation score, higher is better
Wish = Literal["merge", "score", "config", "unlabelled"]


@dataclass(frozen=True, eq=False)
class Unlabelled:
    """Inputs without labels.

    Attributes:
        logits: (weights, batch) -> logits [*, num_classes], differentiable in the weights.
        tasks: the batches of each task, the defender's first.
    """

    logits: Callable[[Mapping[str, Tensor], Any], Tensor]
    tasks: Sequence[Sequence[Any]]


@dataclass(frozen=True, eq=False)
class Candidate:
    """One model that a free-rider might end up with.

    Attributes:
        label: what it is, for tables.
        settings: the coefficients that made it.
        weights: names, shapes and dtypes of the release, unless `config` says otherwise.
        config: the configuration of another architecture that the weights are for; None: that of the release.
    """

    label: str
    settings: Mapping[str, float]
    weights: dict[str, Tensor]
    config: Mapping[str, Any] | None = None


@dataclass(frozen=True, eq=False)
class Workshop:
    """What the free-rider works with when merging.

    Attributes:
        protected: the release, attacked first or not.
        base: the public base model.
        partners: the free-rider's own fine-tuned models, at least one.
        merge: a merge method, for attacks that start from its result.
        score: on validation data, for attacks that choose by it.
        config: of the base, for attacks that change the architecture.
        unlabelled: inputs of the tasks, for attacks that learn from them.
    """

    protected: Tensors
    base: Tensors
    partners: Sequence[Tensors]
    merge: Merge | None = None
    score: Score | None = None
    config: Mapping[str, Any] | None = None
    unlabelled: Unlabelled | None = None


class MergeAttack(Protocol):
    """A way to merge that a protection has to withstand too.

    Attributes:
        title: name in the literature, or ours.
        paper: where it was published; "" for our own.
        needs: of the optional fields of `Workshop`.
    """

    title: ClassVar[str]
    paper: ClassVar[str]
    needs: ClassVar[frozenset[Wish]]

    def candidates(self, workshop: Workshop) -> Iterator[Candidate]:
        """Yield models one by one, so that never more than one is in memory.

        Raises:
            AttackError: models do not fit each other, there is no partner, or something in `needs` is missing.
        """
        ...


def enter(attack: MergeAttack, workshop: Workshop) -> None:
    """Refuse models that do not fit each other, and a workshop that lacks what an attack needs.

    Raises:
        AttackError: see `MergeAttack.candidates`.
    """
    if not workshop.partners:
        raise AttackError(f"{attack.title} needs a partner to merge with, and the list of partners is empty.")
    missing = sorted(wish for wish in attack.needs if getattr(workshop, wish) is None)
    if missing:
        raise AttackError(f"{attack.title} needs {' and '.join(missing)}, which was not given.")
    check_same_tensors(workshop.protected, workshop.base)
    for number, partner in enumerate(workshop.partners):
        check_same_tensors(workshop.protected, partner, what=f"partner {number + 1} of {len(workshop.partners)}")


def combine(workshop: Workshop, coefficient: Callable[[str], tuple[float, float]]) -> dict[str, Tensor]:
    """Return base + a * our task vector + b * the sum of the partners', rounded once to the release's dtypes.

    Args:
        workshop: the models.
        coefficient: tensor name -> (a, b).
    """
    merged = {}
    for name, tensor in workshop.protected.items():
        if not tensor.is_floating_point():
            merged[name] = tensor.clone()
            continue
        ours, theirs = coefficient(name)
        base = workshop.base[name].double()
        change = ours * (tensor.double() - base)
        for partner in workshop.partners:
            change += theirs * (partner[name].double() - base)
        merged[name] = (base + change).to(tensor.dtype)
    return merged
