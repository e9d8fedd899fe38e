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


def residual_candidates(names: Names, towers: Mapping[str, Axes]) -> list[Candidate]:
    """Return one candidate per tower, given each tower's residual axes by tensor template."""
    found = []
    for label, axes in towers.items():
        size = hidden_size(names, label)
        ports = [
            Port(name, axis, np.arange(size, dtype=np.int64)[:, None], sign=_signed(names, name, size))
            for name in names.shapes
            for axis in axes.get(template_of(name), ())
            if names.shapes[name][axis] == size
        ]
        if len(ports) > 2:
            space = Space(f"{label}/residual", "residual", size, tuple(ports), frozenset({"permute", "sign"}))
            found.append(Candidate(label, "residual", "every axis of that size", (space,)))
    return found


def _signed(names: Names, name: str, size: int) -> bool:
    """Gains multiply the residual stream element by element and keep their sign; writers, readers and biases take it."""
    if int(np.prod(names.shapes[name])) != size:
        return True
    owner = parent_of(name).rpartition(".")[2].lower()
    is_norm = "norm" in owner or owner.startswith("ln") or owner.endswith("ln")
    return not is_norm and (name.endswith("bias") or "token" in name or "embed" in name)
