"""Architectures: which tensors form an attention, an MLP, a residual stream, and what may be done to them; proved."""

from __future__ import annotations

from mergeguard_hub.architecture.layout import Layout, coverage, lay_out
from mergeguard_hub.architecture.miniature import Miniature, Prefix
from mergeguard_hub.architecture.names import Names
from mergeguard_hub.architecture.prefixed import prove_config, proved_as_named
from mergeguard_hub.architecture.prove import Proof, Proved, prove
from mergeguard_hub.architecture.space import Port, Space

__all__ = [
    "Layout",
    "Miniature",
    "Names",
    "Port",
    "Prefix",
    "Proof",
    "Proved",
    "Space",
    "coverage",
    "lay_out",
    "prove",
    "prove_config",
    "proved_as_named",
]
