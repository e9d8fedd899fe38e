"""Whose weights are these: fingerprints of model folders, and what they say of where a model comes from."""

from __future__ import annotations

from mergeguard_hub.fingerprint.attribution import Attribution, attribute
from mergeguard_hub.fingerprint.classification import METHODS, Placement, by_invariants, by_tensorguard
from mergeguard_hub.fingerprint.compare import Similarity, compare
from mergeguard_hub.fingerprint.families import Families, family_distances
from mergeguard_hub.fingerprint.layers import LayerScores, compare_layers
from mergeguard_hub.fingerprint.lineage import Lineage, lineage
from mergeguard_hub.fingerprint.nearest import NearestBase, nearest_base
from mergeguard_hub.fingerprint.plots import plot_layers, plot_tree
from mergeguard_hub.fingerprint.reading import fingerprint_folder
from mergeguard_hub.fingerprint.record import Component, Fingerprint, Form
from mergeguard_hub.fingerprint.tensorguard import FEATURES, GradientFingerprint, TensorGuard

__all__ = [
    "FEATURES",
    "METHODS",
    "Attribution",
    "Component",
    "Families",
    "Fingerprint",
    "Form",
    "GradientFingerprint",
    "LayerScores",
    "Lineage",
    "NearestBase",
    "Placement",
    "Similarity",
    "TensorGuard",
    "attribute",
    "by_invariants",
    "by_tensorguard",
    "compare",
    "compare_layers",
    "family_distances",
    "fingerprint_folder",
    "lineage",
    "nearest_base",
    "plot_layers",
    "plot_tree",
]
