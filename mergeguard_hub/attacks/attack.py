"""What every attack on a released model is: settings in a frozen dataclass and one function from tensors to tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor

from mergeguard_hub.architecture import Layout
from mergeguard_hub.checkpoint import naming_advice
from mergeguard_hub.errors import AttackError

Tensors = Mapping[str, Tensor]
Need = Literal["base", "architecture", "partner", "inputs"]
Activations = Callable[[Tensors], Mapping[str, Tensor]]


@dataclass(frozen=True, eq=False)
class Knowledge:
    """What a free-rider has besides the release and the base model. The recipe and the key are never part of it.

    Attributes:
        layout: spaces and blocks of the architecture, which anybody can prove on a scaled-down instance.
        partner: the free-rider's own fine-tuned model.
        activations: weights -> (space name -> [samples, units]) on the free-rider's unlabelled inputs.
    """

    layout: Layout | None = None
    partner: Tensors | None = None
    activations: Activations | None = None


class Attack(Protocol):
    """A way to turn a released model back into one that merges. Whatever it returns goes into every merge method.

    Attributes:
        title: name in the literature, or ours.
        paper: where it was published; "" for our own.
        needs: what it cannot do without, besides the release.
        everyone: whether the free-rider applies it to the base and the partners too before merging.
    """

    title: ClassVar[str]
    paper: ClassVar[str]
    needs: ClassVar[frozenset[Need]]
    everyone: ClassVar[bool]

    def apply(self, protected: Tensors, *, base: Tensors, knowledge: Knowledge) -> dict[str, Tensor]:
        """Return the attacked model: new tensors with the names, shapes and dtypes of the release.

        Args:
            protected: the release.
            base: the public base model.
            knowledge: what else the free-rider has.

        Raises:
            AttackError: tensors do not fit each other, are not finite, or something in `needs` is missing.
        """
        ...


def require(attack: Attack, knowledge: Knowledge) -> Layout:
    """Return the layout, and refuse to go on without anything that an attack needs.

    Raises:
        AttackError: something in `attack.needs` is missing.
    """
    given = {
        "architecture": knowledge.layout,
        "partner": knowledge.partner,
        "inputs": knowledge.activations,
    }
    missing = sorted(need for need in attack.needs & given.keys() if given[need] is None)
    if missing:
        raise AttackError(f"{attack.title} needs {' and '.join(missing)}, which was not given; pass it in `knowledge`.")
    return knowledge.layout or Layout((), (), (), {})


def check_same_tensors(protected: Tensors, reference: Tensors, *, what: str = "the base") -> None:
    """Refuse models that cannot be compared tensor by tensor, and weights that are not finite.

    Args:
        protected: the release.
        reference: the model that it is compared with.
        what: how messages call the reference.

    Raises:
        AttackError: a tensor is missing, extra or of another shape, or a weight is NaN or infinite.
    """
    for name in sorted(protected.keys() ^ reference.keys()):
        owner, other = ("the release", what) if name in protected else (what, "the release")
        raise AttackError(
            f"{owner} has a tensor {name!r} and {other} has none: the two are different architectures or heads. Give "
            f"the model that this one was fine-tuned from.{naming_advice(protected, reference)}"
        )
    for name in protected:
        ours, theirs = protected[name], reference[name]
        if ours.shape != theirs.shape:
            raise AttackError(
                f"{name!r} has shape {tuple(ours.shape)} in the release and {tuple(theirs.shape)} in {what}: probably "
                "another vocabulary or size. Give the model that this one was fine-tuned from."
            )
        for owner, tensor in (("the release", ours), (what, theirs)):
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise AttackError(f"{name!r} of {owner} holds NaN or infinite weights; use another checkpoint.")


def floating(tensors: Tensors) -> Iterator[str]:
    """Yield the names of floating-point tensors, in order."""
    return (name for name in tensors if tensors[name].is_floating_point())


def rewritten(protected: Tensors, changed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a copy of a model with some tensors replaced, each rounded once to the dtype that it had."""
    return {
        name: changed[name].to(protected[name].dtype) if name in changed else protected[name].clone()
        for name in protected
    }
