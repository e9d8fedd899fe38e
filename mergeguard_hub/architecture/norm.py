"""Norm absorption: factors moved between a norm's gain and the columns of whatever reads the norm.

Source of the algebra: catalogue entry G8 in docs/symmetries.md. Which blocks read a norm cannot be told from names,
so every sensible set of readers is a candidate. Norms that store `w` and multiply by `1 + w` fail the proof and are
left alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from mergeguard_hub.architecture.block import Candidate
from mergeguard_hub.architecture.names import Names, parent_of, template_of
from mergeguard_hub.architecture.residual import Axes
from mergeguard_hub.architecture.space import Claim, Port, Space

ABSORB: frozenset[Claim] = frozenset({"scale", "sign"})


def norm_candidates(
    names: Names, axes: Mapping[str, Axes], attention: frozenset[str], writes: frozenset[tuple[str, int]]
) -> list[Candidate]:
    """Return every reading of every norm.

    Args:
        names: names and shapes.
        axes: tower label -> residual axes by tensor template.
        attention: names of all query, key, value and output weights.
        writes: (tensor, axis) through which blocks write to the residual stream.
    """
    found: dict[tuple[str, str], list[Space]] = {}
    merged = {template: at for per_tower in axes.values() for template, at in per_tower.items()}
    for name, shape in names.shapes.items():
        if len(shape) != 1 or not name.endswith("weight") or template_of(name) not in merged:
            continue
        for reading, readers in _readers(names, name, merged, attention, writes):
            space = _absorption(names, name, readers)
            found.setdefault((template_of(parent_of(name)), reading), []).append(space)
    return [Candidate(template, "norm", reading, tuple(spaces)) for (template, reading), spaces in found.items()]


def _readers(
    names: Names, norm: str, axes: Axes, attention: frozenset[str], writes: frozenset[tuple[str, int]]
) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    """Yield (reading, [(tensor, axis)]) for every set of linear maps that may read this norm."""
    layer = template_of(norm) != norm
    scope = parent_of(parent_of(norm)) if layer else ""
    while True:
        inside = [
            (name, axis)
            for name in names.children.get(scope, ())
            if len(names.shapes[name]) > 1 and (layer or template_of(name) == name)
            for axis in axes.get(template_of(name), ())
            if (name, axis) not in writes
        ]
        if inside or not scope:
            break
        scope = parent_of(scope)
    if not layer:
        for name, axis in inside:
            yield f"read by {name}", [(name, axis)]
        return
    if not inside or template_of(scope) == scope:
        return  # a norm inside layers whose readers lie outside every layer is not understood
    by_attention = [(name, axis) for name, axis in inside if name in attention]
    by_rest = [(name, axis) for name, axis in inside if name not in attention]
    if by_attention and by_rest:
        yield "read by attention", by_attention
        yield "read by mlp", by_rest
    yield "read by everything", inside


def _absorption(names: Names, norm: str, readers: list[tuple[str, int]]) -> Space:
    size = names.shapes[norm][0]
    at = np.arange(size, dtype=np.int64)[:, None]
    ports = [Port(norm, 0, at, scale=1)]
    bias = names.bias(norm)
    if bias is not None:
        ports.append(Port(bias, 0, at, scale=1))
    ports += [Port(name, axis, at, scale=-1) for name, axis in readers]
    return Space(f"{parent_of(norm)}/absorb", "norm", size, tuple(ports), ABSORB)
