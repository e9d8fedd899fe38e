"""Everything of a release that is not weights: configurations with their claim, tokenizers, cards, pipeline files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mergeguard_hub.checkpoint import Checkpoint, StagedFolder, pipeline_files
from mergeguard_hub.errors import ModifiedReleaseError
from mergeguard_hub.release.claims import release_id
from mergeguard_hub.release.report import ComponentReport, Report, StageReport
from mergeguard_hub.release.sidecar import SIDECAR, VERSION, read_sidecar, with_claim, without_claim

CONFIG = "config.json"


def write_side_files(
    source: Path,
    components: Mapping[str, Checkpoint],
    staged: StagedFolder,
    digest: str | None,
    *,
    architecture: str | None = None,
    exclude: Sequence[str] = (),
) -> Path:
    """Copy every file beside the weights and return the staged folder's path.

    Args:
        source: the folder that is copied.
        components: its opened components.
        staged: where files go.
        digest: what the configurations are to claim; None takes an old claim out instead.
        architecture: class name for config.json, where it names one.
        exclude: patterns of files to leave out.
    """
    for name, checkpoint in components.items():
        for file in checkpoint.side_files:
            relative = f"{name}/{file}" if name else file
            if file == CONFIG:
                text = (checkpoint.root / file).read_text(encoding="utf-8")
                staged.write_text(relative, _configured(text, checkpoint.config, digest, architecture))
            else:
                staged.copy_file(checkpoint.root / file, relative)
    if set(components) != {""}:
        for file in pipeline_files(source, components, exclude=(*exclude, SIDECAR)):
            staged.copy_file(source / file, file)
    return staged.path


def _configured(text: str, config: Mapping[str, Any], digest: str | None, architecture: str | None) -> str:
    """Return config.json with another claim and class name, every other byte as it is."""
    text = without_claim(text)
    old = config.get("architectures")
    if architecture is not None and old and old != [architecture]:
        text = text.replace(f'"{old[0]}"', f'"{architecture}"', 1)
    if digest is None:
        return text
    return with_claim(text, config, {"version": VERSION, "id": release_id(digest), "digest": digest})


def copy_through(
    source: Path,
    target: Path,
    components: Mapping[str, Checkpoint],
    staged: StagedFolder,
    claim: Mapping[str, Any],
    *,
    exclude: Sequence[str],
) -> Report:
    """Release unchanged weights of a protected release again, with its own record.

    Raises:
        ModifiedReleaseError: the record is neither in the source nor in the target.
    """
    found = [record for record in (read_sidecar(source), read_sidecar(target)) if record is not None]
    record = next((record for record in found if record["digest"] == claim["digest"]), None)
    if record is None:
        raise ModifiedReleaseError(
            f"the weights in {source} are those of the protected release {claim['id']}, unchanged, and its {SIDECAR} is not "
            "beside them. Copy that file into the source, or load the original model instead of its release."
        )
    for name, checkpoint in components.items():
        staged.allocate(checkpoint, name)
        for entry in checkpoint.entries.values():
            staged.copy_tensor(checkpoint, entry, name)
    write_side_files(source, components, staged, record["digest"], exclude=exclude)
    staged.write_text(SIDECAR, sidecar_bytes(source, target, record))
    return report_of(record, already=True)


def sidecar_bytes(source: Path, target: Path, record: Mapping[str, Any]) -> str:
    """Return the text of the file that the record was read from."""
    holder = source if read_sidecar(source) == record else target
    return (holder / SIDECAR).read_text(encoding="utf-8")


def report_of(record: Mapping[str, Any], *, already: bool = False) -> Report:
    """Return the report that a record was written from."""
    fields = ("name", "architecture", "digest", "parameters", "covered", "moved", "block_drift", "model_drift")
    return Report(
        version=record["version"],
        id=record["id"],
        digest=record["digest"],
        recipe=record["recipe"]["name"],
        key_id=record["key_id"],
        components=tuple(ComponentReport(**{k: c[k] for k in fields}) for c in record["components"].values()),
        stages=tuple(StageReport(**stage) for stage in record["stages"]),
        parent=record["parent"],
        base=record["base"],
        exact=record["exact"],
        already=already,
        narrowed={
            f"{name}:{block}": n
            for name, component in record["components"].items()
            for block, n in component.get("draft", {}).get("bounds", {}).items()
        },
        tools=dict(record["tools"]),
    )
