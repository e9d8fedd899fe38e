"""TensorGuard (arXiv 2506.01631) as its paper and its authors' code go about it, with autograd on every gradient."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

NOISES = ["adversarial", "structured", "gaussian", "low_frequency", "high_frequency"]


def fingerprint(weights: Mapping[str, Tensor], *, samples: int = 15) -> dict[str, float]:
    """The fourteen features, in no order; a group without matrices has none."""
    matrices = {name: weights[name].float() for name in sorted(weights) if weights[name].ndim == 2 and shallow(name)}
    random = np.random.RandomState(0)
    layers = {}
    for name in selected(list(matrices), random):
        rows = []
        for _ in range(samples):
            x = perturbation(matrices, name, random.choice(NOISES))
            rows.append(statistics(gradient(matrices[name], x)))
        layers[name] = np.mean(rows, axis=0)
    found = dict(
        zip(
            ["global_mean", "global_std", "global_norm", "global_skewness", "global_kurtosis"],
            np.mean(list(layers.values()), axis=0),
            strict=True,
        )
    )
    for kind in ("attention", "ffn", "embedding"):
        rows = [row for name, row in layers.items() if layer_type(name) == kind]
        if rows:
            for number, feature in enumerate(("mean", "std", "norm")):
                found[f"{kind}_{feature}"] = np.mean([row[number] for row in rows])
    return found


def shallow(name: str) -> bool:
    """Layers above number 15 are left out."""
    return "layers." not in name or int(name.split("layers.")[1].split(".")[0]) <= 15


def layer_type(name: str) -> str:
    """What the features of a matrix are counted under."""
    name = name.lower()
    if "attention" in name or "attn" in name:
        return "attention"
    if "ffn" in name or "mlp" in name:
        return "ffn"
    return "embedding" if "embed" in name else "unknown"


def selected(names: list[str], random: np.random.RandomState) -> list[str]:
    """Up to three matrices of each of four groups, filled up to ten."""
    if len(names) <= 10:
        return names
    embed = [name for name in names if "embed" in name.lower()]
    rest = [name for name in names if name not in embed]
    groups = [embed, *([name for name in rest if layer_type(name) == kind] for kind in ("attention", "ffn", "unknown"))]
    chosen = []
    for group in groups:
        if group:
            chosen += [group[i] for i in np.linspace(0, len(group) - 1, min(3, len(group)), dtype=int)]
    if len(chosen) < 10:
        left = [name for name in names if name not in chosen]
        chosen += list(random.choice(left, min(10 - len(chosen), len(left)), replace=False))
    return chosen


def perturbation(matrices: Mapping[str, Tensor], name: str, noise: str) -> Tensor:
    """x [1, in], always from seed 0, and its noise."""
    torch.manual_seed(0)
    x = torch.randn(1, matrices[name].shape[1])
    if noise == "gaussian":
        return x + 0.1 * torch.randn_like(x)
    if noise == "adversarial":
        first = next(matrix for matrix in matrices.values() if matrix.shape[1] == x.shape[1])
        leaf = x.clone().requires_grad_(True)
        scores = leaf @ first.T
        target = torch.randint(0, scores.shape[1], (1,))
        (slope,) = torch.autograd.grad(torch.nn.functional.cross_entropy(scores, target), leaf)
        return x + 0.03 * slope.sign()
    spectrum = torch.fft.rfft(x)
    mask = torch.zeros_like(spectrum)
    bins = spectrum.shape[-1]
    kept, scale = {
        "structured": (slice(0, bins // 4), 1.0),
        "low_frequency": (slice(0, bins // 8), 0.1),
        "high_frequency": (slice(bins // 2, None), 0.1),
    }[noise]
    mask[:, kept] = 1
    return x + scale * torch.fft.irfft(spectrum * mask, n=x.shape[-1])


def gradient(matrix: Tensor, x: Tensor) -> NDArray[np.float32]:
    """d ||x W^T|| / dW, as a whole."""
    leaf = matrix.clone().requires_grad_(True)
    (slope,) = torch.autograd.grad((x @ leaf.T).norm(), leaf)
    return slope.numpy()


def statistics(slope: NDArray[np.float32]) -> list[float]:
    """Mean, deviation, norm, and of half a million entries of a large gradient skewness and kurtosis."""
    sample = slope.flatten()
    if slope.size > 1_000_000:
        sample = sample[np.random.RandomState(0).choice(slope.size, 500_000, replace=False)]
    return [
        float(np.mean(slope)),
        float(np.std(slope)),
        float(np.linalg.norm(slope)),
        float(stats.skew(sample)),
        float(stats.kurtosis(sample)),
    ]
