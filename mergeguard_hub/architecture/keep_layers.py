"""Which layers a miniature keeps: one of every kind, told from all that a configuration says layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mergeguard_hub.errors import ArchitectureError

LAYER_COUNTS: tuple[str, ...] = (
    *("num_hidden_layers", "n_layer", "num_layers", "n_layers", "num_blocks", "encoder_layers", "decoder_layers"),
    *("num_decoder_layers", "num_encoder_layers", "depth"),
)
THRESHOLDS: tuple[str, ...] = (  # layers below this number differ from those above
    *("first_k_dense_replace", "num_dense_layers", "moe_layer_start_index", "num_hash_layers"),
)
STEPS: tuple[str, ...] = ("_interval", "_pattern", "_period", "_step", "_every_n_layers", "layer_group_size")
MOST = 6  # layers of a miniature
FULL = 10_000  # layers of a configuration that is looked at, far more than any published model has, our choice


@dataclass(frozen=True)
class KeptLayers:
    """The layers of the full configuration that the miniature keeps, in order.

    Attributes:
        full: number of layers of the full configuration.
        at: indices of the kept ones, ascending.
    """

    full: int
    at: tuple[int, ...]

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> KeptLayers:
        """Choose the first layer of every kind; two layers where all are alike, four where kinds alternate by step.

        Raises:
            ArchitectureError: there are more layers than any model has.
        """
        full = next((config[key] for key in LAYER_COUNTS if isinstance(config.get(key), int)), 2)
        if full > FULL:
            raise ArchitectureError(f"{full} layers are more than any model has. Is the configuration damaged?")
        kinds: dict[str, int] = {}
        for layer in range(full):
            kinds.setdefault(repr(_kind(config, layer, full)), layer)
        at = sorted(kinds.values())[:MOST]
        alternate = any(isinstance(v, int) and v > 1 and k.endswith(STEPS) for k, v in config.items())
        wanted = 4 if alternate and len(at) == 1 else 2
        at += [layer for layer in range(full - 1, 0, -1) if layer not in at][: max(0, wanted - len(at))]
        return cls(full, tuple(sorted(at)))

    def __len__(self) -> int:
        return len(self.at)

    def per_layer(self, values: list[Any]) -> list[Any] | None:
        """Return the kept entries of a list with one entry per layer; None if this is not such a list."""
        return [values[layer] for layer in self.at] if len(values) == self.full and self.full > 2 else None

    def members(self, key: str, values: list[Any]) -> list[int] | None:
        """Return a list of layer numbers in the miniature's own numbers; None if this is not such a list."""
        if not _lists_layers(key, values, self.full):
            return None
        return [new for new, old in enumerate(self.at) if old in values]

    def overrides(self, values: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return settings keyed by layer number under the miniature's numbers; None if they are not keyed so."""
        if not _overrides_layers(values):
            return None
        by_layer = {int(key): value for key, value in values.items()}
        return {str(new): by_layer[old] for new, old in enumerate(self.at) if old in by_layer}

    def below(self, threshold: int) -> int:
        """Return how many kept layers have a number below a threshold."""
        return sum(layer < threshold for layer in self.at)


def _lists_layers(key: str, values: list[Any], full: int) -> bool:
    """A list of layer numbers ascends, stays below the number of layers and says so in its name."""
    named = any(word in key for word in ("layer", "idx", "indices", "indexes"))
    numbers = all(isinstance(value, int) and not isinstance(value, bool) for value in values)
    return named and numbers and sorted(set(values)) == values and (not values or values[-1] < full)


def _overrides_layers(values: Mapping[str, Any]) -> bool:
    return bool(values) and all(str(key).isdigit() and isinstance(value, Mapping) for key, value in values.items())


def _kind(config: Mapping[str, Any], layer: int, full: int) -> list[Any]:
    """Everything that a configuration says of one layer; sizes that differ between layers do not make it a kind."""
    kind: list[Any] = []
    for key, value in config.items():
        if isinstance(value, list) and len(value) == full and full > 2 and not _lists_layers(key, value, full):
            kind.append(value[layer] if len({repr(v) for v in value}) <= MOST else None)
        elif isinstance(value, list) and value and _lists_layers(key, value, full):
            kind.append(layer in value)
        elif isinstance(value, Mapping) and _overrides_layers(value):
            kind.append(sorted(next((v for k, v in value.items() if int(k) == layer), {})))
        elif key in THRESHOLDS and isinstance(value, int) and value < full:
            kind.append(layer < value)
    return kind
