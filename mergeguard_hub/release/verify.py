"""Check a release's claim, and what it computes against the original."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mergeguard_hub.architecture.miniature import find_class
from mergeguard_hub.checkpoint import Checkpoint, open_folder
from mergeguard_hub.errors import MissingFileError, UnknownArchitectureError, VerificationError
from mergeguard_hub.release.claims import claimed_digest, claims_in, digests_of, whole_digest
from mergeguard_hub.release.drift import fits, half_of_memory, model_drift, model_tolerance
from mergeguard_hub.release.meter import Meter
from mergeguard_hub.release.report import ProgressCallback, Verification
from mergeguard_hub.release.sidecar import LEFT_OUT, SIDECAR, read_sidecar


def verify_folder(
    path: str | Path, *, against: str | Path | None = None, progress: ProgressCallback | None = None
) -> Verification:
    """Compute the weights' digest again, compare it with the claim, and the outputs with those of the original.

    It does not tell who made the claim: anybody can claim the weights that they publish.

    Args:
        path: a release, a component of one, or anything else.
        against: the original model folder, if at hand; both are loaded whole, in float32.
        progress: called with `Progress` records.

    Raises:
        CheckpointError: a folder cannot be read.
        MissingFileError: the original has a component that `path` lacks.
        VerificationError: outputs cannot be compared: too large for this machine, or one does not load.
    """
    path, meter = Path(path), Meter(progress)
    components = open_folder(path, exclude=LEFT_OUT)
    record, claims = read_sidecar(path), claims_in(components)
    digests = digests_of(components, None, meter)
    actual = whole_digest(digests)
    drift, allowed = ({}, {}) if against is None else _compare(path, Path(against), digests, record, meter)
    if record is None and not claims:
        return Verification("not protected", None, actual, drift, allowed)
    claimed = str(record["digest"]) if record is not None else claimed_digest(claims, digests)
    return Verification("protected" if claimed == actual else "modified", claimed, actual, drift, allowed)


def _compare(
    path: Path, against: Path, digests: Mapping[str, str], record: Mapping[str, Any] | None, meter: Meter
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the error and the tolerance of every component of the original."""
    originals = open_folder(against, exclude=LEFT_OUT)
    exact = record is not None and bool(record["exact"])
    drift: dict[str, float] = {}
    allowed: dict[str, float] = {}
    meter.begin("verify", sum(original.nbytes for original in originals.values()))
    for name, original in originals.items():
        if name not in digests:
            raise MissingFileError(f"{path} has no component {name!r}, which {against} has; is it a release of it?")
        if original.digest() == digests[name]:
            drift[name], allowed[name] = 0.0, 0.0  # the same weights, whatever class they belong to
        else:
            drift[name] = _drift(original, path / name)
            allowed[name] = model_tolerance(original, drift[name], exact=exact)
        meter.advance(original.nbytes, name)
    return drift, allowed


def _drift(original: Checkpoint, release: Path) -> float:
    if not fits(original, half_of_memory()):
        raise VerificationError(
            f"{original.root} has {original.nbytes} bytes of weights, too many to load on this machine in float32. The "
            f"blocks were compared when it was saved; see block_drift in {SIDECAR}."
        )
    try:
        find_class(original.config)
    except UnknownArchitectureError as error:
        raise VerificationError(f"the outputs of {original.root} cannot be compared: {error}") from error
    found = model_drift(original, release)
    if found is None:
        raise VerificationError(
            f"the weights in {original.root} are in {original.weight_files[0]}, a file that from_pretrained does not "
            "look for, so outputs cannot be compared. Save the original again with save_pretrained."
        )
    return found
