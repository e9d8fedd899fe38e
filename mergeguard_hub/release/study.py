"""What is known about one component before anything is drawn: its proof and its layout."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from mergeguard_hub.architecture.layout import Layout, lay_out
from mergeguard_hub.architecture.miniature import Prefix
from mergeguard_hub.architecture.names import Names
from mergeguard_hub.architecture.prefixed import prove_config, proved_as_named
from mergeguard_hub.architecture.prove import Proof
from mergeguard_hub.checkpoint import Checkpoint
from mergeguard_hub.release.claims import CLAIM_KEYS
from mergeguard_hub.release.proof_cache import keep_proof, proof_file, read_proof

# Keys of a configuration that no proof depends on, so that one proof serves every dtype and release of a class.
_IRRELEVANT = CLAIM_KEYS | {"dtype", "torch_dtype", "transformers_version", "_diffusers_version", "_name_or_path"}


@dataclass(frozen=True, eq=False)
class Study:
    """One component with everything that was proved about it.

    Attributes:
        checkpoint: the opened folder.
        config: its configuration with all defaults.
        proof: what holds for its class.
        names: its tensors.
        layout: the same on them.
    """

    checkpoint: Checkpoint
    config: dict[str, Any]
    proof: Proof
    names: Names
    layout: Layout


def study(checkpoint: Checkpoint) -> Study:
    """Prove what may be done to a checkpoint; a class and configuration is proved once, see `proof_cache`.

    Args:
        checkpoint: one component.

    Raises:
        UnknownArchitectureError: no installed class loads it.
        ArchitectureError: its class cannot be scaled down and run.
    """
    config = json.dumps(_relevant(checkpoint.config), sort_keys=True)
    names = [name for name, entry in checkpoint.entries.items() if entry.is_floating]
    proof, full = proved_as_named(partial(_proof, config), names)
    return settle(checkpoint, proof, full)


def settle(checkpoint: Checkpoint, proof: Proof, config: dict[str, Any]) -> Study:
    """Apply a proof to a checkpoint.

    Args:
        checkpoint: one component.
        proof: fresh, or from a release's own record.
        config: the configuration with all defaults, from the same place.
    """
    entries = checkpoint.entries
    names = Names(
        {name: entry.shape for name, entry in entries.items() if entry.is_floating},
        config,
        {name: entry.shape for name, entry in entries.items() if entry.dtype.startswith("F8_")},
    )
    return Study(checkpoint, config, proof, names, lay_out(names, proof))


def _relevant(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _relevant(value) if isinstance(value, Mapping) else value
        for key, value in config.items()
        if key not in _IRRELEVANT
    }


@lru_cache(maxsize=32)
def _proof(config: str, prefix: Prefix) -> tuple[Proof, dict[str, Any]]:
    relevant = json.loads(config)
    kept = proof_file(relevant, prefix)
    found = None if kept is None else read_proof(kept)
    if found is None:
        found = prove_config(relevant, prefix)
        if kept is not None:
            keep_proof(kept, found)
    return found
