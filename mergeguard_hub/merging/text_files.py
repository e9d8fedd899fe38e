"""Small text files beside weights: configurations and tokenizers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mergeguard_hub.errors import InvalidCheckpointError


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file.

    Raises:
        InvalidCheckpointError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidCheckpointError(f"{path} cannot be read ({error}); download or save it again.") from error


def read_json(path: Path) -> dict[str, Any]:
    """Return the object of a JSON file.

    Raises:
        InvalidCheckpointError: it cannot be read, or holds something else.
    """
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise InvalidCheckpointError(f"{path} is not valid JSON ({error}); download or save it again.") from error
    if not isinstance(content, dict):
        raise InvalidCheckpointError(f"{path} holds no JSON object; download or save it again.")
    return content
