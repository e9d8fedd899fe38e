"""Take the fingerprint of a folder."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from mergeguard_hub.architecture import Layout, Names, Prefix, Proof, lay_out, prove_config, proved_as_named
from mergeguard_hub.checkpoint import LEFT_OUT, Checkpoint, CheckpointTensors, open_folder
from mergeguard_hub.errors import ArchitectureError, FingerprintError
from mergeguard_hub.fingerprint.measuring import measure
from mergeguard_hub.fingerprint.record import PUBLIC, Component, Fingerprint, Form
from mergeguard_hub.fingerprint.spectra import measure_spectra

_COARSENESS = ("F8_E5M2", "F8_E4M3", "BF16", "F16", "F32", "F64")
# Keys of a configuration that no proof depends on.
_IRRELEVANT = frozenset({"mergeguard", "_mergeguard", "dtype", "torch_dtype", "transformers_version", "_name_or_path"})


def fingerprint_folder(path: str | Path, *, name: str | None = None, secret: str | None = None) -> Fingerprint:
    """Take the fingerprint of a model folder or a diffusers pipeline.

    Weights are read once, block by block, so memory is that of a few pieces of a tensor whatever the size of the model.
    Components that no installed class loads are left out.

    Args:
        path: folder with safetensors weights and their config.json.
        name: what the model is called; None takes the folder's name.
        secret: what the probes are drawn with, long and random, so that nobody can spoil just what they measure; only
            fingerprints with the same secret can be compared. None takes the probes that everybody knows.

    Returns:
        About 3 kB for each layer.

    Raises:
        CheckpointError: the folder cannot be read.
        FingerprintError: nothing is known of any of its components, or nothing could be measured.

    >>> fingerprint_folder("model").save("fp.json")  # doctest: +SKIP
    """
    path = Path(path)
    components: dict[str, Component] = {}
    forms: list[Form] = []
    spectra: list[Form] = []
    unknown: dict[str, ArchitectureError] = {}
    for part, checkpoint in open_folder(path, exclude=LEFT_OUT).items():
        try:
            layout, architecture = layout_of(checkpoint)
        except ArchitectureError as error:
            unknown[part] = error
            continue
        found, sizes = fingerprint_weights(checkpoint, layout, component=part, secret=secret)
        forms += found
        spectra += sizes
        components[part] = Component(architecture, _coarsest(checkpoint), _parameters(checkpoint))
    if not forms:
        reason = "; ".join(map(str, unknown.values())) or "it has no attention, MLP or matrix that can be measured"
        raise FingerprintError(f"{path} has no fingerprint: {reason}")
    called = path.resolve().name if name is None else name
    return Fingerprint(called, components, tuple(forms), tuple(spectra), _mark(secret))


def fingerprint_weights(
    checkpoint: Checkpoint, layout: Layout, *, component: str = "", secret: str | None = None
) -> tuple[list[Form], list[Form]]:
    """Return the forms and the spectra of one component whose layout is known.

    Args:
        checkpoint: the opened folder.
        layout: what was proved of it.
        component: its name.
        secret: of the probes.

    Raises:
        FingerprintError: a number is NaN or infinite, because a weight is.
    """
    tensors = CheckpointTensors(checkpoint)
    forms = measure(layout, tensors, component=component, secret=f"{secret}\0" if secret else "")
    return forms, measure_spectra(layout, tensors, component=component)


def _mark(secret: str | None) -> str:
    """Return how a fingerprint tells which probes it was taken with, without telling the secret."""
    if not secret:
        return PUBLIC
    return "secret-" + hashlib.sha256(f"mergeguard fingerprint secret v1\0{secret}".encode()).hexdigest()[:16]


def layout_of(checkpoint: Checkpoint) -> tuple[Layout, str]:
    """Prove what may be done to a component; return its layout and the name of its class."""
    config = {key: value for key, value in checkpoint.config.items() if key not in _IRRELEVANT}
    shapes = {name: entry.shape for name, entry in checkpoint.entries.items() if entry.is_floating}
    proof, full = proved_as_named(partial(_proof, json.dumps(config, sort_keys=True)), shapes)
    return lay_out(Names(shapes, full), proof), proof.architecture


@lru_cache(maxsize=32)
def _proof(config: str, prefix: Prefix) -> tuple[Proof, dict[str, Any]]:
    return prove_config(json.loads(config), prefix)


def _coarsest(checkpoint: Checkpoint) -> str:
    found = {entry.dtype for entry in checkpoint.entries.values() if entry.is_floating}
    return next((dtype for dtype in _COARSENESS if dtype in found), "F32")


def _parameters(checkpoint: Checkpoint) -> int:
    return sum(entry.numel for entry in checkpoint.entries.values())
