"""Fingerprints as pictures: layers against layers, and a set of models as a tree."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mergeguard_hub.errors import FingerprintError
from mergeguard_hub.fingerprint.compare import compare
from mergeguard_hub.fingerprint.layers import compare_layers
from mergeguard_hub.fingerprint.record import Fingerprint

if TYPE_CHECKING:
    from matplotlib.figure import Figure

UNRELATED = 2.0**0.5  # distance of models that have nothing to do with each other, or cannot be compared
_MOST_LABELS = 40


def plot_layers(ours: Fingerprint, theirs: Fingerprint, path: str | Path) -> None:
    """Draw how alike every layer of one model is to every layer of another.

    Args:
        ours: rows.
        theirs: columns.
        path: PNG file to write.

    Raises:
        FingerprintError: matplotlib is not installed, or a model has no layers.
    """
    found = compare_layers(ours, theirs)
    figure = _figure()
    width, height = (max(3.2, 0.22 * min(_MOST_LABELS, n) + 2.2) for n in (len(found.theirs), len(found.ours)))
    figure.set_size_inches(width, height)
    axes = figure.subplots()
    axes.set_facecolor("#dddddd")  # layers with nothing in common
    image = axes.imshow(found.scores, vmin=-1, vmax=1, cmap="RdBu_r", aspect="auto")
    for axis, names in ((axes.xaxis, found.theirs), (axes.yaxis, found.ours)):
        step = -(-len(names) // _MOST_LABELS)
        axis.set_ticks(range(0, len(names), step), _short(names)[::step], fontsize=8)
    if max(map(len, _short(found.theirs))) > 3:
        axes.tick_params(axis="x", labelrotation=90)
    axes.set_xlabel(f"layers of {theirs.name}")
    axes.set_ylabel(f"layers of {ours.name}")
    figure.colorbar(image, label="score")
    figure.savefig(Path(path), dpi=130, format="png")


def plot_tree(models: Mapping[str, Fingerprint], path: str | Path) -> None:
    """Draw a set of models as a tree of their distances, average linkage.

    Args:
        models: by name, two at least; of any architectures.
        path: PNG file to write.

    Raises:
        FingerprintError: matplotlib is not installed, or there are fewer than two models.
    """
    if len(models) < 2:
        raise FingerprintError(f"a tree of {len(models)} models says nothing; give at least two.")
    figure = _figure()
    from scipy.cluster.hierarchy import dendrogram, linkage
    from scipy.spatial.distance import squareform

    figure.set_size_inches(7.0, 0.24 * len(models) + 1.2)
    axes = figure.subplots()
    tree = linkage(squareform(distances(models), checks=False), method="average")
    grey = "#555555"
    dendrogram(tree, labels=list(models), orientation="left", ax=axes, link_color_func=lambda _: grey)
    axes.axvline(UNRELATED, color="#b2182b", linewidth=0.8, linestyle=":")
    axes.set_xlabel("distance (dotted: nothing in common)")
    axes.tick_params(axis="y", labelsize=8)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    figure.savefig(Path(path), dpi=130, format="png")


def distances(models: Mapping[str, Fingerprint]) -> np.ndarray:
    """Return the distance of every two models, [models, models]; sqrt(2) where architectures differ."""
    found = np.zeros((len(models), len(models)))
    for i, one in enumerate(models.values()):
        for j, two in enumerate(models.values()):
            if j > i:
                found[i, j] = found[j, i] = _distance(one, two)
    return found


def _distance(one: Fingerprint, two: Fingerprint) -> float:
    try:
        return min(UNRELATED, compare(one, two).distance)
    except FingerprintError:
        return UNRELATED


def _short(names: tuple[str, ...]) -> list[str]:
    """Leave out what all names of layers begin with."""
    heads = {name.rpartition(".")[0] for name in names}
    return [name.rpartition(".")[2] for name in names] if len(heads) == 1 else list(names)


def _figure() -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise FingerprintError("Plots need matplotlib: pip install 'mergeguard-hub[audit]'.") from error
    return Figure(layout="constrained")
