"""How much a release may and does drift from its original."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

import torch
from torch import Tensor

from mergeguard_hub.architecture.block import Attention, Mlp
from mergeguard_hub.architecture.miniature import example_inputs, find_class, floats, quiet, relative
from mergeguard_hub.checkpoint import Checkpoint
from mergeguard_hub.errors import VerificationError
from mergeguard_hub.release.blocks import block_drift
from mergeguard_hub.release.draft import Draft

WHOLE_MODEL_BYTES = 512 << 20  # float32 weights that are compared as a whole model during a save (our choice)
# Largest relative error allowed. Exact recipes only reorder float32 sums. Others round every weight once, which costs
# 2.4e-3 in bfloat16, 2.9e-4 in float16 and 3.6e-8 in float32 per matrix product (docs/symmetries.md), times what
# depth makes of it. A model that amplifies rounding more than that may drift by `ROUNDINGS` times what one rounding
# of its weights does to it.
EXACT_TOLERANCE = 1e-4
ROUNDINGS = 8.0
TOLERANCES: dict[str, float] = {"BF16": 1e-1, "F16": 1e-2, "F32": 1e-3, "F64": 1e-6}


def tolerance(checkpoint: Checkpoint, *, exact: bool) -> float:
    """Return the relative output error allowed for the coarsest floating dtype of a checkpoint."""
    if exact:
        return EXACT_TOLERANCE
    return max((TOLERANCES[entry.dtype] for entry in checkpoint.entries.values() if entry.is_floating), default=0.0)


def blocks_drift(
    made: Draft, release: Checkpoint, *, executor: Executor | None, done: Callable[[str], None]
) -> tuple[float, str]:
    """Return the largest error of any block, and which block that is.

    Args:
        made: the original with its plan.
        release: the written weights.
        executor: a thread pool, or None.
        done: called with each block's name when it is finished.
    """
    blocks: list[Attention | Mlp] = [*made.study.layout.attentions, *made.study.layout.mlps]

    def check(block: Attention | Mlp) -> tuple[float, str]:
        sources = {name: made.plan.source.get(name, name) for name in _tensors(block)}
        read = made.study.checkpoint.tensor
        error = block_drift(block, made.plan, read=lambda n: read(sources.get(n, n)), read_release=release.tensor)
        return error, block.prefix

    worst = (0.0, "")
    for found in (executor.map if executor is not None else map)(check, blocks):
        worst = max(worst, found)
        done(found[1])
    return worst


def _tensors(block: Attention | Mlp) -> list[str]:
    parts = (
        [block.query, block.key, block.value, block.output]
        if isinstance(block, Attention)
        else [part for part in (block.gate, block.up, block.down) if part is not None]
    )
    return [name for part in parts for name in (part.weight, part.bias) if name is not None]


def fits(checkpoint: Checkpoint, limit: int = WHOLE_MODEL_BYTES) -> bool:
    """Whether the checkpoint, widened to float32, is small enough to be loaded whole."""
    return sum(4 * entry.numel for entry in checkpoint.entries.values()) <= limit


def half_of_memory() -> int:
    """Return half of the machine's memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def model_drift(original: Checkpoint, release_root: Path) -> float:
    """Load both as any user would, in float32, and return the largest relative error of any output.

    Raises:
        VerificationError: one of them does not load or run.
    """
    cls = find_class(original.config)
    try:
        expected, actual = _outputs(cls, original.root), _outputs(cls, release_root)
    except Exception as error:
        raise VerificationError(
            f"{cls.__name__}.from_pretrained could not load and run {original.root} and its release "
            f"({type(error).__name__}: {error}), so outputs cannot be compared. Does the original load?"
        ) from error
    return max((relative(a, b) for a, b in zip(expected, actual, strict=True)), default=0.0)


def rounding_drift(original: Checkpoint) -> float:
    """Return what one rounding of every weight does to this model's outputs: the yardstick for recipes that round."""
    cls = find_class(original.config)
    dtypes = {entry.torch_dtype for entry in original.entries.values() if entry.is_floating}
    step = max((torch.finfo(dtype).eps / 2 for dtype in dtypes), default=0.0)
    pairs = zip(_outputs(cls, original.root), _outputs(cls, original.root, noise=step), strict=True)
    return max((relative(a, b) for a, b in pairs), default=0.0)


def _outputs(cls: type, root: Path, *, noise: float = 0.0) -> list[Tensor]:
    with quiet(), torch.no_grad():
        key = "torch_dtype" if cls.__module__.startswith("diffusers") else "dtype"
        model = cls.from_pretrained(root, **{key: torch.float32}).eval()  # type: ignore[attr-defined]
        generator = torch.Generator().manual_seed(20260105)
        for parameter in model.parameters() if noise else ():
            parameter.mul_(1 + noise * (2 * torch.rand(parameter.shape, generator=generator) - 1))
        return floats(model(**example_inputs(model)))
