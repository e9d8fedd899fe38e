"""A proof as JSON, in release records and in the cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mergeguard_hub.architecture.prove import Proof, Proved


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
