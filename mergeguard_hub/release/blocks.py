"""Every block of a release against the original, on random inputs.

A released block reads and writes the residual stream in the release's own basis, which the plan knows: inputs are
carried into it and expected outputs too. What is left is compared as numbers, so rounding, overflow and a wrong
offset all show.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mergeguard_hub.architecture.action import Plan
from mergeguard_hub.architecture.block import Attention, Mlp, Part
from mergeguard_hub.architecture.miniature import relative
from mergeguard_hub.architecture.steps import Gather

TOKENS = {Attention: 2, Mlp: 1}  # as few as show everything: a softmax needs something to weigh
_PIECE = 512 << 10  # weights widened to float32 at a time: they stay in the processor's cache, our choice
_SEED = 20260104
Reader = Callable[[str], Tensor]


def block_drift(block: Attention | Mlp, plan: Plan, *, read: Reader, read_release: Reader) -> float:
    """Return the largest relative output error of one block, in float32, on random inputs; of experts, of any.

    Args:
        block: an attention or MLP of the layout.
        plan: what was done.
        read: tensor name -> original weights of what is stored under it.
        read_release: tensor name -> released weights.
    """
    last = block.output if isinstance(block, Attention) else block.down
    shape = plan.shapes[last.weight]
    worst = 0.0
    for expert in range(shape[0] if len(shape) == 3 else 1):
        expected = _run(block, _Side(plan, read, expert, TOKENS[type(block)], released=False))
        actual = _run(block, _Side(plan, read_release, expert, TOKENS[type(block)], released=True))
        for move in _moves(plan, last.weight, _other_axis(plan, last)):
            expected = expected[:, torch.from_numpy(move.index)] * torch.from_numpy(move.factor).float()
        worst = max(worst, relative(expected, actual))
    return worst


@dataclass(frozen=True, eq=False)
class _Side:
    """The weights of the original or of the release, as maps of [tokens, width].

    Attributes:
        plan: what was done.
        read: tensor name -> weights.
        expert: which one, of stacked experts, as the release counts them.
        tokens: how many inputs.
        released: which side it is.
        products: weight -> its product with the inputs, where several parts share it.
        wide: buffer for weights in float32.
    """

    plan: Plan
    read: Reader
    expert: int
    tokens: int
    released: bool
    products: dict[str, Tensor] = field(default_factory=dict)
    wide: Tensor = field(default_factory=lambda: torch.empty(_PIECE))

    def rows(self, part: Part) -> Tensor:
        """Return the part's units on random inputs, [tokens, *positions.shape]."""
        if part.weight not in self.products:
            axis = _other_axis(self.plan, part)
            inputs = self._inputs(part.weight, axis)
            self.products[part.weight] = self._product(part.weight, inputs, last=axis > part.axis)
        at = torch.from_numpy(part.positions)
        result = self.products[part.weight][:, at]
        return result if part.bias is None else result + self.read(part.bias).float()[at]

    def columns(self, part: Part, hidden: Tensor) -> Tensor:
        """Return the output map of units [tokens, *positions.shape], as [tokens, width]."""
        placed = torch.zeros(self.tokens, self.plan.shapes[part.weight][part.axis])
        placed[:, torch.from_numpy(part.positions.reshape(-1))] = hidden.reshape(self.tokens, -1)
        return self._product(part.weight, placed, last=part.axis > _other_axis(self.plan, part))

    def _inputs(self, weight: str, axis: int) -> Tensor:
        """Return random inputs [tokens, width], the same for every matrix of that width, in the basis that it reads.

        The released one's is the inverse of what its columns went through.
        """
        width = self.plan.shapes[weight][axis]
        inputs = torch.randn(self.tokens, width, generator=torch.Generator().manual_seed(_SEED))
        for move in _moves(self.plan, weight, axis) if self.released else ():
            inputs = inputs[:, torch.from_numpy(move.index)] / torch.from_numpy(move.factor).float()
        return inputs

    def _matrix(self, name: str) -> Tensor:
        """Return a matrix, of stacked experts the one at hand."""
        tensor = self.read(name)
        if tensor.ndim == 2:
            return tensor
        expert = self.expert
        for move in reversed(_moves(self.plan, name, 0)) if not self.released else ():
            expert = int(move.index[expert])
        return tensor[expert]

    def _product(self, name: str, inputs: Tensor, *, last: bool) -> Tensor:
        """Multiply [tokens, width] by a matrix, along its last axis or its first, reading it once from front to end."""
        matrix = self._matrix(name)
        rows = max(1, _PIECE // matrix.shape[1])
        result = torch.zeros(self.tokens, matrix.shape[0 if last else 1])
        for start in range(0, matrix.shape[0], rows):
            wide = self._widened(matrix[start : start + rows])
            if last:
                result[:, start : start + rows] = inputs @ wide.T
            else:
                result.addmm_(inputs[:, start : start + rows], wide)
        return result

    def _widened(self, piece: Tensor) -> Tensor:
        if piece.dtype == torch.float32 or piece.numel() > len(self.wide):
            return piece.float()
        return self.wide[: piece.numel()].view(piece.shape).copy_(piece)


def _other_axis(plan: Plan, part: Part) -> int:
    return 2 * len(plan.shapes[part.weight]) - 3 - part.axis


def _moves(plan: Plan, weight: str, axis: int) -> list[Gather]:
    """Return what an axis of a matrix went through that is only ever moved and scaled: all but heads."""
    moves = plan.axes_of(weight).get(axis, [])
    if not all(isinstance(move, Gather) for move in moves):
        raise TypeError(f"{weight}: a mix on axis {axis} is only understood for heads")
    return [move for move in moves if isinstance(move, Gather)]


def _run(block: Attention | Mlp, side: _Side) -> Tensor:
    return _attend(block, side) if isinstance(block, Attention) else _feed(block, side)


def _feed(mlp: Mlp, side: _Side) -> Tensor:
    """down(act(gate) * up), or down(act(up)); the activation stands for any element-wise one with the same symmetry.

    None of them is ever zero, so that no unit can hide: the leaky one keeps positive factors, as ReLU does, and signs
    are only there where the model's own activation is odd.
    """
    up = side.rows(mlp.up)
    if mlp.gate is not None:
        return side.columns(mlp.down, torch.sigmoid(side.rows(mlp.gate)) * up)
    moves = _moves(side.plan, mlp.up.weight, mlp.up.axis)
    signs = any((move.factor < 0).any() for move in moves)
    return side.columns(mlp.down, up if signs else torch.nn.functional.leaky_relu(up, 0.25))


def _attend(attention: Attention, side: _Side) -> Tensor:
    """Softmax attention over the tokens, all at position zero, with norms on queries and keys where there are any.

    Queries, values' weights and outputs are [tokens, kv heads, queries per kv head, n], keys and values without the
    queries' axis.
    """
    query = _normed(side.rows(attention.query), attention.query_gain, side)
    key = _normed(side.rows(attention.key), attention.key_gain, side)
    scores = torch.einsum("tgrd,ugd->grtu", query, key)
    if attention.rotary_query is not None and attention.rotary_key is not None:
        shared = side.rows(attention.rotary_key)[:, 0]
        scores = scores + torch.einsum("tgrd,ud->grtu", side.rows(attention.rotary_query), shared)
    weights = torch.softmax(scores / scores.std().clamp_min(1e-12), -1)
    mixed = torch.einsum("grtu,ugd->tgrd", weights, side.rows(attention.value))
    if attention.gate is not None:
        mixed = mixed * torch.sigmoid(side.rows(attention.gate).reshape(mixed.shape))
    return side.columns(attention.output, mixed)


def _normed(heads: Tensor, gain: str | None, side: _Side) -> Tensor:
    """RMS norm over a head, or over all heads where the gain is that wide."""
    if gain is None:
        return heads
    weight = side.read(gain).float()
    axes = (-1,) if weight.numel() == heads.shape[-1] else tuple(range(1, heads.ndim))
    scale = heads.pow(2).mean(axes, keepdim=True).sqrt()
    return heads / scale * (weight.reshape(heads.shape[1:]) if len(axes) > 1 else weight)
