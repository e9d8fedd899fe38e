"""Probes: directions in which a model's maps are measured, given in a form that no protection can move.

Whatever stands in a fixed order (vocabulary, pixels of a patch, text features from another model) is probed with fixed
random signs. The residual stream is not in a fixed order, since a release may shuffle it. Its probes are therefore
built of the model's own embeddings: E of chosen tokens, made orthonormal among themselves and mixed by fixed random
signs. A signed permutation (or a rotation) of the residual stream carries the probes along with every matrix that reads
or writes it, so that whatever is measured between probes stays as it was. Where a norm's gain may be moved into its
readers, the readers' probes are multiplied by the gain, which moves it back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mergeguard_hub.architecture.layout import Layout
from mergeguard_hub.architecture.names import template_of
from mergeguard_hub.architecture.space import Port, Space
from mergeguard_hub.fingerprint.signs import chosen, signs

PROBES = 12  # per axis: 144 numbers a form, so that 32 layers take about 100 kB, our choice
TOKENS = 256  # rows of an embedding that its probes are mixed from, at most half the width, our choice
_RIDGE = 1e-2  # of the mean eigenvalue: tokens that were never trained have all the same embedding
_EMBEDDINGS = ("embed", "wte", "shared", "word")
_LATER = ("position", "wpe", "token_type", "cls_token", "head", "embed_out")
Tensors = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Anchor:
    """The tensor that a residual stream is anchored to.

    Attributes:
        port: where the stream lies in it.
        rows: how many other entries it has: tokens, pixels of a patch, positions.
    """

    port: Port
    rows: int


class Probes:
    """Probes along every axis of one component's tensors, made when they are first asked for.

    Attributes:
        anchors: name of each residual space -> what it is anchored to.
        raw: name of each residual space -> Gram matrix of its probes before they were made orthonormal.
    """

    def __init__(self, layout: Layout, tensors: Tensors, *, secret: str = "") -> None:
        """Make no probe yet.

        Args:
            layout: what was proved of the component.
            tensors: its weights.
            secret: what signs and tokens are chosen by besides; "" for those that everybody knows.
        """
        self._tensors = tensors
        self._secret = secret
        self._streams = {
            (port.tensor, port.axis): space
            for space in layout.spaces
            if space.kind == "residual"
            for port in space.ports
        }
        self._gains = absorbed_gains(layout.spaces)
        self._made: dict[str, Tensor] = {}
        self.raw: dict[str, Tensor] = {}
        self.anchors = {space.name: found for space, found in _anchors(layout.spaces, tensors)}

    def residual(self, name: str) -> list[int]:
        """Return the axes of a tensor that run over a residual stream that a release may shuffle."""
        return [axis for axis in range(self._tensors[name].ndim) if (name, axis) in self._streams]

    def absorbs(self, name: str) -> bool:
        """Whether a norm's gain may move into a tensor, on any of its axes."""
        return any((name, axis) in self._gains for axis in range(self._tensors[name].ndim))

    def at(self, name: str, axis: int) -> Tensor | None:
        """Return [probes, length] for one axis of a tensor; None where the stream has nothing to be anchored to."""
        space = self._streams.get((name, axis))
        length = self._tensors[name].shape[axis]
        probe = self.fixed(length) if space is None else self._anchored(space)
        if probe is None:
            return None
        for gain in self._gains.get((name, axis), ()):
            probe = probe * self._tensors[gain].float()
        return probe

    def fixed(self, length: int, count: int = PROBES) -> Tensor:
        """Return [count, length] of fixed random signs, for an axis in a fixed order."""
        label = f"fixed {length}"
        if label not in self._made:
            self._made[label] = torch.from_numpy(signs(self._secret + label, PROBES, length))
        return self._made[label][:count]

    def _anchored(self, space: Space) -> Tensor | None:
        anchor = self.anchors.get(space.name)
        if anchor is None:
            return None
        if space.name not in self._made:
            tokens = self._tokens(space, anchor)
            count = len(tokens)
            gram = tokens @ tokens.T
            values, vectors = torch.linalg.eigh(gram + _RIDGE * gram.diagonal().mean() * torch.eye(count).double())
            mixed = torch.from_numpy(signs(f"{self._secret}mix {count}", PROBES, count)).double()
            self._made[space.name] = ((mixed @ (vectors / values.sqrt()) @ vectors.T) @ tokens).float()
            self.raw[space.name] = (mixed @ gram @ mixed.T).float()
        return self._made[space.name]

    def _tokens(self, space: Space, anchor: Anchor) -> Tensor:
        """Return the rows that probes are mixed from, [tokens, width], float64."""
        among = 1 << (anchor.rows.bit_length() - 1)  # so that a few added tokens change no choice
        count = min(TOKENS, among, max(PROBES, space.size // 2))
        rows = self._tensors[anchor.port.tensor].movedim(anchor.port.axis, -1).reshape(anchor.rows, -1)
        at = torch.from_numpy(anchor.port.positions[:, 0])
        return rows[torch.from_numpy(chosen(f"{self._secret}tokens {among}", count, among))].double()[:, at]


def absorbed_gains(spaces: Sequence[Space]) -> dict[tuple[str, int], list[str]]:
    """Return (tensor, axis) of every reader of a norm whose gain may move into it -> the gains' names."""
    found: dict[tuple[str, int], list[str]] = {}
    for space in spaces:
        if space.kind == "norm":
            for port in space.ports:
                if port.scale < 0:
                    found.setdefault((port.tensor, port.axis), []).append(space.ports[0].tensor)
    return found


def _anchors(spaces: Sequence[Space], tensors: Tensors) -> Iterator[tuple[Space, Anchor]]:
    taken = {(port.tensor, port.axis) for space in spaces if space.kind != "residual" for port in space.ports}
    for space in spaces:
        if space.kind != "residual":
            continue
        found = []
        for port in space.ports:
            shape = tensors[port.tensor].shape
            free = all((port.tensor, axis) not in taken for axis in range(len(shape)))
            rows = int(np.prod(shape)) // shape[port.axis]
            if port.sign and free and rows > 1 and template_of(port.tensor) == port.tensor:
                found.append((_likelihood(port.tensor), -rows, port.tensor, Anchor(port, rows)))
        if found:
            yield space, min(found, key=lambda entry: entry[:3])[3]


def _likelihood(name: str) -> int:
    lowered = name.lower()
    return 2 * any(mark in lowered for mark in _LATER) + (not any(mark in lowered for mark in _EMBEDDINGS))
