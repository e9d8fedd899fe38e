"""Find attentions by the names that query, key, value and output projections go by.

Only names and shapes are read here. Where they leave a choice (how a fused projection is ordered, which configuration
key is the head size) every choice becomes a reading of its own, and the proof decides.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mergeguard_hub.architecture.block import Attention, Part
from mergeguard_hub.architecture.names import Names, parent_of

SEPARATE: tuple[tuple[str, str, str], ...] = (
    ("q_proj", "k_proj", "v_proj"),
    ("query", "key", "value"),
    ("to_q", "to_k", "to_v"),
    ("q", "k", "v"),
    ("q_lin", "k_lin", "v_lin"),
    ("wq", "wk", "wv"),
    ("query_proj", "key_proj", "value_proj"),
    ("linear_q", "linear_k", "linear_v"),
    ("project_q", "project_k", "project_v"),
    ("Wq", "Wk", "Wv"),
)
FUSED: tuple[str, ...] = (
    "qkv_proj",
    "c_attn",
    "query_key_value",
    "Wqkv",
    "qkv",
    "in_proj_weight",
    "in_proj",
    "att_proj",
)
OUTPUTS: tuple[str, ...] = (
    *(
        "o_proj",
        "out_proj",
        "dense",
        "c_proj",
        "proj",
        "to_out.0",
        "to_out",
        "o",
        "out_lin",
        "wo",
        "Wo",
        "output.dense",
    ),
    *("attention_out", "attn_out", "linear_out", "out", "proj_out", "attention.dense"),
)
QUERY_NORMS: tuple[str, ...] = ("q_norm", "q_layernorm", "query_layernorm", "norm_q", "query_norm", "ln_q", "q_ln")
KEY_NORMS: tuple[str, ...] = ("k_norm", "k_layernorm", "key_layernorm", "norm_k", "key_norm", "ln_k", "k_ln")
HEAD_DIMS: tuple[str, ...] = ("head_dim", "d_kv", "attention_head_size", "kv_channels", "global_head_dim", "d_head")
HEAD_COUNTS: tuple[str, ...] = (
    *("num_attention_heads", "n_head", "num_heads", "n_heads", "encoder_attention_heads", "decoder_attention_heads"),
    *("attention_heads", "attention_head_dim", "num_heads_per_layer"),
    *("num_encoder_attention_heads", "num_decoder_attention_heads"),
)


def find_attentions(names: Names) -> Iterator[Attention]:
    """Yield every reading of every attention, likelier readings first."""
    for prefix in names.prefixes:
        yield from _separate(names, prefix)
        yield from _fused(names, prefix)


def find_output(names: Names, prefix: str) -> str | None:
    """Find the output projection beside, or one or two levels above, the query projection."""
    for scope in (prefix, parent_of(prefix), parent_of(parent_of(prefix))):
        found = names.weight(scope, OUTPUTS)
        if found is not None and len(names.shapes[found]) == 2:
            return found
    return None


def head_dims(names: Names, width: int, keys: int) -> Iterator[tuple[str, int]]:
    """Yield (reading, head_dim) for every head size that the configuration suggests.

    Args:
        names: names, shapes and configuration.
        width: columns of the output projection, all query heads together.
        keys: rows that the head size must divide.
    """
    rules = list(names.settings(*HEAD_DIMS).items())
    counts = names.settings(*HEAD_COUNTS).items()
    rules += [(f"width / {label}", width // n) for label, n in counts if width % n == 0]
    rules += [("width", width)]
    for reading, dim in rules:
        if dim > 1 and keys % dim == 0:
            yield reading, dim


def _separate(names: Names, prefix: str) -> Iterator[Attention]:
    for leaves in SEPARATE:
        weights = [names.weight(prefix, (leaf,)) for leaf in leaves]
        query, key, value = weights
        if query is None or key is None or value is None:
            continue
        out = find_output(names, prefix)
        if out is None or any(len(names.shapes[name]) != 2 for name in (query, key, value)):
            continue
        for reading, dim in head_dims(names, names.shapes[out][1], names.shapes[key][0]):
            found = _separate_reading(names, prefix, (query, key, value, out), reading, dim)
            if found is not None:
                yield found


def _separate_reading(
    names: Names, prefix: str, weights: tuple[str, str, str, str], reading: str, dim: int
) -> Attention | None:
    query, key, value, out = weights
    rows, columns = names.shapes[query][0], names.shapes[out][1]
    kv = names.shapes[key][0] // dim
    value_rows = names.shapes[value][0]
    if value_rows % kv:
        return None
    value_dim = value_rows // kv
    if columns % (kv * value_dim):
        return None
    rep = columns // (kv * value_dim)
    gate = None
    if rows == 2 * kv * rep * dim and dim == value_dim:
        both = np.arange(rows, dtype=np.int64).reshape(kv, rep, 2, dim)
        positions, gate = both[:, :, 0], Part(query, 0, both[:, :, 1], names.bias(query))
        reading = f"{reading}, gated"
    elif rows == kv * rep * dim:
        positions = np.arange(rows, dtype=np.int64).reshape(kv, rep, dim)
    else:
        return None
    return Attention(
        prefix=prefix,
        reading=reading,
        query=Part(query, 0, positions, names.bias(query)),
        key=Part(key, 0, np.arange(kv * dim, dtype=np.int64).reshape(kv, dim), names.bias(key)),
        value=Part(value, 0, np.arange(value_rows, dtype=np.int64).reshape(kv, value_dim), names.bias(value)),
        output=Part(out, 1, np.arange(columns, dtype=np.int64).reshape(kv, rep, value_dim)),
        query_gain=names.weight(prefix, QUERY_NORMS),
        key_gain=names.weight(prefix, KEY_NORMS),
        gate=gate,
        per_head=_per_head(names, prefix, kv * rep),
    )


def _per_head(names: Names, prefix: str, heads: int) -> tuple[tuple[str, int], ...]:
    """Tensors directly in the attention that hold one number per query head, such as attention sinks."""
    direct = (name for name in names.children[prefix] if parent_of(name) == prefix)
    return tuple((name, 0) for name in direct if names.shapes[name] == (heads,))


def _fused(names: Names, prefix: str) -> Iterator[Attention]:
    weight = names.weight(prefix, FUSED)
    out = find_output(names, prefix) if weight is not None else None
    if weight is None or out is None or len(names.shapes[weight]) != 2:
        return
    # GPT-2's Conv1D stores [in, out]; its fused projection is then wider than it is tall.
    transposed = names.shapes[weight][0] < names.shapes[weight][1] and weight.endswith("c_attn.weight")
    axis, out_axis = (1, 0) if transposed else (0, 1)
    width, columns = names.shapes[weight][axis], names.shapes[out][out_axis]
    for reading, dim in head_dims(names, columns, width):
        heads, total = columns // dim, width // dim
        if width % dim or total <= heads or (total - heads) % 2 or heads % ((total - heads) // 2):
            continue
        kv = (total - heads) // 2
        for order, (query, key, value) in fused_orders(kv, heads // kv, dim).items():
            yield Attention(
                prefix=prefix,
                reading=f"{order}, {reading}",
                query=Part(weight, axis, query, names.bias(weight)),
                key=Part(weight, axis, key, names.bias(weight)),
                value=Part(weight, axis, value, names.bias(weight)),
                output=Part(out, out_axis, np.arange(columns, dtype=np.int64).reshape(kv, heads // kv, dim)),
                query_gain=names.weight(prefix, QUERY_NORMS),
                key_gain=names.weight(prefix, KEY_NORMS),
                per_head=_per_head(names, prefix, heads),
            )


def fused_orders(kv: int, rep: int, dim: int) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return the positions of queries, keys and values in a fused projection, for every order in use.

    "stacked" is [all q | all k | all v]; "grouped" is [q ... q | k | v] for one kv head after the other, which for
    equal numbers of heads is GPT-NeoX's [q_h | k_h | v_h].
    """
    flat = np.arange((rep + 2) * kv * dim, dtype=np.int64)
    queries = kv * rep * dim
    stacked = (
        flat[:queries].reshape(kv, rep, dim),
        flat[queries : queries + kv * dim].reshape(kv, dim),
        flat[queries + kv * dim :].reshape(kv, dim),
    )
    grid = flat.reshape(kv, rep + 2, dim)
    return {"stacked": stacked, "grouped": (grid[:, :rep], grid[:, rep], grid[:, rep + 1])}
