"""One tensor of a checkpoint folder: what it is and where its bytes lie."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from mergeguard_hub.checkpoint.dtypes import FLOATING, torch_dtype


@dataclass(frozen=True)
class TensorEntry:
    """A tensor as a safetensors header describes it. No weights are held.

    Attributes:
        name: name in the checkpoint.
        dtype: safetensors code, for example "F32", "BF16", "F8_E4M3", "I64", "BOOL".
        shape: sizes of the dimensions; () for a scalar.
        file: POSIX path of its file, relative to the checkpoint's root.
        start, stop: absolute byte offsets in that file; `stop` is one past the last byte.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: str
    start: int
    stop: int

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.stop - self.start

    @property
    def numel(self) -> int:
        """Number of elements; 1 for a scalar."""
        return math.prod(self.shape)

    @property
    def is_floating(self) -> bool:
        """Whether stages may act on it: F64, F32, F16 and BF16. Float8 is passed through as it is."""
        return self.dtype in FLOATING

    @property
    def torch_dtype(self) -> torch.dtype:
        """The torch dtype.

        Raises:
            UnsupportedFormatError: if the installed torch lacks it.
        """
        return torch_dtype(self.dtype)
