"""Dendrograms of all models by both fingerprints, and the curves of recognition."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.cluster.hierarchy import dendrogram, linkage
from scipy.spatial.distance import squareform

from benchmarks.lineage.described import Described
from benchmarks.lineage.pairs import Pair, curve, questions
from mergeguard_hub.fingerprint import family_distances
from mergeguard_hub.fingerprint.plots import distances

_DPI = 120


def draw_dendrograms(pool: Sequence[Described], file: Path, *, title: str) -> None:
    """Draw models as leaves, one colour for each family, by TensorGuard (left) and by the invariant (right)."""
    figure = Figure(figsize=(11, 0.155 * len(pool) + 1.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw(left, pool, family_distances([one.gradients for one in pool]))
    left.set_title("TensorGuard: distance of standardised features", fontsize=10, loc="left")
    _draw(right, pool, distances({str(n): one.invariant for n, one in enumerate(pool)}))
    right.set_title("invariant fingerprint: distance", fontsize=10, loc="left")
    figure.suptitle(title, fontsize=11)
    figure.savefig(file, dpi=_DPI, bbox_inches="tight", pad_inches=0.15)


def draw_curves(pairs: Sequence[Pair], file: Path) -> None:
    """Draw the true positives found at each rate of false positives."""
    asked = {title: both for title, both in questions(pairs).items() if all(both)}
    figure = Figure(figsize=(4.2 * len(asked), 3.6), layout="constrained")
    panels = figure.subplots(1, len(asked), squeeze=False, sharey=True)[0]
    for axes, (title, (positives, negatives)) in zip(panels, asked.items(), strict=True):
        least = 1 / len(negatives)
        for name, style, score in (
            ("invariant", "-", lambda pair: -pair.invariant.distance),
            ("TensorGuard", "--", lambda pair: -pair.distance),
        ):
            found = curve([score(pair) for pair in positives], [score(pair) for pair in negatives])
            axes.step(np.maximum(found.false, least / 2), found.true, style, where="post", label=name)
        axes.axvline(1e-3, color="grey", linewidth=0.8, linestyle=":")
        axes.set_xscale("log")
        axes.set_title(title, fontsize=9, loc="left")
        axes.set_xlabel(f"rate of false positives ({len(negatives):,} pairs)", fontsize=9)
        axes.set_ylim(-0.03, 1.03)
    panels[0].set_ylabel("found")
    panels[len(panels) // 2].legend(loc="center left", bbox_to_anchor=(0.08, 0.5), frameon=False)
    figure.savefig(file, dpi=_DPI)


def _draw(axes: Axes, pool: Sequence[Described], apart: NDArray[np.float64]) -> None:
    families = list(dict.fromkeys(one.model.family for one in pool))
    palette = colormaps["tab10" if len(families) <= 10 else "tab20"]
    tree = linkage(squareform(apart, checks=False), method="average")
    labels = [f"{one.model.family} {one.model.name}" for one in pool]
    shown = dendrogram(
        tree,
        labels=labels,
        orientation="right",
        ax=axes,
        color_threshold=0,
        above_threshold_color="#555555",
        leaf_font_size=6,
    )
    for text, leaf in zip(axes.get_yticklabels(), shown["leaves"], strict=True):
        text.set_color(palette(families.index(pool[leaf].model.family)))
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.set_xlim(right=1.02 * tree[-1, 2])
    axes.tick_params(axis="x", labelsize=8)
