"""Attentions and MLPs as parts: which rows and columns of which tensors form one block."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace

from mergeguard_hub.architecture.space import Claim, Port, Positions, Space


@dataclass(frozen=True, eq=False)
class Part:
    """The rows or columns of one linear map that belong together.

    Attributes:
        weight: tensor name.
        axis: axis of the weight that the positions run along.
        positions: any shape; the last axis runs inside a head, the ones before over heads.
        bias: tensor that is added to the same units, if any; always one axis.
    """

    weight: str
    axis: int
    positions: Positions
    bias: str | None = None

    def ports(self, positions: Positions, *, sign: bool = True, scale: int = 0) -> list[Port]:
        """Return the ports of weight and bias at these positions, [units, copies]."""
        ports = [Port(self.weight, self.axis, positions, sign, scale)]
        if self.bias is not None:
            ports.append(Port(self.bias, 0, positions, sign, scale))
        return ports


@dataclass(frozen=True, eq=False)
class Attention:
    """One attention.

    Attributes:
        prefix: module prefix.
        reading: how names and shapes were understood, for example "stacked, head_dim".
        query, output: parts with positions [num_kv_heads, queries per kv head, head_dim].
        key, value: parts with positions [num_kv_heads, head_dim].
        query_gain, key_gain: weight of a norm on queries and keys, if there is one.
        gate: part that gates the attention's output element by element, positions as `output`.
        per_head: (tensor, axis) of one number per query head, such as attention sinks.
        rotary_query: rotary rows of the queries where they meet a key of their own, positions as `query`.
        rotary_key: that key's rows, positions [1, rotary_dim]: shared by all heads.
    """

    prefix: str
    reading: str
    query: Part
    key: Part
    value: Part
    output: Part
    query_gain: str | None = None
    key_gain: str | None = None
    gate: Part | None = None
    per_head: tuple[tuple[str, int], ...] = ()
    rotary_query: Part | None = None
    rotary_key: Part | None = None

    @property
    def parts(self) -> tuple[Part, ...]:
        """Every part there is."""
        parts = (self.query, self.key, self.value, self.output, self.gate, self.rotary_query, self.rotary_key)
        return tuple(part for part in parts if part is not None)

    @property
    def weights(self) -> tuple[str, ...]:
        """Names of the weight matrices."""
        return tuple(dict.fromkeys(part.weight for part in self.parts))


@dataclass(frozen=True, eq=False)
class Mlp:
    """One MLP, plain or gated.

    Attributes:
        prefix: module prefix.
        reading: how names and shapes were understood.
        up: hidden units' rows: the linear half when gated.
        down: hidden units' columns of the output map.
        gate: rows of the half that goes through the activation, when gated.
    """

    prefix: str
    reading: str
    up: Part
    down: Part
    gate: Part | None = None

    @property
    def parts(self) -> tuple[Part, ...]:
        """Every part there is."""
        return (self.up, self.down) if self.gate is None else (self.gate, self.up, self.down)

    @property
    def weights(self) -> tuple[str, ...]:
        """Names of the weight matrices."""
        return tuple(dict.fromkeys(part.weight for part in self.parts))


@dataclass(frozen=True, eq=False)
class Candidate:
    """One reading of one place of the architecture, to be proved.

    Attributes:
        template: module prefix with indices starred: the same place in every layer.
        group: which symmetry is read: candidates of one (template, group) exclude each other.
        reading: how it was understood; the same words mean the same on a checkpoint of any size.
        spaces: the spaces in every layer.
    """

    template: str
    group: str
    reading: str
    spaces: tuple[Space, ...]

    def by_kind(self, kind_of: Callable[[str], str | None]) -> dict[str, Candidate]:
        """Split into one candidate per kind of layer, template -> candidate; none where layers have no kinds.

        Args:
            kind_of: module prefix -> kind of the layer it lies in.
        """
        spaces: dict[str, list[Space]] = {}
        for space in self.spaces:
            kind = kind_of(space.prefix)
            if kind is not None:
                spaces.setdefault(f"{self.template} [{kind}]", []).append(space)
        return {place: replace(self, template=place, spaces=tuple(found)) for place, found in spaces.items()}

    @property
    def signature(self) -> Hashable:
        """Equal for readings that come to the same spaces."""
        return tuple(
            (
                (space.name, None if space.pairs is None else space.pairs.tobytes(), space.families),
                *((p.tensor, p.axis, p.positions.shape, p.positions.tobytes(), p.sign, p.scale) for p in space.ports),
            )
            for space in self.spaces
        )

    @property
    def claims(self) -> frozenset[Claim]:
        """All claims of its spaces."""
        return frozenset(claim for space in self.spaces for claim in space.claims)
