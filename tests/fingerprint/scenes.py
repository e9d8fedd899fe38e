"""Layouts of tiny models, proved once, and their weights as tensors."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mergeguard_hub.architecture import Layout
from mergeguard_hub.checkpoint import Checkpoint
from mergeguard_hub.fingerprint import Component, Fingerprint
from mergeguard_hub.fingerprint.measuring import measure
from mergeguard_hub.fingerprint.reading import layout_of
from mergeguard_hub.fingerprint.record import PUBLIC
from mergeguard_hub.fingerprint.spectra import measure_spectra
from mergeguard_hub.protection import Facts, Key, Recipe
from mergeguard_hub.protection.actions import compose_plan, draw_actions
from tests import tiny
from tests.release.releases import fine_tuned

KEY = Key(bytes(range(32)))
Tensors = dict[str, Tensor]
# One block less each way: proving the whole of it takes longer than everything else here.
_UNET = {
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "block_out_channels": (16, 32),
    "layers_per_block": 1,
}
_SMALLER: dict[str, dict[str, Any]] = {"unet": _UNET}


@dataclass(frozen=True, eq=False)
class Scene:
    """A tiny model: what was proved of its class, and its weights as they are on disk, float32."""

    layout: Layout
    tensors: Tensors


@cache
def scene(family: str) -> Scene:
    """Return a family's base model."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Checkpoint.open(
            tiny.save(tiny.FAMILIES[family](**_SMALLER.get(family, {})), Path(folder) / "model")
        )
        return Scene(layout_of(checkpoint)[0], _copied(checkpoint))


@cache
def weights(family: str, *, seed: int = 0, step: float = 0.0) -> Tensors:
    """Return the weights of another model of a family: from another seed, or a fine-tune of `scene` by `step`."""
    over = _SMALLER.get(family, {})
    model = fine_tuned(family, seed=seed, step=step, **over) if step else tiny.FAMILIES[family](seed=seed, **over)
    with tempfile.TemporaryDirectory() as folder:
        return _copied(Checkpoint.open(tiny.save(model, Path(folder) / "model")))


def _copied(checkpoint: Checkpoint) -> Tensors:
    return {name: checkpoint.tensor(name).clone() for name in checkpoint.entries}


def protected(layout: Layout, tensors: Tensors, recipe: Recipe, *, key: Key = KEY) -> tuple[Tensors, frozenset[str]]:
    """Return the protected weights and the names of those that moved."""
    dtypes = {torch.float64: "F64", torch.float32: "F32", torch.bfloat16: "BF16"}
    facts = Facts({name: dtypes.get(tensor.dtype, "I64") for name, tensor in tensors.items()})
    actions = draw_actions(layout.spaces, recipe=recipe, key=key, component="", facts=facts)
    plan = compose_plan({name: tuple(tensor.shape) for name, tensor in tensors.items()}, list(actions))
    moved = {name: plan.apply(name, tensors[plan.source.get(name, name)]) for name in tensors}
    return moved, frozenset(plan.moved)


def taken(family: str, tensors: Tensors, *, name: str = "model", secret: str = "") -> Fingerprint:
    """Return the fingerprint of weights, as `fingerprint_folder` would take it of a folder in float32."""
    layout = scene(family).layout
    forms, spectra = measure(layout, tensors, secret=secret), measure_spectra(layout, tensors)
    component = Component("Tiny", "F32", sum(tensor.numel() for tensor in tensors.values()))
    return Fingerprint(name, {"": component}, tuple(forms), tuple(spectra), f"secret-{secret}" if secret else PUBLIC)


def mixed(base: Tensors, parts: Mapping[float, Tensors]) -> Tensors:
    """Return the base plus weighted task vectors."""
    return {
        name: tensor + sum(weight * (part[name] - tensor) for weight, part in parts.items())
        for name, tensor in base.items()
    }
