"""Find latent attentions (MLA): keys and values come from one narrow latent, rotary keys are shared by all heads.

Source: DeepSeek-AI, DeepSeek-V2 (arXiv 2405.04434), section 2.1. Of each query head some dimensions meet the key rows
of that head, which carry no position; the others meet rotary key rows that all heads share.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mergeguard_hub.architecture.attention import find_output
from mergeguard_hub.architecture.block import Attention, Part
from mergeguard_hub.architecture.names import Names, join, template_of
from mergeguard_hub.architecture.space import Positions

EXPANDERS: tuple[str, ...] = ("kv_b_proj", "kv_up_proj")
LATENTS: tuple[str, ...] = ("kv_a_proj_with_mqa", "kv_a_proj", "kv_down_proj")
QUERIES: tuple[str, ...] = ("q_b_proj", "q_proj", "q_up_proj")
WIDTHS: tuple[str, str, str] = ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")


def find_latent_attentions(names: Names) -> Iterator[Attention]:
    """Yield every reading of every latent attention."""
    for prefix in names.prefixes:
        found = [names.weight(prefix, leaves) for leaves in (QUERIES, LATENTS, EXPANDERS)]
        weights = [name for name in [*found, find_output(names, prefix)] if name is not None]
        if len(weights) == 4:
            for label, sizes in _sizes(names).items():
                yield from _readings(names, prefix, label, weights, sizes)


def _sizes(names: Names) -> dict[str, tuple[int, int, int]]:
    """Return label -> widths of a head's plain, rotary and value rows, for every configuration that says any."""
    found: dict[str, tuple[int, int, int]] = {}
    for path, config in names.configs_by_path.items():
        given = [config.get(key, names.config.get(key)) for key in WIDTHS]
        sizes = [size for size in given if isinstance(size, int) and size > 0]
        if len(sizes) == 3 and (not path or any(key in config for key in WIDTHS)):
            found.setdefault(join("latent", template_of(path)), (sizes[0], sizes[1], sizes[2]))
    return found


def _readings(
    names: Names, prefix: str, label: str, weights: list[str], sizes: tuple[int, int, int]
) -> Iterator[Attention]:
    query, latent, expand, out = weights
    plain, rotary, value = sizes
    heads, rest = divmod(names.shapes[expand][0], plain + value)
    width = heads * (plain + rotary)
    gated = names.shapes[query][0] == width + heads * value
    if (
        rest
        or not (gated or names.shapes[query][0] == width)
        or names.shapes[out][1] != heads * value
        or names.shapes[latent][0] != names.shapes[expand][1] + rotary
    ):
        return
    keys = np.arange(heads * (plain + value), dtype=np.int64).reshape(heads, -1)
    shared = np.arange(names.shapes[expand][1], names.shapes[latent][0], dtype=np.int64)[None]
    for order, (positions, turned, gate) in _query_orders(heads, sizes, gated=gated).items():
        yield Attention(
            prefix=prefix,
            reading=f"{label}, {order}",
            query=Part(query, 0, positions[:, None], names.bias(query)),
            key=Part(expand, 0, keys[:, :plain], names.bias(expand)),
            value=Part(expand, 0, keys[:, plain:], names.bias(expand)),
            output=Part(out, 1, np.arange(heads * value, dtype=np.int64).reshape(heads, 1, value)),
            gate=None if gate is None else Part(query, 0, gate[:, None], names.bias(query)),
            rotary_query=Part(query, 0, turned[:, None], names.bias(query)),
            rotary_key=Part(latent, 0, shared, names.bias(latent)),
        )


def _query_orders(
    heads: int, sizes: tuple[int, int, int], *, gated: bool
) -> dict[str, tuple[Positions, Positions, Positions | None]]:
    """Return reading -> positions [heads, n] of the plain, the rotary and the gate's rows of the query projection."""
    plain, rotary, value = sizes
    flat = np.arange(heads * (plain + rotary + value * gated), dtype=np.int64)
    if not gated:
        grid = flat.reshape(heads, -1)
        return {
            "rotary last": (grid[:, :plain], grid[:, plain:], None),
            "rotary first": (grid[:, rotary:], grid[:, :rotary], None),
        }
    grid, end = flat.reshape(heads, -1), plain + rotary
    front, back = flat[: heads * end].reshape(heads, -1), flat[heads * end :].reshape(heads, -1)
    return {
        "gated by head": (grid[:, :plain], grid[:, plain:end], grid[:, end:]),
        "gated": (front[:, :plain], front[:, plain:], back),
    }
