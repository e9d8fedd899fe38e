"""The control: what both fingerprints say of random weights."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.families.make import RANDOM_STD
from benchmarks.lineage.described import Described
from benchmarks.lineage.sorting import Pool, bases_of, one_of_each_shape
from mergeguard_hub.fingerprint import FEATURES, Families, NearestBase, TensorGuard, nearest_base

WIDTHS = (64, 256, 1024, 4096)


def control_table(pool: Pool, random: Pool) -> str:
    """Return how far random weights of the same shapes are from a trained base, and where both methods put them."""
    chosen = next(one_of_each_shape(pool))
    bases = bases_of(chosen)
    found = Families.fit(
        {family: one.gradients for family, one in bases.items()},
        {str(number): one.gradients for number, one in enumerate(random)},
    )
    known = {family: one.invariant for family, one in bases.items()}
    lines = [
        "| shapes | norms, deviations: largest difference | kurtosis, trained | kurtosis, random | "
        "TensorGuard sorts the random model to | the invariant fingerprint to |",
        "|---|---:|---:|---:|---|---|",
    ]
    for number, one in enumerate(random):
        base = next(b for b in bases.values() if b.model.shapes == one.model.shapes)
        ours, theirs = (dict(zip(FEATURES, d.gradients.values, strict=True)) for d in (base, one))
        sized = [name for name in FEATURES if name.endswith(("_norm", "_std")) and ours[name]]
        apart = max(abs(theirs[name] / ours[name] - 1) for name in sized)
        tails = f"{ours['global_kurtosis']:.2f} | {theirs['global_kurtosis']:.2f}"
        nearest = nearest_base(one.invariant, known)
        lines.append(
            f"| {one.model.shapes} | {100 * apart:.1f} % | {tails} | {_own(found.labels[str(number)], base)} | "
            f"{_nearest(nearest)} |"
        )
    return "\n".join(lines)


def width_table() -> str:
    """Return how far apart two models are whose weights are all random, by their width."""
    sized = [number for number, name in enumerate(FEATURES) if name.endswith(("_norm", "_std"))]
    tails = FEATURES.index("global_kurtosis")
    lines = [
        "| width | norms, deviations: largest difference | kurtosis of one | kurtosis of the other |",
        "|---:|---:|---:|---:|",
    ]
    for width in WIDTHS:
        one, other = (TensorGuard().fingerprint_tensors(_drawn(width, seed)).values for seed in (1, 2))
        apart = max(abs(other[number] / one[number] - 1) for number in sized)
        lines.append(f"| {width:,} | {100 * apart:.2f} % | {one[tails]:.2f} | {other[tails]:.2f} |")
    return "\n".join(lines)


def _drawn(width: int, seed: int) -> dict[str, Tensor]:
    """Return an embedding, an attention and an MLP matrix of a width, with random weights."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {"embed.weight": (4 * width, width), "attn.weight": (width, width), "mlp.weight": (2 * width, width)}
    return {name: RANDOM_STD * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def _own(family: str, base: Described) -> str:
    return "the base of its shapes" if family == base.model.family else family


def _nearest(found: NearestBase) -> str:
    if not found.descends or found.similarity is None:
        score = "" if found.similarity is None else f" (likeness {found.similarity.score:.2f})"
        return f"none{score}"
    return f"{found.name} (likeness {found.similarity.score:.2f})"
