"""Experts as units: whole experts may change places if the router's rows change with them.

Source of the algebra: catalogue entry G11 in docs/symmetries.md.
"""

from __future__ import annotations

import re

import numpy as np

from mergeguard_hub.architecture.block import Candidate
from mergeguard_hub.architecture.names import Names, parent_of, template_of
from mergeguard_hub.architecture.space import Port, Space

EXPERT_COUNTS: tuple[str, ...] = (
    *("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts", "num_routed_experts", "n_experts"),
)


def expert_candidates(names: Names) -> list[Candidate]:
    """Return one candidate per place of a mixture of experts, for experts stored one by one or stacked."""
    found: dict[tuple[str, str], list[Space]] = {}
    for count in names.numbers(*EXPERT_COUNTS):
        for prefix in names.prefixes:
            if prefix.rpartition(".")[2] != "experts":
                continue
            space = _space(names, prefix, count)
            if space is not None:
                reading = "one tensor per expert" if space.families else "stacked experts"
                found.setdefault((template_of(prefix), reading), []).append(space)
    return [Candidate(template, "experts", reading, tuple(spaces)) for (template, reading), spaces in found.items()]


def _space(names: Names, prefix: str, count: int) -> Space | None:
    at = np.arange(count, dtype=np.int64)[:, None]
    families: dict[str, dict[int, str]] = {}
    ports: list[Port] = []
    for name in names.children[prefix]:
        leaf = name[len(prefix) + 1 :]
        indexed = re.fullmatch(r"(\d+)\.(.+)", leaf)
        if indexed:
            families.setdefault(indexed[2], {})[int(indexed[1])] = name
        elif names.shapes[name] and names.shapes[name][0] == count:
            ports.append(Port(name, 0, at))
    whole = [
        tuple(family[i] for i in range(count)) for family in families.values() if sorted(family) == list(range(count))
    ]
    if len(whole) != len(families) or not (whole or ports):
        return None
    beside = names.children[parent_of(prefix)]
    outside = [name for name in beside if not name.startswith(prefix + ".") and "shared" not in name]
    routers = [Port(name, 0, at) for name in outside if names.shapes[name] and names.shapes[name][0] == count]
    if not routers:
        return None
    return Space(
        f"{prefix}/experts", "experts", count, tuple(ports + routers), frozenset({"permute"}), families=tuple(whole)
    )
