"""Tensor names and shapes as a tree, and the templates that name the same place in every layer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

_INDEX = re.compile(r"(?<=\.)\d+(?=\.|$)|^\d+(?=\.)")
Shape = tuple[int, ...]
CROSS: tuple[str, ...] = ("crossattention", "cross_attn", "encoder_attn", "encdecattention", "cross_attention")
LAYER_LISTS: tuple[str, ...] = (
    "layer_types",
    "layers_block_type",
    "block_types",
    "attention_layers",
    "mlp_layer_types",
)


def template_of(name: str) -> str:
    """Replace every index in a dotted name by a star.

    >>> template_of("model.layers.11.mlp.experts.3.w1.weight")
    'model.layers.*.mlp.experts.*.w1.weight'
    """
    return _INDEX.sub("*", name)


def parent_of(name: str) -> str:
    """Return the dotted name without its last part, "" at the root."""
    return name.rpartition(".")[0]


def is_cross_attention(name: str) -> bool:
    """Whether a module or tensor, by its name, belongs to an attention whose keys and values read another stream."""
    lowered = name.lower()
    return any(mark in lowered for mark in CROSS)


def join(*parts: str) -> str:
    """Join dotted names, leaving out empty ones."""
    return ".".join(part for part in parts if part)


@dataclass(frozen=True)
class Names:
    """What is known of a checkpoint before any weight is read.

    Attributes:
        shapes: tensor name on disk -> shape.
        config: the parsed config.json, with sub-configurations as nested dicts.
        packed: shapes of the weights that are passed through as they are: float8.
    """

    shapes: Mapping[str, Shape]
    config: Mapping[str, Any]
    packed: Mapping[str, Shape] = field(default_factory=dict)

    @cached_property
    def prefixes(self) -> tuple[str, ...]:
        """Every module prefix that holds a tensor directly or below, in order of first appearance."""
        found: dict[str, None] = {}
        for name in self.shapes:
            while name:
                name = parent_of(name)
                found[name] = None
        return tuple(found)

    @cached_property
    def children(self) -> dict[str, tuple[str, ...]]:
        """Prefix -> names of all tensors below it."""
        found: dict[str, list[str]] = {prefix: [] for prefix in self.prefixes}
        for name in self.shapes:
            prefix = name
            while prefix:
                prefix = parent_of(prefix)
                found[prefix].append(name)
        return {prefix: tuple(names) for prefix, names in found.items()}

    def weight(self, prefix: str, leaves: Iterable[str]) -> str | None:
        """Return the first of `prefix.leaf.weight` or `prefix.leaf` that exists as a tensor."""
        for leaf in leaves:
            name = join(prefix, leaf)
            if f"{name}.weight" in self.shapes:
                return f"{name}.weight"
            if name in self.shapes:
                return name
        return None

    def bias(self, weight: str) -> str | None:
        """Return the bias that belongs to a weight, if there is one."""
        for old, new in (("weight", "bias"), ("_proj", "_proj_bias"), ("in_proj_weight", "in_proj_bias")):
            if weight.endswith(old) and weight[: -len(old)] + new in self.shapes:
                return weight[: -len(old)] + new
        return None

    @cached_property
    def configs_by_path(self) -> dict[str, Mapping[str, Any]]:
        """Dotted path -> the configuration ("") and every one nested in it, outermost first."""
        found: dict[str, Mapping[str, Any]] = {}

        def walk(path: str, config: Mapping[str, Any]) -> None:
            found[path] = config
            for key, value in config.items():
                if isinstance(value, Mapping):
                    walk(join(path, str(key)), value)

        walk("", self.config)
        return found

    @property
    def configs(self) -> tuple[Mapping[str, Any], ...]:
        """The configuration and all nested ones, outermost first."""
        return tuple(self.configs_by_path.values())

    def numbers(self, *keys: str) -> tuple[int, ...]:
        """Return every positive integer found under one of the keys in any configuration, without repeats."""
        return tuple(dict.fromkeys(self.settings(*keys).values()))

    def settings(self, *keys: str) -> dict[str, int]:
        """Return label -> positive integer for the keys in every configuration.

        A label is the key's path with layer numbers starred, so it means the same at any size. Every label is kept,
        also where two of them happen to have the same value.
        """
        found: dict[str, int] = {}
        for key in keys:
            for path, config in self.configs_by_path.items():
                value = config.get(key)
                if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                    found.setdefault(template_of(join(path, key)), value)
        return found

    @cached_property
    def layer_kinds(self) -> tuple[str, ...]:
        """What the configuration calls each layer, where it lists them by kind and there is more than one."""
        for config in self.configs:
            for key in LAYER_LISTS:
                kinds = config.get(key)
                if isinstance(kinds, (list, tuple)) and len(set(map(str, kinds))) > 1:
                    return tuple(str(kind) for kind in kinds)
        return ()

    def layer_kind(self, name: str) -> str | None:
        """Return the kind of the layer that a tensor or module belongs to, if layers have kinds."""
        number = next((int(part) for part in name.split(".") if part.isdigit()), None)
        return self.layer_kinds[number] if number is not None and number < len(self.layer_kinds) else None
