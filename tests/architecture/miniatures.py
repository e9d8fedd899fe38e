"""Miniatures and proofs of the tiny families, each made once per test run."""

from __future__ import annotations

from functools import cache
from typing import Any

from mergeguard_hub.architecture import Miniature, Names, Proof, prove
from tests import tiny


def config_of(model: Any) -> dict[str, Any]:
    """Return config.json of a model, as it would be saved."""
    if hasattr(model.config, "to_dict"):
        return {**model.config.to_dict(), "architectures": [type(model).__name__]}
    return {**model.config, "_class_name": type(model).__name__}


@cache
def miniature(family: str) -> Miniature:
    """Return the miniature of a family."""
    return Miniature(config_of(tiny.FAMILIES[family]()))


@cache
def proof(family: str) -> Proof:
    """Return what was proved on it."""
    return prove(miniature(family))


def names_of(found: Miniature) -> Names:
    """Return names, shapes and configuration of a miniature."""
    return Names({name: tuple(tensor.shape) for name, tensor in found.state.items()}, found.config)
