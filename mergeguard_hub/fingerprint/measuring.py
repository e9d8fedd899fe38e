"""The forms of one component, one block at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from mergeguard_hub.architecture.block import Attention, Mlp
from mergeguard_hub.architecture.layout import Layout
from mergeguard_hub.errors import FingerprintError
from mergeguard_hub.fingerprint.forms import (
    Reader,
    attention_forms,
    channel_forms,
    mlp_forms,
    place_of,
    rest_form,
    scaled_norms,
    shared_form,
)
from mergeguard_hub.fingerprint.probes import Probes
from mergeguard_hub.fingerprint.record import Form

REST = 4  # probes of a matrix that belongs to no block: there are many of them in a UNet, our choice
Tensors = Mapping[str, Tensor]


def measure(layout: Layout, tensors: Tensors, *, component: str = "", secret: str = "") -> list[Form]:
    """Return every form of a component.

    Args:
        layout: what was proved of it.
        tensors: its weights; only one block's are read at a time, each once.
        component: its name.
        secret: of the probes, see `Probes`.

    Raises:
        FingerprintError: a form is NaN or infinite, because a weight is.
    """
    probes = Probes(layout, tensors, secret=secret)
    total: dict[tuple[str, str], Tensor] = {}
    for place, kind, form in _forms(layout, tensors, probes):
        total[place, kind] = total.get((place, kind), 0) + form
    total |= {(name, "embedding"): gram for name, gram in _embeddings(probes)}
    return [_form(component, *key, form) for key, form in sorted(total.items())]


def _form(component: str, place: str, kind: str, values: Tensor) -> Form:
    if not bool(torch.isfinite(values).all()):
        raise FingerprintError(
            f"{place} holds NaN or infinite values, or its products overflow. Training probably diverged, or the file "
            "is damaged: repair or re-export the model first."
        )
    return Form(component, place, kind, values.float().numpy())


def _forms(layout: Layout, tensors: Tensors, probes: Probes) -> Iterator[tuple[str, str, Tensor]]:
    taken: set[str] = set()
    scaled = scaled_norms(layout)
    blocks: list[Attention | Mlp] = [*layout.attentions, *layout.mlps]
    for block in blocks:
        taken |= set(block.weights)
        reader = Reader(tensors, probes)
        if isinstance(block, Attention):
            found = attention_forms(block, reader, gains=block.prefix in scaled)
        else:
            found = mlp_forms(block, reader)
        for kind, form in found:
            yield place_of(block), kind, form
    for space in layout.spaces:
        if space.kind == "channels" and space.name.endswith("/groups"):
            taken |= set(space.tensors)
            for kind, form in channel_forms(space, Reader(tensors, probes)):
                yield space.prefix, kind, form
    yield from _rest(layout, tensors, probes, taken)


def _rest(layout: Layout, tensors: Tensors, probes: Probes, taken: set[str]) -> Iterator[tuple[str, str, Tensor]]:
    moved: dict[str, set[tuple[str, int]]] = {}
    for space in layout.spaces:
        if space.kind not in ("residual", "norm"):
            for port in space.ports:
                moved.setdefault(port.tensor, set()).add((space.kind, port.axis))
            for family in space.families:
                for name in family:
                    moved.setdefault(name, set()).add((space.kind, -1))
    for name, tensor in tensors.items():
        if name in taken or tensor.ndim < 2 or not tensor.is_floating_point():
            continue
        reader, acting = Reader(tensors, probes), moved.get(name, set())
        if not acting:
            form = rest_form(name, reader, REST)
        elif tensor.ndim == 2 and acting == {("experts", 0)}:
            form = shared_form(name, 0, reader)
        else:
            form = None
        if form is not None:
            yield name, "matrix", form


def _embeddings(probes: Probes) -> Iterator[tuple[str, Tensor]]:
    for name, anchor in probes.anchors.items():
        if name in probes.raw:
            yield anchor.port.tensor, probes.raw[name]
