"""What is known about one component before anything is drawn: its proof and its layout."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from mergeguard_hub.architecture.layout import Layout, lay_out
from mergeguard_hub.architecture.miniature import Miniature
from mergeguard_hub.architecture.names import Names
from mergeguard_hub.architecture.prove import Proof, Proved, prove
from mergeguard_hub.checkpoint import Checkpoint
from mergeguard_hub.release.claims import CLAIM_KEYS

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
    """Prove what may be done to a checkpoint; a class and configuration is proved once per process.

    Args:
        checkpoint: one component.

    Raises:
        UnknownArchitectureError: no installed class loads it.
        ArchitectureError: its class cannot be scaled down and run.
    """
    proof, full = _proof(json.dumps(_relevant(checkpoint.config), sort_keys=True))
    return settle(checkpoint, proof, full)


def settle(checkpoint: Checkpoint, proof: Proof, config: dict[str, Any]) -> Study:
    """Apply a proof to a checkpoint.

    Args:
        checkpoint: one component.
        proof: fresh, or from a release's own record.
        config: the configuration with all defaults, from the same place.
    """
    names = Names({name: entry.shape for name, entry in checkpoint.entries.items() if entry.is_floating}, config)
    return Study(checkpoint, config, proof, names, lay_out(names, proof))


def _relevant(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _relevant(value) if isinstance(value, Mapping) else value
        for key, value in config.items()
        if key not in _IRRELEVANT
    }


@lru_cache(maxsize=32)
def _proof(config: str) -> tuple[Proof, dict[str, Any]]:
    miniature = Miniature(json.loads(config))
    return prove(miniature), miniature.full_config


def proof_to_dict(proof: Proof) -> dict[str, Any]:
    """Return the proof as JSON-ready data, so that unlocking needs neither transformers nor a new proof.

    Args:
        proof: of one class.
    """
    return {
        "architecture": proof.architecture,
        "dtype": proof.dtype,
        "proved": [
            {"place": list(place), "reading": p.reading, "claims": sorted(p.claims), "error": p.error}
            for place, p in proof.proved.items()
        ],
        "axes": {label: {name: list(axes) for name, axes in at.items()} for label, at in proof.axes.items()},
        "tensors": sorted(proof.tensors),
    }


def proof_from_dict(record: Mapping[str, Any]) -> Proof:
    """Return the proof that `proof_to_dict` wrote down; why places were refused is not in it.

    Args:
        record: its data, read back.
    """
    proved = {
        (str(p["place"][0]), str(p["place"][1])): Proved(p["reading"], frozenset(p["claims"]), p["error"])
        for p in record["proved"]
    }
    axes = {label: {name: tuple(at) for name, at in found.items()} for label, found in record["axes"].items()}
    return Proof(record["architecture"], record["dtype"], proved, {}, axes, frozenset(record["tensors"]))
