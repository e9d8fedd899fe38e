"""Spaces on made-up tensors, for stages to act on without a model."""

from __future__ import annotations

import numpy as np

from mergeguard_hub.architecture.space import CLAIMS, Claim, Kind, Port, Space, rows

SIZE = 12
SHAPES: dict[str, tuple[int, ...]] = {
    "up.weight": (SIZE, 5),
    "up.bias": (SIZE,),
    "down.weight": (5, SIZE),
    "gate.weight": (SIZE, 5),
    "k.weight": (SIZE, 5),
    "q.weight": (3 * SIZE, 5),
}
HALVES = np.stack([np.arange(SIZE // 2), np.arange(SIZE // 2) + SIZE // 2], 1)


def units(*claims: Claim) -> Space:
    """Hidden units of a gated MLP."""
    ports = (
        Port("gate.weight", 0, rows(0, SIZE), sign=False),
        Port("up.weight", 0, rows(0, SIZE), scale=1),
        Port("up.bias", 0, rows(0, SIZE), scale=1),
        Port("down.weight", 1, rows(0, SIZE), scale=-1),
    )
    return Space("mlp/units", "hidden_units", SIZE, ports, frozenset(claims or ("permute", "sign", "scale")))


def keys(*claims: Claim, pairs: bool = False, name: str = "attention/keys.0") -> Space:
    """One key head with three query heads: each of its dimensions owns three rows of the queries."""
    copies = np.arange(3 * SIZE, dtype=np.int64).reshape(3, SIZE).T.copy()
    ports = (Port("k.weight", 0, rows(0, SIZE), scale=1), Port("q.weight", 0, copies, scale=-1))
    local = HALVES.astype(np.int64) if pairs else None
    return Space(name, "query_key", SIZE, ports, frozenset(claims or CLAIMS), local)


def of_kind(kind: Kind) -> Space:
    """Any space of a kind, with every claim."""
    ports = (Port("up.weight", 0, rows(0, SIZE), scale=1), Port("down.weight", 1, rows(0, SIZE), scale=-1))
    return Space(f"{kind}/all", kind, SIZE, ports, frozenset(CLAIMS))
