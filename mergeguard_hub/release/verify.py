"""Check a release's claim, and what it computes against the original."""

from __future__ import annotations

from pathlib import Path

from mergeguard_hub.checkpoint import open_folder
from mergeguard_hub.errors import MissingFileError, VerificationError
from mergeguard_hub.release.claims import earlier_claim, whole_digest
from mergeguard_hub.release.drift import fits, half_of_memory, model_drift, tolerance
from mergeguard_hub.release.meter import Meter
from mergeguard_hub.release.report import ProgressCallback, Verification
from mergeguard_hub.release.sidecar import SIDECAR, read_sidecar


def verify_folder(
    path: str | Path, *, against: str | Path | None = None, progress: ProgressCallback | None = None
) -> Verification:
    """Compute the weights' digest again, compare it with the claim, and the outputs with those of the original.

    Args:
        path: a release, or anything else.
        against: the original model folder, if at hand; both are loaded whole, in float32.
        progress: called with `Progress` records.

    Raises:
        CheckpointError: a folder cannot be read.
        VerificationError: outputs cannot be compared: too large for this machine, or one does not load.
    """
    path = Path(path)
    components = open_folder(path, exclude=(SIDECAR,))
    record, claim = read_sidecar(path), earlier_claim(components)
    meter = Meter(progress)
    meter.begin("digest", sum(checkpoint.nbytes for checkpoint in components.values()))
    actual = whole_digest(
        {name: c.digest(progress=lambda e: meter.advance(e.nbytes, e.name)) for name, c in components.items()}
    )
    claimed = record["digest"] if record is not None else claim["digest"] if claim is not None else None
    drift: dict[str, float] = {}
    allowed: dict[str, float] = {}
    if against is not None:
        exact = bool(record["exact"]) if record is not None else False
        for name, original in open_folder(Path(against), exclude=(SIDECAR,)).items():
            if name not in components:
                raise MissingFileError(f"{path} has no component {name!r}, which {against} has; is it a release of it?")
            if original.config.get("_class_name", original.config.get("model_type")) is None:
                continue
            if not fits(original, half_of_memory()):
                raise VerificationError(
                    f"{against} has {original.nbytes} bytes of weights, too many to load twice on this machine. The blocks were "
                    f"compared when it was saved; see block_drift in {SIDECAR}."
                )
            meter.begin("verify", original.nbytes, name)
            drift[name] = model_drift(original, path / name)
            allowed[name] = tolerance(original, exact=exact)
    if claimed is None:
        return Verification("not protected", None, actual, drift, allowed)
    return Verification("protected" if claimed == actual else "modified", claimed, actual, drift, allowed)
