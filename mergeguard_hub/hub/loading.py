"""The lines of Python that load a release, for its card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mergeguard_hub.hub.escape import quoted


def loading_code(repo_id: str, config: Mapping[str, Any]) -> str:
    """Return the code that loads a model with the library it is of, and with nothing of ours.

    Args:
        repo_id: of the repository.
        config: config.json, or model_index.json of a pipeline.
    """
    name = quoted(repo_id)
    if "_class_name" in config:
        kind = _identifier(config["_class_name"], "DiffusionPipeline")
        return f"from diffusers import {kind}\n\nmodel = {kind}.from_pretrained({name})"
    if "model_type" in config:
        stated = config.get("architectures")
        kind = _identifier(stated[0] if isinstance(stated, list) and stated else None, "AutoModel")
        return f"from transformers import {kind}\n\nmodel = {kind}.from_pretrained({name})"
    return f"model = YourClass.from_pretrained({name})  # the class that it was saved from"


def _identifier(text: Any, default: str) -> str:
    return text if isinstance(text, str) and text.isascii() and text.isidentifier() and len(text) < 80 else default
