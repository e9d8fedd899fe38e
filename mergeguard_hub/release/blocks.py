"""Every block of a release against the original, on random inputs.

A released block reads and writes the residual stream in the release's own basis, which the plan knows: inputs are
carried into it and expected outputs too. What is left is compared as numbers, so rounding, overflow and a wrong
offset all show.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mergeguard_hub.architecture.action import Gather, Plan
from mergeguard_hub.architecture.block import Attention, Mlp, Part
from mergeguard_hub.architecture.miniature import relative

TOKENS = 4
_PIECE = 1 << 20  # weights widened at a time
Reader = Callable[[str], Tensor]


def block_drift(block: Attention | Mlp, plan: Plan, *, read: Reader, read_release: Reader) -> float:
    """Return the relative output error of one block, in float32, on random inputs.

    Args:
        block: an attention or MLP of the layout.
        plan: what was done.
        read, read_release: tensor name -> original and released weights.
    """
    last = block.output if isinstance(block, Attention) else block.down
    expected = _run(block, read, lambda part: _inputs(plan, part))
    actual = _run(block, read_release, lambda part: _carried(plan, part, _inputs(plan, part)))
    return relative(_moved(plan, last, expected), actual)


def _inputs(plan: Plan, part: Part) -> Tensor:
    """Random inputs [width, tokens], the same for every matrix of that width; cross-attention has two widths."""
    width = plan.shapes[part.weight][_other_axis(plan, part)]
    return torch.randn(width, TOKENS, generator=torch.Generator().manual_seed(20260104))


def _other_axis(plan: Plan, part: Part) -> int:
    return 2 * len(plan.shapes[part.weight]) - 3 - part.axis


def _carried(plan: Plan, part: Part, inputs: Tensor) -> Tensor:
    """Inputs [width, tokens] in the basis that the released matrix reads: the inverse of what its columns went through."""
    for step in plan.axes_of(part.weight).get(_other_axis(plan, part), []):
        if not isinstance(step, Gather):
            raise TypeError(f"{part.weight}: a mix on the residual stream is not supported")
        inputs = inputs[torch.from_numpy(step.index)] / torch.from_numpy(step.factor).float()[:, None]
    return inputs


def _moved(plan: Plan, part: Part, outputs: Tensor) -> Tensor:
    """Outputs [width, tokens] as the released block should write them."""
    for step in plan.axes_of(part.weight).get(_other_axis(plan, part), []):
        if isinstance(step, Gather):
            outputs = outputs[torch.from_numpy(step.index)] * torch.from_numpy(step.factor).float()[:, None]
    return outputs


def _run(block: Attention | Mlp, read: Reader, inputs: Callable[[Part], Tensor]) -> Tensor:
    return _attend(block, read, inputs) if isinstance(block, Attention) else _feed(block, read, inputs)


def _feed(mlp: Mlp, read: Reader, inputs: Callable[[Part], Tensor]) -> Tensor:
    """down(act(gate) * up), or down(act(up)); the activation stands for any element-wise one with the same symmetry."""
    up = _linear(mlp.up, read, inputs(mlp.up))
    hidden = torch.relu(up) if mlp.gate is None else torch.sigmoid(_linear(mlp.gate, read, inputs(mlp.gate))) * up
    return _columns(mlp.down, read, hidden)


def _attend(attention: Attention, read: Reader, inputs: Callable[[Part], Tensor]) -> Tensor:
    """Softmax attention over the tokens, all at position zero, with norms on queries and keys where there are any."""
    query = _linear(attention.query, read, inputs(attention.query)).view(*attention.query.positions.shape, TOKENS)
    key = _linear(attention.key, read, inputs(attention.key)).view(*attention.key.positions.shape, TOKENS)
    value = _linear(attention.value, read, inputs(attention.value)).view(*attention.value.positions.shape, TOKENS)
    query, key = _normed(query, attention.query_gain, read), _normed(key, attention.key_gain, read)
    scores = torch.einsum("grdt,gdu->grtu", query, key)
    weights = torch.softmax(scores / scores.std().clamp_min(1e-12), -1)
    mixed = torch.einsum("grtu,gdu->grdt", weights, value)
    if attention.gate is not None:
        gate = _linear(attention.gate, read, inputs(attention.gate)).view(*attention.gate.positions.shape, TOKENS)
        mixed = mixed * torch.sigmoid(gate)
    return _columns(attention.output, read, mixed.reshape(-1, TOKENS))


def _normed(heads: Tensor, gain: str | None, read: Reader) -> Tensor:
    """RMS norm over a head, or over all heads where the gain is that wide, [..., head_dim, tokens]."""
    if gain is None:
        return heads
    weight = read(gain).float()
    if weight.numel() == heads.shape[-2]:
        return heads / heads.pow(2).mean(-2, keepdim=True).sqrt() * weight.view(-1, 1)
    scale = heads.pow(2).mean(tuple(range(heads.ndim - 1)), keepdim=True).sqrt()
    return heads / scale * weight.reshape(*heads.shape[:-1], 1)


def _linear(part: Part, read: Reader, inputs: Tensor) -> Tensor:
    """The part's rows times the inputs, [rows, tokens]; matrices are widened to float32 piece by piece."""
    weight = _matrix(read(part.weight))
    weight = weight if part.axis % 2 == 0 else weight.transpose(-1, -2)
    at = torch.from_numpy(part.positions.reshape(-1))
    result = _product(weight, inputs)[at]
    return result if part.bias is None else result + read(part.bias).float()[at][:, None]


def _columns(part: Part, read: Reader, hidden: Tensor) -> Tensor:
    """The output matrix times the hidden units, given in the order of the part's positions."""
    weight = _matrix(read(part.weight))
    weight = weight.transpose(-1, -2) if part.axis % 2 == 0 else weight
    placed = torch.zeros(weight.shape[-1], TOKENS)
    placed[torch.from_numpy(part.positions.reshape(-1))] = hidden
    return _product(weight, placed)


def _matrix(tensor: Tensor) -> Tensor:
    """A matrix; of stacked experts the first, which shares its permutation with all others."""
    return tensor if tensor.ndim == 2 else tensor[0]


def _product(weight: Tensor, inputs: Tensor) -> Tensor:
    rows = max(1, _PIECE // weight.shape[1])
    result = torch.empty(weight.shape[0], inputs.shape[1])
    buffer = torch.empty(min(rows, weight.shape[0]), weight.shape[1])
    for start in range(0, weight.shape[0], rows):
        stop = min(start + rows, weight.shape[0])
        wide = buffer[: stop - start].copy_(weight[start:stop])
        torch.mm(wide, inputs, out=result[start:stop])
    return result
