"""What every merge method is: settings in a frozen dataclass, a look over everything, and one function of a tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Protocol

from torch import Tensor

Tensors = Mapping[str, Tensor]
"""Tensor name -> tensor; may be lazy and read a file at each access."""

TensorMerge = Callable[[str, Tensor, Sequence[Tensor]], Tensor]
"""How one tensor is merged: (name, base, models) -> merged, all floating point, of one dtype and shape.

It returns a new tensor and leaves its arguments alone; of an elementwise method it may be called with any piece of a
tensor, the same one of each model.
"""


class MergeMethod(Protocol):
    """A way to make one model of several that were fine-tuned from the same base.

    Attributes:
        title: the method's name in the literature.
        paper: where it was published.
        needs_base: whether the base model's weights go into the result; if not, only names, shapes and dtypes do.
        elementwise: whether the merge of a weight depends on that weight in each model and on what `prepare` found,
            and on nothing else of its tensor: such a merge is streamed in pieces.
    """

    title: ClassVar[str]
    paper: ClassVar[str]
    needs_base: ClassVar[bool]
    elementwise: ClassVar[bool]

    def prepare(self, base: Tensors, models: Sequence[Tensors]) -> TensorMerge:
        """Look over all tensors as often as the method must, keep statistics only, and return the merge of one tensor.

        What is returned can be sent to another process.

        Args:
            base: tensors of the base model by name, of any dtypes.
            models: tensors of each fine-tuned model, checked to have the same names and shapes.

        Raises:
            MergeError: the method cannot merge so many models, or a setting does not fit them.
        """
        ...

    def merge(self, base: Tensors, models: Sequence[Tensors]) -> dict[str, Tensor]:
        """Merge fine-tuned models in memory.

        Args:
            base: tensors of the base model by name.
            models: tensors of each fine-tuned model, with the same names and shapes.

        Returns:
            New tensors with the names, shapes and dtypes of the base, computed in float32 (float64 where a tensor is
            that) and rounded once. Tensors that are not F64, F32, F16 or BF16 (position ids, masks, float8) are not
            arithmetic and are taken from the base.

        Raises:
            MergeError: there is no model, or a tensor is missing, extra, of another shape, or not the same integers.
            NonFiniteWeightsError: a weight is NaN or infinite, before or after.
        """
        ...
