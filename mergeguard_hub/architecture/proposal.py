"""Every candidate reading of a checkpoint's symmetries, from its names, shapes and configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mergeguard_hub.architecture.attention import find_attentions
from mergeguard_hub.architecture.attention_latent import find_latent_attentions
from mergeguard_hub.architecture.attention_spaces import attention_candidates
from mergeguard_hub.architecture.block import Attention, Candidate, Mlp
from mergeguard_hub.architecture.channels import channel_candidates
from mergeguard_hub.architecture.experts import expert_candidates
from mergeguard_hub.architecture.mlp import find_mlps, mlp_candidates
from mergeguard_hub.architecture.names import Names, is_cross_attention
from mergeguard_hub.architecture.norm import norm_candidates
from mergeguard_hub.architecture.residual import Axes, hidden_sizes, residual_axes, residual_candidates


@dataclass(frozen=True, eq=False)
class Proposal:
    """Everything that names, shapes and configuration suggest; nothing of it is proved.

    Attributes:
        candidates: readings, those of one (template, group) in order of likelihood.
        attentions, mlps: every reading of every block.
        axes: tower label -> residual axes by tensor template.
    """

    candidates: tuple[Candidate, ...]
    attentions: tuple[Attention, ...]
    mlps: tuple[Mlp, ...]
    axes: Mapping[str, Axes]


def propose(names: Names, *, axes: Mapping[str, Axes] | None = None) -> Proposal:
    """Read names, shapes and configuration.

    Args:
        names: what is known before any weight is read.
        axes: residual axes found on the miniature; on a real checkpoint, where sizes may coincide, they are used
        instead
            of lengths.
    """
    attentions, mlps = [*find_attentions(names), *find_latent_attentions(names)], list(find_mlps(names))
    candidates = attention_candidates(names, attentions) + mlp_candidates(names, mlps)
    candidates += channel_candidates(names) + expert_candidates(names)
    if axes is None:
        units = ("query_key", "value_output", "heads", "units")
        inside = (space for candidate in candidates if candidate.group in units for space in candidate.spaces)
        taken = frozenset((port.tensor, port.axis) for space in inside for port in space.ports)
        found = {label: residual_axes(names, size, taken) for label, size in hidden_sizes(names).items()}
        axes = {label: at for label, at in found.items() if at}
    cross = _cross_reads(names, attentions)
    candidates += residual_candidates(names, axes, cross)
    candidates += norm_candidates(names, axes, attentions, cross, _writes(names, attentions, mlps))
    return Proposal(tuple(candidates), tuple(attentions), tuple(mlps), axes)


def _cross_reads(names: Names, attentions: list[Attention]) -> frozenset[tuple[str, int]]:
    """Axes through which cross-attentions read their keys and values."""
    crossing = [attention for attention in attentions if is_cross_attention(attention.prefix)]
    parts = [part for attention in crossing for part in (attention.key, attention.value)]
    queries = {attention.query.weight for attention in crossing}
    return frozenset((part.weight, 1 - part.axis) for part in parts if part.weight not in queries)


def _writes(names: Names, attentions: list[Attention], mlps: list[Mlp]) -> frozenset[tuple[str, int]]:
    """Axes through which blocks write to the residual stream: the other axis of their last matrix."""
    parts = [attention.output for attention in attentions] + [mlp.down for mlp in mlps]
    return frozenset((part.weight, 2 * len(names.shapes[part.weight]) - 3 - part.axis) for part in parts)
