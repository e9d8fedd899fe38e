"""How much a release may and does drift from its original."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mergeguard_hub.architecture.action import Plan
from mergeguard_hub.architecture.block import Attention, Mlp
from mergeguard_hub.architecture.miniature import example_inputs, find_class, floats, quiet, relative
from mergeguard_hub.checkpoint import Checkpoint, variant_in
from mergeguard_hub.errors import VerificationError
from mergeguard_hub.release.blocks import block_drift
from mergeguard_hub.release.draft import Draft
from mergeguard_hub.release.spread import spread

WHOLE_MODEL_BYTES = 512 << 20  # float32 weights that are compared as a whole model during a save (our choice)
# Largest relative error allowed. Exact recipes only reorder float32 sums. Others round every weight once, which costs
# 2.4e-3 in bfloat16, 2.9e-4 in float16 and 3.6e-8 in float32 per matrix product (docs/symmetries.md), times what
# depth makes of it. A model that amplifies rounding more than that may drift by `ROUNDINGS` times what one rounding
# of its weights does to it.
EXACT_TOLERANCE = 1e-4
# One block on its own, where nothing amplifies: tight enough that a single misplaced unit in thousands shows.
EXACT_BLOCK_TOLERANCE = 2e-5
BLOCK_TOLERANCES: dict[str, float] = {"BF16": 2e-2, "F16": 2.5e-3, "F32": 2e-5, "F64": 2e-5}
ROUNDINGS = 8.0
TOLERANCES: dict[str, float] = {"BF16": 1e-1, "F16": 1e-2, "F32": 1e-3, "F64": 1e-6}


def tolerance(checkpoint: Checkpoint, *, exact: bool) -> float:
    """Return the relative output error allowed for the coarsest floating dtype of a checkpoint.

    Args:
        checkpoint: the original.
        exact: whether the recipe never rounds.
    """
    return EXACT_TOLERANCE if exact else max((TOLERANCES[dtype] for dtype in _floating(checkpoint)), default=0.0)


def block_tolerance(checkpoint: Checkpoint, *, exact: bool) -> float:
    """Return the same for one block.

    Args:
        checkpoint: the original.
        exact: whether the recipe never rounds.
    """
    if exact:
        return EXACT_BLOCK_TOLERANCE
    return max((BLOCK_TOLERANCES[dtype] for dtype in _floating(checkpoint)), default=0.0)


def _floating(checkpoint: Checkpoint) -> set[str]:
    return {entry.dtype for entry in checkpoint.entries.values() if entry.is_floating}


def model_tolerance(checkpoint: Checkpoint, error: float, *, exact: bool) -> float:
    """Return the same for the whole model, wider where the model itself amplifies a rounding more than most.

    Args:
        checkpoint: the original.
        error: what was measured; the model's own amplification is only looked at if it is more than usual.
        exact: whether the recipe never rounds, so that only float32 sums do.
    """
    allowed = tolerance(checkpoint, exact=exact)
    return allowed if error <= allowed else max(allowed, ROUNDINGS * rounding_drift(checkpoint, exact=exact))


def blocks_drift(
    made: Draft, release: Checkpoint, *, executor: Executor | None, done: Callable[[str, int], None]
) -> tuple[float, str]:
    """Return the largest error of any block, and which block that is.

    Args:
        made: the original with its plan.
        release: the written weights.
        executor: where blocks are compared; None for this thread.
        done: called with each block's name and bytes when it is finished.
    """
    tasks = [_task(block, made) for block in blocks_of(made)]
    worst = (0.0, "")
    shared = made.study.checkpoint, release
    for task, error in zip(tasks, spread(_check, shared, tasks, executor), strict=True):
        worst = max(worst, (error, task.block.prefix))
        done(task.block.prefix, task.nbytes)
    return worst


def blocks_of(made: Draft) -> list[Attention | Mlp]:
    """Return every block of a component that is compared.

    Args:
        made: the component.
    """
    return [*made.study.layout.attentions, *made.study.layout.mlps]


def blocks_nbytes(made: Draft) -> int:
    """Return the bytes of weights that comparing all blocks reads, those of shared tensors once per block.

    Args:
        made: the component.
    """
    return sum(_task(block, made).nbytes for block in blocks_of(made))


@dataclass(frozen=True, eq=False)
class _Task:
    """One block, and as much of the plan as concerns it; small enough to be sent to another process."""

    block: Attention | Mlp
    plan: Plan
    nbytes: int


def _task(block: Attention | Mlp, made: Draft) -> _Task:
    plan, names = made.plan, _tensors(block)
    source = {name: plan.source[name] for name in names if name in plan.source}
    holders = [source.get(name, name) for name in names]
    part = Plan(
        {name: plan.shapes[name] for name in [*names, *holders]},
        {name: plan.steps[name] for name in holders if name in plan.steps},
        source,
    )
    return _Task(block, part, sum(made.study.checkpoint.entries[name].nbytes for name in names))


def _check(checkpoints: tuple[Checkpoint, Checkpoint], task: _Task) -> float:
    original, release = checkpoints
    sources = task.plan.source
    return block_drift(
        task.block,
        task.plan,
        read=lambda name: original.tensor(sources.get(name, name)),
        read_release=release.tensor,
    )


def _tensors(block: Attention | Mlp) -> list[str]:
    """Names of everything that comparing a block reads."""
    gains = [block.query_gain, block.key_gain] if isinstance(block, Attention) else []
    names = [name for part in block.parts for name in (part.weight, part.bias)]
    return list(dict.fromkeys(name for name in [*gains, *names] if name is not None))


def fits(checkpoint: Checkpoint, limit: int = WHOLE_MODEL_BYTES) -> bool:
    """Return whether a checkpoint, widened to float32, is small enough to be loaded whole.

    Args:
        checkpoint: one component.
        limit: in bytes.
    """
    return sum(4 * entry.numel for entry in checkpoint.entries.values()) <= limit


def half_of_memory() -> int:
    """Return half of the machine's memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def model_drift(original: Checkpoint, release_root: Path) -> float | None:
    """Load both as any user would, in float32, and return the largest relative error of any output.

    Args:
        original: one component.
        release_root: folder of its release.

    Returns:
        The error; None where the file names are ones that `from_pretrained` does not look for.

    Raises:
        VerificationError: one of them does not load or run.
    """
    cls = find_class(original.config)
    if variant_in(original.weight_files[0]) is None:
        return None
    try:
        expected, actual = _outputs(cls, original, original.root), _outputs(cls, original, release_root)
    except Exception as error:
        raise VerificationError(
            f"{cls.__name__}.from_pretrained could not load and run {original.root} and its release "
            f"({type(error).__name__}: {error}), so outputs cannot be compared. Does the original load?"
        ) from error
    return max((relative(a, b) for a, b in zip(expected, actual, strict=True)), default=0.0)


def rounding_drift(original: Checkpoint, *, exact: bool = False) -> float:
    """Return what one rounding of every weight does to a model's outputs: the yardstick for recipes that round.

    Args:
        original: one component.
        exact: round as float32 does, in which outputs are computed, and not as the coarsest dtype of the weights.
    """
    cls = find_class(original.config)
    dtypes = {entry.torch_dtype for entry in original.entries.values() if entry.is_floating}
    step = max((torch.finfo(dtype).eps / 2 for dtype in ({torch.float32} if exact else dtypes)), default=0.0)
    pairs = zip(_outputs(cls, original, original.root), _outputs(cls, original, original.root, step), strict=True)
    return max((relative(a, b) for a, b in pairs), default=0.0)


def _outputs(cls: type, like: Checkpoint, root: Path, noise: float = 0.0) -> list[Tensor]:
    with quiet(), torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(20260106)  # for weights that the class has and the checkpoint lacks
        settings = {"torch_dtype" if cls.__module__.startswith("diffusers") else "dtype": torch.float32}
        model = cls.from_pretrained(root, variant=variant_in(like.weight_files[0]) or None, **settings).eval()  # type: ignore[attr-defined]
        generator = torch.Generator().manual_seed(20260105)
        for parameter in model.parameters() if noise else ():
            parameter.mul_(1 + noise * (2 * torch.rand(parameter.shape, generator=generator) - 1))
        return floats(model(**example_inputs(model)))
