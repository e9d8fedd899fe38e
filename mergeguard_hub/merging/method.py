"""What every merge method is: settings in a frozen dataclass and one pure function on tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol

from torch import Tensor


class MergeMethod(Protocol):
    """A way to make one model of several that were fine-tuned from the same base.

    Attributes:
        title: the method's name in the literature.
        paper: where it was published.
    """

    title: ClassVar[str]
    paper: ClassVar[str]

    def merge(self, base: Mapping[str, Tensor], models: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Merge fine-tuned models.

        Args:
            base: tensors of the base model by name.
            models: tensors of each fine-tuned model, with the same names and shapes.

        Returns:
            New tensors with the names, shapes and dtypes of the base. Tensors that are not floating point (position
            ids, masks) are not arithmetic and are taken from the base.

        Raises:
            MergeError: there is no model, or a tensor is missing, extra, of another shape, or not the same integers.
            NonFiniteWeightsError: a weight is NaN or infinite.
        """
        ...
