"""What a "layer" is: single tensors or whole blocks, by name; and which are never touched in a language model."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal

from mergeguard_hub.errors import TrainingError

Granularity = Literal["tensor", "block"]
Layers = Mapping[str, tuple[str, ...]]
"""Name of a layer -> names of its tensors."""

_BLOCK = re.compile(r"^(.*?(?:^|\.)\d+)\.")
_NORM = re.compile(r"norm|(?:^|[._])ln(?:_?f|_?\d*)?(?:[._]|$)", re.IGNORECASE)


def block_of(name: str) -> str | None:
    """Return the first numbered module that a tensor lies in, None if it lies in none.

    >>> block_of("model.layers.3.mlp.up_proj.weight"), block_of("lm_head.weight")
    ('model.layers.3', None)
    """
    found = _BLOCK.match(name)
    return found[1] if found else None


def layers_of(
    names: Iterable[str], *, granularity: Granularity = "tensor", exclude: Collection[str] = ()
) -> dict[str, tuple[str, ...]]:
    """Group tensors into the layers that are ranked.

    MergeGuard (arXiv 2511.11851) says "layer" and names tensors; so "tensor" is the default here, and "block", a whole
    numbered module, is many times cheaper to rank. Outside blocks, the tensors of one module are a layer.

    Args:
        names: of all tensors.
        granularity: "tensor" or "block".
        exclude: names that are left out.

    Returns:
        Layers in the order in which their first tensors come.

    Raises:
        TrainingError: the granularity is unknown, or nothing is left.

    Example:
        >>> layers_of(["a.0.w", "a.0.b", "a.1.w", "head.w"], granularity="block", exclude=["head.w"])
        {'a.0': ('a.0.w', 'a.0.b'), 'a.1': ('a.1.w',)}
    """
    if granularity not in ("tensor", "block"):
        raise TrainingError(f"granularity is {granularity!r}, and must be 'tensor' or 'block'.")
    found: dict[str, list[str]] = {}
    for name in names:
        if name not in exclude:
            layer = name if granularity == "tensor" else block_of(name) or name.rpartition(".")[0] or name
            found.setdefault(layer, []).append(name)
    if not found:
        raise TrainingError(f"no layer is left to rank: all tensors are excluded ({sorted(exclude)[:3]}).")
    return {layer: tuple(tensors) for layer, tensors in found.items()}


def language_roles(shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the tensors that MergeGuard leaves alone in a language model, found by their role.

    The paper names `model.embed_tokens.weight`, `model.norm.weight` and `lm_head.weight` of Llama. Here: outside the
    numbered blocks, whatever runs over the vocabulary, and norms. A model without a vocabulary of its own, such as an
    image classifier, has none of these roles, and the paper excludes nothing there.

    Args:
        shapes: tensor name -> shape.
        config: the parsed config.json.

    Example:
        >>> language_roles({"model.embed_tokens.weight": (61, 32), "model.norm.weight": (32,)}, {"vocab_size": 61})
        ('model.embed_tokens.weight', 'model.norm.weight')
    """
    nested = config.get("text_config")
    text = config if "vocab_size" in config or not isinstance(nested, Mapping) else nested
    if "vocab_size" not in text or "projection_dim" in config:  # the latter compares texts with pictures
        return ()
    vocabulary = text["vocab_size"]
    return tuple(
        name
        for name, shape in shapes.items()
        if block_of(name) is None and (vocabulary in shape[:1] or (len(shape) == 1 and _NORM.search(name)))
    )
