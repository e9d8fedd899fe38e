"""A random Llama checkpoint of any size, written shard by shard so that it never has to fit in memory."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig

Shape = tuple[int, ...]
VOCABULARY = 32000
STD = 0.02  # the published initialisation of Llama


@dataclass(frozen=True)
class Widths:
    """The sizes of one layer; by default those of TinyLlama-1.1B."""

    hidden: int = 2048
    intermediate: int = 5632
    heads: int = 32
    key_heads: int = 4


LLAMA_7B = Widths(4096, 11008, 32, 32)
_TINY = Widths()


def random_llama(
    folder: Path,
    *,
    gigabytes: float,
    shards: int = 4,
    dtype: torch.dtype = torch.bfloat16,
    widths: Widths = _TINY,
) -> int:
    """Write config.json, `shards` safetensors files of about the same size and their index.

    Args:
        folder: made here.
        gigabytes: aim for the weights of all files together, in 10^9 bytes; layers are whole.
        shards: number of weight files.
        dtype: of every weight.
        widths: of every layer.

    Returns:
        The number of weights.
    """
    shapes = _shapes(_layers(gigabytes, dtype, widths), widths)
    folder.mkdir(parents=True)
    _config(len(shapes) // 9, dtype, widths).save_pretrained(folder)
    weights = sum(torch.Size(shape).numel() for shape in shapes.values())
    groups: list[list[str]] = [[] for _ in range(shards)]
    done = 0
    for name, shape in shapes.items():
        groups[min(shards - 1, done * shards // weights)].append(name)
        done += torch.Size(shape).numel()
    generator = torch.Generator().manual_seed(0)
    places: dict[str, str] = {}
    for number, group in enumerate(groups):
        file = f"model-{number + 1:05}-of-{shards:05}.safetensors"
        drawn = {name: _draw(shapes[name], generator).to(dtype) for name in group}
        save_file(drawn, folder / file, metadata={"format": "pt"})
        places |= dict.fromkeys(group, file)
    index = {"metadata": {"total_size": weights * dtype.itemsize}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")
    return weights


def _layers(gigabytes: float, dtype: torch.dtype, widths: Widths) -> int:
    layer = _size(_layer(0, widths))
    return max(1, round((gigabytes * 1e9 / dtype.itemsize - 2 * VOCABULARY * widths.hidden) / layer))


def _size(shapes: dict[str, Shape]) -> int:
    return sum(torch.Size(shape).numel() for shape in shapes.values())


def _draw(shape: Shape, generator: torch.Generator) -> torch.Tensor:
    return torch.ones(shape) if len(shape) == 1 else STD * torch.randn(shape, generator=generator)


def _shapes(layers: int, widths: Widths) -> dict[str, Shape]:
    embedding = (VOCABULARY, widths.hidden)
    shapes: dict[str, Shape] = {"model.embed_tokens.weight": embedding}
    for number in range(layers):
        shapes |= _layer(number, widths)
    return shapes | {"model.norm.weight": (widths.hidden,), "lm_head.weight": embedding}


def _layer(number: int, widths: Widths) -> dict[str, Shape]:
    attention = f"model.layers.{number}.self_attn."
    mlp = f"model.layers.{number}.mlp."
    hidden, keys = widths.hidden, widths.hidden // widths.heads * widths.key_heads
    return {
        f"model.layers.{number}.input_layernorm.weight": (hidden,),
        f"{attention}q_proj.weight": (hidden, hidden),
        f"{attention}k_proj.weight": (keys, hidden),
        f"{attention}v_proj.weight": (keys, hidden),
        f"{attention}o_proj.weight": (hidden, hidden),
        f"model.layers.{number}.post_attention_layernorm.weight": (hidden,),
        f"{mlp}gate_proj.weight": (widths.intermediate, hidden),
        f"{mlp}up_proj.weight": (widths.intermediate, hidden),
        f"{mlp}down_proj.weight": (hidden, widths.intermediate),
    }


def _config(layers: int, dtype: torch.dtype, widths: Widths) -> LlamaConfig:
    return LlamaConfig(
        architectures=["LlamaForCausalLM"],
        vocab_size=VOCABULARY,
        hidden_size=widths.hidden,
        intermediate_size=widths.intermediate,
        num_hidden_layers=layers,
        num_attention_heads=widths.heads,
        num_key_value_heads=widths.key_heads,
        dtype=dtype,
    )
