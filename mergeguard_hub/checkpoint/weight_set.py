"""Which files of a folder are its one set of weights, and the tensors in them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mergeguard_hub.checkpoint.document import read_document
from mergeguard_hub.checkpoint.entry import TensorEntry
from mergeguard_hub.checkpoint.header import Header, read_header
from mergeguard_hub.checkpoint.inventory import SAFETENSORS, holds_weights, refuse_weights, shown
from mergeguard_hub.checkpoint.paths import inside, refuse_linked_folders
from mergeguard_hub.errors import InvalidCheckpointError, MissingFileError, UnsupportedFormatError

_INDEX = re.compile(r"[^/]+\.safetensors\.index(\.[^./]+)?\.json")
_SHARD = re.compile(r"-\d{5}-of-\d{5}[.]")


@dataclass(frozen=True)
class WeightSet:
    """One set of weights: `index` is None for a single file, `headers` maps each file to its header."""

    index: str | None
    headers: dict[str, Header]

    @property
    def entries(self) -> dict[str, TensorEntry]:
        """All tensors, sorted by name."""
        found = {entry.name: entry for header in self.headers.values() for entry in header.entries}
        return {name: found[name] for name in sorted(found)}


def find_weight_set(root: Path, files: Sequence[str]) -> WeightSet:
    """Find and check the one set of weights at the top of a folder.

    Args:
        root: the folder.
        files: its files, relative; weight files among them that are not part of the set are refused.

    Raises:
        MissingFileError: if there are no weights, or a shard or the index is missing.
        UnsupportedFormatError: if there are only pickles, or weights beside the set.
        InvalidCheckpointError: if a header lies, or index and shards disagree.
        UnsafePathError: if the index names a file outside the folder.
    """
    indexes = [file for file in files if _INDEX.fullmatch(file)]
    if len(indexes) > 1:
        raise UnsupportedFormatError(
            f"{root} holds several sets of weights, one per index: {shown(indexes)}. "
            "Leave all but one out with exclude=."
        )
    weight_map = _read_index(root, indexes[0], files) if indexes else None
    chosen = sorted(set(weight_map.values())) if weight_map is not None else [_single_file(root, files)]
    label = f"the set of {indexes[0]}" if indexes else chosen[0]
    refuse_weights(root, [file for file in files if file not in set(chosen)], beside=label)
    headers = {file: read_header(root, file) for file in chosen}
    _check_duplicates(root, headers)
    if weight_map is not None:
        _check_index(root / indexes[0], weight_map, headers)
    if not any(header.entries for header in headers.values()):
        raise MissingFileError(f"{root}: {label} holds no tensors, so there is nothing to protect.")
    return WeightSet(indexes[0] if indexes else None, headers)


def _single_file(root: Path, files: Sequence[str]) -> str:
    here = [file for file in files if "/" not in file and file.endswith(SAFETENSORS)]
    if not here:
        raise _no_weights(root, files)
    shards = [file for file in here if _SHARD.search(file)]
    if shards:
        raise MissingFileError(
            f"{root} holds shards ({shown(shards)}) but no *.safetensors.index.json that lists them. "
            "Download the index, or save the model again."
        )
    if len(here) > 1:
        raise UnsupportedFormatError(
            f"{root} holds several sets of weights: {shown(here)}. Only one can be protected, and copying the others "
            "would publish raw weights. Leave all but one out with exclude=."
        )
    return here[0]


def _no_weights(root: Path, files: Sequence[str]) -> MissingFileError | UnsupportedFormatError:
    other = [file for file in files if holds_weights(root, file)]
    deeper = [file for file in other if file.endswith(SAFETENSORS)]
    if deeper:
        return MissingFileError(
            f"{root} has no weights at its top, only below ({shown(deeper)}), and no model_index.json that makes it "
            "a pipeline. Give the folder that holds config.json and the weights."
        )
    if other:
        return UnsupportedFormatError(
            f"{root} has its weights only in {shown(other)}, which is not safetensors. "
            "Load the model and call save_pretrained, which writes safetensors; then protect that folder."
        )
    return MissingFileError(
        f"{root} holds no weights (no *.safetensors file). Check the path, and that the download has finished."
    )


def _read_index(root: Path, index: str, files: Sequence[str]) -> dict[str, str]:
    label = str(root / index)
    weight_map = read_document(root / index, label=label).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(shard, str) for shard in weight_map.values()):
        raise InvalidCheckpointError(
            f"{label} has no weight_map from tensor names to file names. The file is damaged: download it again."
        )
    shards = {shard: inside(shard, label=label) for shard in set(weight_map.values())}
    for shard in sorted(shards.values()):
        refuse_linked_folders(root, shard, label=label)
        if shard not in files:
            raise MissingFileError(
                f"{label} names the shard {shard!r}, which is missing or excluded. Download the checkpoint again."
            )
    return {name: shards[shard] for name, shard in weight_map.items()}


def _check_duplicates(root: Path, headers: dict[str, Header]) -> None:
    seen: dict[str, str] = {}
    for file, header in headers.items():
        for entry in header.entries:
            if entry.name in seen:
                raise InvalidCheckpointError(
                    f"{root}: tensor {entry.name!r} is in {seen[entry.name]} and again in {file}. "
                    "Shards of two saves were mixed: download or save the checkpoint again."
                )
            seen[entry.name] = file


def _check_index(path: Path, weight_map: dict[str, str], headers: dict[str, Header]) -> None:
    found = {entry.name: file for file, header in headers.items() for entry in header.entries}
    for name in sorted(weight_map.keys() | found.keys()):
        claimed, actual = weight_map.get(name), found.get(name)
        if claimed != actual:
            raise InvalidCheckpointError(
                f"{path} and the shards disagree: tensor {name!r} should be in {claimed or 'no file'} and is in "
                f"{actual or 'no file'}. Shards of two saves were mixed: download or save the checkpoint again."
            )
