"""Whose weights are these: fingerprints of model folders, and what they say of where a model comes from."""

from __future__ import annotations

from mergeguard_hub.fingerprint.families import Families, family_distances
from mergeguard_hub.fingerprint.tensorguard import FEATURES, GradientFingerprint, TensorGuard

__all__ = [
    "FEATURES",
    "Families",
    "GradientFingerprint",
    "TensorGuard",
    "family_distances",
]
