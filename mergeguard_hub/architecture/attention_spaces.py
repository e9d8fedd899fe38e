"""The symmetric spaces of one attention: query-key, value-output, and its heads.

Source of the algebra: catalogue entries G3 (query-key), G4 (value-output) and G5 (heads) in docs/symmetries.md; under
rotary embeddings only one complex number per rotated pair commutes with every position's rotation.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mergeguard_hub.architecture.block import Attention, Candidate, Part
from mergeguard_hub.architecture.names import Names, join, template_of
from mergeguard_hub.architecture.space import CLAIMS, Claim, Port, Positions, Space

LINEAR: frozenset[Claim] = frozenset(CLAIMS)
MONOMIAL: frozenset[Claim] = frozenset({"permute", "sign", "scale"})
ROTARY_FRACTIONS: tuple[str, ...] = ("partial_rotary_factor", "rotary_pct", "rotary_emb_fraction", "rope_pct")


def rotary_pairs(names: Names, dim: int) -> Iterator[tuple[str, Positions]]:
    """Yield (reading, pairs [n, 2]) for every way in which rotary embeddings may pair the dimensions of a head."""
    widths = {"all": dim}
    for path, config in names.configs_by_path.items():
        for key in ROTARY_FRACTIONS:
            fraction = config.get(key)
            if isinstance(fraction, float) and 0 < fraction < 1 and int(dim * fraction) >= 2:
                widths.setdefault(template_of(join(path, key)), int(dim * fraction) // 2 * 2)
    for label, width in names.settings("rotary_dim", "qk_rope_head_dim").items():
        if width < dim:
            widths[label] = width // 2 * 2
    for rule, width in widths.items():
        half = np.arange(width // 2, dtype=np.int64)
        yield f"rotary halves, {rule}", np.stack([half, half + width // 2], 1)
        yield f"rotary neighbours, {rule}", np.stack([2 * half, 2 * half + 1], 1)


def query_key_candidates(names: Names, attention: Attention) -> Iterator[tuple[str, list[Space]]]:
    """Yield (reading, spaces) for the queries and keys of one attention: free first, then every rotary pairing."""
    dim = attention.key.positions.shape[-1]
    if attention.rotary_query is not None and attention.rotary_key is not None:
        yield from _with_shared_rotary_key(attention, attention.rotary_query, attention.rotary_key)
        return
    yield "free", _query_key(names, attention, np.arange(dim, dtype=np.int64), None)
    if dim % 2 == 0:
        for reading, pairs in rotary_pairs(names, dim):
            rest = np.setdiff1d(np.arange(dim, dtype=np.int64), pairs)
            spaces = _query_key(names, attention, np.sort(pairs.ravel()), pairs)
            yield reading, spaces + (_query_key(names, attention, rest, None, "pass") if rest.size else [])


def _with_shared_rotary_key(attention: Attention, query: Part, key: Part) -> Iterator[tuple[str, list[Space]]]:
    """Plain dimensions are free in every head; the rotary ones turn all heads' queries with the one shared key."""
    plain = [
        Space(
            f"{attention.prefix}/keys.{head}",
            "query_key",
            rows.size,
            tuple(attention.key.ports(rows[:, None], scale=1) + attention.query.ports(meets.T.copy(), scale=-1)),
            LINEAR,
        )
        for head, (rows, meets) in enumerate(zip(attention.key.positions, attention.query.positions, strict=True))
    ]
    size = key.positions.shape[-1]
    turned = query.positions.reshape(-1, size).T.copy()
    ports = tuple(key.ports(key.positions[0][:, None], scale=1) + query.ports(turned, scale=-1))
    half = np.arange(size // 2, dtype=np.int64)
    pairings = {"halves": np.stack([half, half + size // 2], 1), "neighbours": np.stack([2 * half, 2 * half + 1], 1)}
    for reading, pairs in pairings.items():
        rotary = Space(f"{attention.prefix}/rotary_keys", "query_key", size, ports, LINEAR, pairs)
        yield f"shared rotary {reading}", [*plain, rotary]


def _query_key(
    names: Names, attention: Attention, dims: Positions, pairs: Positions | None, suffix: str = ""
) -> list[Space]:
    """Spaces over `dims` of each key head; with norms on queries and keys, scales sit on the gains instead."""
    local = None if pairs is None else np.searchsorted(dims, pairs)
    name = f"{attention.prefix}/keys{suffix}"
    query, key = attention.query.positions[:, :, dims], attention.key.positions[:, dims]  # [kv, rep, n], [kv, n]
    kv, rep, size = query.shape
    gains = _gains(names, attention, dims)
    if gains is None:
        return []
    if not gains:
        return [
            Space(
                f"{name}.{g}",
                "query_key",
                size,
                tuple(
                    attention.key.ports(key[g][:, None], scale=1) + attention.query.ports(query[g].T.copy(), scale=-1)
                ),
                LINEAR,
                local,
            )
            for g in range(kv)
        ]
    shared = tuple(
        attention.key.ports(key.T.copy()) + attention.query.ports(query.reshape(kv * rep, size).T.copy()) + gains
    )
    flips = [
        Space(
            f"{name}.{g}.flip",
            "query_key",
            size,
            tuple(attention.key.ports(key[g][:, None]) + attention.query.ports(query[g].T.copy())),
            frozenset({"sign"}),
            local,
        )
        for g in range(kv)
    ]
    return [Space(f"{name}.shared", "query_key", size, shared, MONOMIAL, local), *flips]


def _gains(names: Names, attention: Attention, dims: Positions) -> list[Port] | None:
    """Ports of the query and key norm's weights; [] without norms; None for a shape that is not understood."""
    ports: list[Port] = []
    for gain, part, scale in ((attention.query_gain, attention.query, -1), (attention.key_gain, attention.key, 1)):
        if gain is None:
            continue
        heads = part.positions[..., dims].reshape(-1, dims.size)  # [heads, n]
        shape = names.shapes[gain]
        local = part.positions.reshape(-1, part.positions.shape[-1])
        if shape == (part.positions.shape[-1],):
            ports.append(Port(gain, 0, dims[:, None], sign=False, scale=scale))
        elif shape == (part.positions.size,):
            offset = int(part.positions.min())
            ports.append(Port(gain, 0, (heads - offset).T.copy(), sign=False, scale=scale))
        elif shape == local.shape:
            ports.append(Port(gain, 1, dims[:, None], sign=False, scale=scale))
        else:
            return None
    return ports


def value_output_spaces(attention: Attention) -> list[Space]:
    """One space per value head: values meet the output projection linearly, unless a gate stands between."""
    output = attention.output.positions
    kv, _, dim = output.shape
    spaces = []
    for g in range(kv):
        columns = output[g].T.copy()
        ports = attention.value.ports(attention.value.positions[g][:, None], scale=1)
        ports += attention.output.ports(columns, scale=-1)
        if attention.gate is not None:
            ports += attention.gate.ports(attention.gate.positions[g].T.copy(), sign=False)
        claims = LINEAR if attention.gate is None else MONOMIAL
        spaces.append(Space(f"{attention.prefix}/values.{g}", "value_output", dim, tuple(ports), claims))
    return spaces


def head_spaces(names: Names, attention: Attention) -> list[Space]:
    """Key-value heads with their queries, and the query heads that share one key-value head."""
    permute: frozenset[Claim] = frozenset({"permute"})
    kv, rep, _ = attention.query.positions.shape
    extras = [part for part in (attention.gate, attention.rotary_query) if part is not None]
    moving = [attention.query, attention.output, *extras]
    numbers = np.arange(kv * rep, dtype=np.int64).reshape(kv, rep)
    spaces = []
    if kv > 1:
        ports = [port for part in moving for port in part.ports(part.positions.reshape(kv, -1))]
        for part in (attention.key, attention.value):
            ports += part.ports(part.positions)
        ports += [Port(name, axis, numbers) for name, axis in attention.per_head]
        ports += _head_gains(names, attention)
        spaces.append(Space(f"{attention.prefix}/kv_heads", "key_value_heads", kv, tuple(ports), permute))
    for g in range(kv) if rep > 1 else ():
        ports = [port for part in moving for port in part.ports(part.positions[g])]
        ports += [Port(name, axis, numbers[g][:, None]) for name, axis in attention.per_head]
        ports += _head_gains(names, attention, g)
        spaces.append(Space(f"{attention.prefix}/heads.{g}", "query_heads", rep, tuple(ports), permute))
    return spaces


def _head_gains(names: Names, attention: Attention, group: int | None = None) -> list[Port]:
    """Ports of norm weights that span all heads and so move with them: by key-value head, or inside one group."""
    ports = []
    for gain, part in ((attention.query_gain, attention.query), (attention.key_gain, attention.key)):
        if gain is None or (group is not None and part is attention.key):
            continue
        kv, dim = part.positions.shape[0], part.positions.shape[-1]
        per_head = {(part.positions.size,): dim, (part.positions.size // dim, dim): 1}.get(names.shapes[gain])
        if per_head is not None:
            heads = np.arange(part.positions.size // dim * per_head, dtype=np.int64).reshape(kv, -1, per_head)
            ports.append(Port(gain, 0, heads.reshape(kv, -1) if group is None else heads[group]))
    return ports


def attention_candidates(names: Names, attentions: list[Attention]) -> list[Candidate]:
    """Return every reading of every group of symmetries of the attentions, gathered over layers."""
    found: dict[tuple[str, str, str], list[Space]] = {}
    for attention in attentions:
        template = template_of(attention.prefix)
        for reading, spaces in query_key_candidates(names, attention):
            found.setdefault((template, "query_key", f"{attention.reading}, {reading}"), []).extend(spaces)
        found.setdefault((template, "value_output", attention.reading), []).extend(value_output_spaces(attention))
        found.setdefault((template, "heads", attention.reading), []).extend(head_spaces(names, attention))
    return [Candidate(*key, tuple(spaces)) for key, spaces in found.items() if spaces]
