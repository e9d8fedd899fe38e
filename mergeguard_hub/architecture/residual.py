"""The residual stream: every axis in the checkpoint that runs over the hidden size of one tower.

Source of the algebra: catalogue entry G9 in docs/symmetries.md. A signed permutation of the residual stream is the
only one of our symmetries that also touches embeddings and heads, and the only one that a frankenmerge (layers of two
models stacked) does not leave intact.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mergeguard_hub.architecture.block import Candidate
from mergeguard_hub.architecture.names import Names, join, parent_of, template_of
from mergeguard_hub.architecture.space import Port, Space

HIDDEN_SIZES: tuple[str, ...] = (
    "hidden_size",
    "d_model",
    "n_embd",
    "embed_dim",
    "dim",
    "hidden_dim",
    "model_dim",
    "width",
)
Axes = Mapping[str, tuple[int, ...]]
Taken = frozenset[tuple[str, int]]


def hidden_sizes(names: Names) -> dict[str, int]:
    """Return label -> hidden size of every tower; the label is the configuration key's path."""
    found: dict[str, int] = {}
    for path, config in names.configs_by_path.items():
        for key in HIDDEN_SIZES:
            size = config.get(key)
            if isinstance(size, int) and size > 1 and size not in found.values():
                found[join(path, key)] = size
    return found


def hidden_size(names: Names, label: str) -> int:
    """Return the hidden size that a label of `hidden_sizes` stands for."""
    path, _, key = label.rpartition(".")
    return int(names.configs_by_path[path][key])


def residual_axes(names: Names, size: int, taken: Taken) -> dict[str, tuple[int, ...]]:
    """Return tensor template -> axes of that size which no block claims as its own units."""
    found: dict[str, tuple[int, ...]] = {}
    for name, shape in names.shapes.items():
        axes = tuple(axis for axis, n in enumerate(shape) if n == size and (name, axis) not in taken)
        if axes:
            found.setdefault(template_of(name), axes)
    return found


def residual_candidates(names: Names, towers: Mapping[str, Axes], cross: Taken) -> list[Candidate]:
    """Return the readings of every tower.

    Args:
        names: names, shapes and configuration.
        towers: tower label -> residual axes by tensor template.
        cross: (tensor, axis) through which cross-attentions read their keys and values: another tower's stream, or one
            that is given from outside.
    """
    found = []
    for label, axes in towers.items():
        size = hidden_size(names, label)
        ports = [
            Port(name, axis, np.arange(size, dtype=np.int64)[:, None], sign=_signed(names, name, size))
            for name in names.shapes
            for axis in axes.get(template_of(name), ())
            if axis < len(names.shapes[name]) and names.shapes[name][axis] == size
        ]
        inside = [port for port in ports if (port.tensor, port.axis) not in cross]
        readings = {"every axis of that size": ports}
        if len(inside) < len(ports):
            readings["every axis of that size but what cross-attentions read"] = inside
        for reading, reached in readings.items():
            if len(reached) > 2:
                space = Space(f"{label}/residual", "residual", size, tuple(reached), frozenset({"permute", "sign"}))
                found.append(Candidate(label, "residual", reading, (space,)))
    return found


def _signed(names: Names, name: str, size: int) -> bool:
    """Gains multiply the residual stream element by element and keep their sign; all else takes the stream's sign."""
    if int(np.prod(names.shapes[name])) != size:
        return True
    owner = parent_of(name).rpartition(".")[2].lower()
    is_norm = "norm" in owner or owner.startswith("ln") or owner.endswith("ln")
    return not is_norm and (name.endswith("bias") or "token" in name or "embed" in name)
