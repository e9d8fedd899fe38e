"""JSON documents of a checkpoint folder, read strictly: one object, no key twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mergeguard_hub.errors import InvalidCheckpointError, MissingFileError


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the key {key!r} appears twice")
        result[key] = value
    return result


def parse_document(data: bytes, *, label: str) -> dict[str, Any]:
    """Parse the bytes of one JSON object.

    Raises:
        InvalidCheckpointError: if the bytes are not UTF-8, not JSON, not an object, or repeat a key.
    """
    try:
        document = json.loads(data.decode("utf-8"), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise InvalidCheckpointError(
            f"{label} is not valid JSON ({error}). The file is damaged: download or save it again."
        ) from error
    if not isinstance(document, dict):
        raise InvalidCheckpointError(
            f"{label} holds a JSON {type(document).__name__} where an object is expected. "
            "The file is damaged or of another kind: download or save it again."
        )
    return document


def read_document(path: Path, *, label: str) -> dict[str, Any]:
    """Read one JSON object from a file.

    Raises:
        MissingFileError: if the file cannot be read.
        InvalidCheckpointError: as `parse_document`.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MissingFileError(f"{label} cannot be read ({error.strerror}). Check its path and permissions.") from error
    return parse_document(data, label=label)
