"""Class names in a saved folder: the user's own class becomes the library's, so that strangers can load the release."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mergeguard_hub.hub.families import parts, upstream_class

_CONFIG = "config.json"
_INDEX = "model_index.json"


def name_upstream(folder: Path, model: Any) -> None:
    """Write the nearest upstream class names into the configs of a freshly saved model or pipeline.

    Args:
        folder: what `save_pretrained` wrote; files without the user's class name stay byte for byte as they are.
        model: the object that was saved.
    """
    index = folder / _INDEX
    for name, part in parts(model):
        own, upstream = type(part), upstream_class(type(part))
        if own.__name__ == upstream.__name__ and own.__module__ == upstream.__module__:
            continue
        config = index if not name and index.is_file() else folder / name / _CONFIG
        _edit(config, {"architectures": [upstream.__name__], "_class_name": upstream.__name__})
        if name:
            _edit(index, {name: [upstream.__module__.partition(".")[0], upstream.__name__]})


def _edit(path: Path, values: dict[str, Any]) -> None:
    """Replace the values of keys that the file has, in the format in which both libraries write."""
    if not path.is_file():
        return
    content = json.loads(path.read_text(encoding="utf-8"))
    changed = {name: value for name, value in values.items() if name in content and content[name] != value}
    if changed:
        path.write_text(json.dumps({**content, **changed}, indent=2, sort_keys=True) + "\n", encoding="utf-8")
