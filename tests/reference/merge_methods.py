"""Merge methods written down as their papers have them, in float64 and with loops: slow, and nothing to go wrong.

Each takes flat vectors or matrices of one tensor and returns the merged one. They share no code with the package.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def ties(base: Array, models: Sequence[Array], *, density: float, scale: float) -> Array:
    """Yadav et al. 2023, algorithm 1, on the flattened model."""
    vectors = [model - base for model in models]
    kept = max(1, round(density * base.size))
    trimmed = []
    for vector in vectors:
        smallest = sorted(np.abs(vector), reverse=True)[kept - 1]
        trimmed.append([value if abs(value) >= smallest else 0.0 for value in vector])
    sums = [sum(row[i] for row in trimmed) for i in range(base.size)]
    majority = float(np.sign(sum(np.sign(value) for value in sums)))
    merged = []
    for i in range(base.size):
        sign = float(np.sign(sums[i])) or majority
        agreeing = [row[i] for row in trimmed if row[i] != 0 and np.sign(row[i]) == sign]
        merged.append(sum(agreeing) / len(agreeing) if agreeing else 0.0)
    return base + scale * np.array(merged)


def model_stock(base: Array, models: Sequence[Array]) -> Array:
    """Jang et al. 2024: t = N cos / (1 + (N - 1) cos)."""
    vectors = [model - base for model in models]
    count = len(vectors)
    cosines = [
        float(vectors[i] @ vectors[j]) / math.sqrt(float(vectors[i] @ vectors[i]) * float(vectors[j] @ vectors[j]))
        for i in range(count)
        for j in range(i)
    ]
    cosine = sum(cosines) / len(cosines)
    t = count * cosine / (1 + (count - 1) * cosine)
    return t * sum(models) / count + (1 - t) * base


def slerp(first: Array, second: Array, *, t: float) -> Array:
    """Shoemake 1985, on flattened tensors."""
    cosine = float(first @ second) / (math.sqrt(float(first @ first)) * math.sqrt(float(second @ second)))
    angle = math.acos(cosine)
    return (math.sin((1 - t) * angle) * first + math.sin(t * angle) * second) / math.sin(angle)


def tsv_merge(base: Array, models: Sequence[Array], *, scale: float) -> Array:
    """Gargiulo et al. 2025, algorithm 1, of one matrix."""
    count, rank = len(models), min(base.shape)
    kept = rank // count
    left = np.zeros((base.shape[0], count * kept))
    middle = np.zeros(count * kept)
    right = np.zeros((count * kept, base.shape[1]))
    for i, model in enumerate(models):
        u, s, vt = np.linalg.svd(model - base, full_matrices=False)
        part = slice(i * kept, (i + 1) * kept)
        left[:, part], middle[part], right[part] = u[:, :kept], s[:kept], vt[:kept]
    p_u, _, q_u = np.linalg.svd(left, full_matrices=False)
    p_v, _, q_v = np.linalg.svd(right, full_matrices=False)
    return base + scale * np.linalg.multi_dot([p_u, q_u, np.diag(middle), p_v, q_v])


def iso_c(base: Array, models: Sequence[Array], *, scale: float) -> Array:
    """Marczak et al. 2025: every singular value of the sum becomes their mean."""
    u, s, vt = np.linalg.svd(sum(model - base for model in models), full_matrices=False)
    return base + scale * (u @ np.diag(np.full(len(s), s.mean())) @ vt)


def boosted(base: Array, merged: Array, *, beta: float) -> Array:
    """Skorobogat et al. 2025, of one merged matrix."""
    u, s, vt = np.linalg.svd(merged - base, full_matrices=False)
    cumulative, cut = 0.0, len(s) - 1
    for j, value in enumerate(s):
        cumulative += value / s.sum()
        if cumulative >= beta:
            cut = j
            break
    return base + u @ np.diag([max(value, s[cut]) for value in s]) @ vt


def breadcrumbs(base: Array, models: Sequence[Array], *, density: float, gamma: float, scale: float) -> Array:
    """Davari and Belilovsky 2024, of one flattened tensor."""
    total = np.zeros(base.size)
    for model in models:
        vector = model - base
        order = sorted(range(base.size), key=lambda i: -abs(vector[i]))
        dropped, kept = math.floor(gamma * base.size), max(1, round(density * base.size))
        for i in order[dropped : dropped + kept]:
            total[i] += vector[i]
    return base + scale * total
