"""What goes up from a folder: the verified release and what belongs to it, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mergeguard_hub.checkpoint import open_folder, patterns_of
from mergeguard_hub.errors import ModifiedReleaseError, NotProtectedError
from mergeguard_hub.hub.disguised import refuse_disguised
from mergeguard_hub.release.claims import claimed_digest, claims_in, digests_of, whole_digest
from mergeguard_hub.release.meter import Meter
from mergeguard_hub.release.report import ProgressCallback
from mergeguard_hub.release.side_files import side_files
from mergeguard_hub.release.sidecar import LEFT_OUT, SIDECAR, read_sidecar, sidecar_text

# Left in the folder without a question: a Trainer writes them beside the model, and none of them is part of a release.
# Optimizer state helps to undo a protection, and the pickled arguments hold the access token.
NEVER = (
    "optimizer*",
    "scheduler.pt",
    "scaler.pt",
    "rng_state*",
    "trainer_state.json",
    "training_args.bin",
    "*/training_args.bin",
    ".env",
    "*/.env",
    "checkpoint-*/",
    "global_step*/",
    "last-checkpoint/",
)
README = "README.md"
BADGE = "mergeguard-badge.svg"
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Contents:
    """A verified release, ready to go up.

    Attributes:
        folder: where it lies.
        weights: relative path -> sha256, of the weight files.
        others: relative path -> file, of everything else but README, badge and record.
        record: what `mergeguard.json` says.
    """

    folder: Path
    weights: dict[str, str]
    others: dict[str, Path]
    record: dict[str, Any]

    def texts(self, additions: Mapping[str, Any]) -> dict[str, bytes]:
        """Return the release record as it goes up: with the files' own digests, as the Hub shows them."""
        record = {**self.record, **additions, "files": self.weights}
        return {SIDECAR: sidecar_text(record).encode()}


def read_contents(
    folder: Path,
    *,
    exclude: Sequence[str] = (),
    only: Collection[str] | None = None,
    progress: ProgressCallback | None = None,
) -> Contents:
    """Verify a folder, and list what of it goes up.

    Args:
        folder: a protected release.
        exclude: `fnmatch` patterns of files to leave out, besides `NEVER`.
        only: the files that may go up; every one by default. Weights and record go up in any case.
        progress: called with `Progress` records.

    Raises:
        NotProtectedError: nothing in it says that it was protected, or the record of the release is missing.
        ModifiedReleaseError: the weights are not the ones that were protected.
        KeyFileError: a key lies in it.
        UnsupportedFormatError: other weights lie beside the release.
    """
    left_out = (*LEFT_OUT, *NEVER, *patterns_of(exclude))
    record = read_sidecar(folder)
    components = open_folder(folder, exclude=left_out)
    found = side_files(folder, components, exclude=left_out)
    refuse_disguised(folder, {name: path for name, path in found.items() if only is None or name in (*only, README)})
    digests = digests_of(components, None, Meter(progress))
    if record is None:
        raise _unrecorded(folder, claims_in(components), digests)
    if record["digest"] != (actual := whole_digest(digests)):
        raise ModifiedReleaseError(
            f"{folder} claims to be {record['digest']}, and its weights are {actual}: they were changed after "
            "protecting. Nothing was uploaded. Protect the changed model again, then push that."
        )
    index = {
        f"{name}/{checkpoint.index_file}" if name else checkpoint.index_file
        for name, checkpoint in components.items()
        if checkpoint.index_file
    }
    weights = {
        f"{name}/{file}" if name else file: _sha256(checkpoint.root / file)
        for name, checkpoint in components.items()
        for file in checkpoint.weight_files
    }
    others = {name: path for name, path in found.items() if name not in weights and name not in (README, BADGE)}
    others |= {name: folder / name for name in index}
    kept = {name: path for name, path in others.items() if only is None or name in only or name in index}
    return Contents(folder, weights, kept, record)


def _unrecorded(
    folder: Path, claims: Mapping[str, Mapping[str, Any]], digests: Mapping[str, str]
) -> NotProtectedError | ModifiedReleaseError:
    if not claims and (folder / "adapter_config.json").is_file():
        return NotProtectedError(
            f"{folder} holds an adapter, which cannot be protected alone: what rearranges a base model would have to "
            "be done to the base that everybody has. Nothing was uploaded. Merge it (merge_and_unload()), "
            "protect the merged model, and push that; or train the adapter with Trap² (docs/hardening.md) and "
            "publish it as PEFT does."
        )
    if not claims:
        return NotProtectedError(
            f"{folder} is not protected, so pushing it would publish raw weights. Nothing was uploaded. Run "
            f"`mergeguard protect {folder} DST` and push DST."
        )
    if claimed_digest(claims, digests) != whole_digest(digests):
        return ModifiedReleaseError(
            f"{folder} inherited the claim of another release, and its weights are others. Nothing was uploaded. "
            "Protect it, then push the protected folder."
        )
    return NotProtectedError(
        f"{folder} has the weights of a protected release, but its {SIDECAR} is missing, without which not even the "
        "owner can unlock it. Nothing was uploaded. Copy that file into the folder."
    )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
