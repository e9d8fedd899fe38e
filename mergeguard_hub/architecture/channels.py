"""Channels between the two convolutions of a ResNet block.

Source of the algebra: catalogue entry G12 in docs/symmetries.md: a GroupNorm with element-wise neighbours commutes with
permuting channels inside each group and with permuting the groups.
"""

from __future__ import annotations

import numpy as np

from mergeguard_hub.architecture.block import Candidate
from mergeguard_hub.architecture.names import Names, join, template_of
from mergeguard_hub.architecture.space import Claim, Port, Positions, Space

PERMUTE: frozenset[Claim] = frozenset({"permute"})
GROUP_COUNTS: tuple[str, ...] = ("norm_num_groups", "resnet_groups", "num_groups", "norm_groups")


def channel_candidates(names: Names) -> list[Candidate]:
    """Return one candidate per place and configured number of groups."""
    found: dict[tuple[str, str], list[Space]] = {}
    for prefix in names.prefixes:
        first, second = join(prefix, "conv1.weight"), join(prefix, "conv2.weight")
        norm = join(prefix, "norm2.weight")
        if not {first, second, norm} <= names.shapes.keys():
            continue
        channels = names.shapes[first][0]
        for count in names.numbers(*GROUP_COUNTS) or (32,):
            if channels % count == 0 and names.shapes[norm] == (channels,):
                spaces = _spaces(names, prefix, count, channels)
                found.setdefault((template_of(prefix), f"{GROUP_COUNTS[0]} groups"), []).extend(spaces)
    return [Candidate(template, "channels", reading, tuple(spaces)) for (template, reading), spaces in found.items()]


def _spaces(names: Names, prefix: str, count: int, channels: int) -> list[Space]:
    grid = np.arange(channels, dtype=np.int64).reshape(count, -1)  # [groups, channels per group]
    found = [Space(f"{prefix}/groups", "channels", count, _ports(names, prefix, grid), PERMUTE)]
    if grid.shape[1] > 1:
        for group in range(count):
            ports = _ports(names, prefix, grid[group][:, None])
            found.append(Space(f"{prefix}/groups.{group}", "channels", grid.shape[1], ports, PERMUTE))
    return found


def _ports(names: Names, prefix: str, positions: Positions) -> tuple[Port, ...]:
    leaves = ("conv1.weight", "conv1.bias", "norm2.weight", "norm2.bias", "time_emb_proj.weight", "time_emb_proj.bias")
    ports = [Port(join(prefix, leaf), 0, positions) for leaf in leaves if join(prefix, leaf) in names.shapes]
    return (*ports, Port(join(prefix, "conv2.weight"), 1, positions))
