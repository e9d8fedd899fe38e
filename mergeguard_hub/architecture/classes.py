"""The class that a configuration names, and its configuration with every default filled in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mergeguard_hub.errors import UnknownArchitectureError


def find_class(config: Mapping[str, Any]) -> type[Any]:
    """Return the transformers or diffusers class that loads a checkpoint with this configuration.

    Raises:
        UnknownArchitectureError: the configuration names none, or one that is not installed.
    """
    if "_class_name" in config:
        return _diffusers_class(str(config["_class_name"]))
    import transformers

    for name in config.get("architectures") or ():
        found = getattr(transformers, name, None)
        if found is not None:
            return found  # type: ignore[no-any-return]
    kind = str(config.get("model_type"))
    brought = any(name.startswith("AutoModel") for name in config.get("auto_map") or ())  # is loaded before any of ours
    if not brought and kind in transformers.CONFIG_MAPPING:
        of_kind = transformers.CONFIG_MAPPING[kind]
        mappings: tuple[Any, ...] = (transformers.MODEL_FOR_CAUSAL_LM_MAPPING, transformers.MODEL_MAPPING)
        for mapping in mappings:
            if of_kind in mapping:
                return mapping[of_kind]  # type: ignore[no-any-return]
    raise UnknownArchitectureError(
        f"config.json names architectures {config.get('architectures')} and model_type {config.get('model_type')!r}, "
        f"and the installed transformers {transformers.__version__} has neither. Update transformers, or publish the "
        "model with a class it knows; custom modeling code cannot be proved."
    )


def _diffusers_class(name: str) -> type[Any]:
    try:
        import diffusers
    except ImportError as error:
        raise UnknownArchitectureError(
            f"{name} is a diffusers class and diffusers is not installed. pip install 'mergeguard-hub[diffusers]'"
        ) from error
    found = getattr(diffusers, name, None)
    if found is None:
        raise UnknownArchitectureError(
            f"the installed diffusers {diffusers.__version__} has no class {name}; update it."
        )
    return found  # type: ignore[no-any-return]


def full_config(cls: type[Any], config: Mapping[str, Any]) -> Any:
    """Return the configuration object of a class with every default filled in.

    Where the configuration is a composite and the class takes one part of it, that part is returned.
    """
    import transformers

    full = transformers.AutoConfig.for_model(config["model_type"]).from_dict(dict(config))
    wanted = getattr(cls, "config_class", None)
    if wanted is None or isinstance(full, wanted):
        return full
    parts = (getattr(full, key, None) for key in full.to_dict())
    return next((part for part in parts if isinstance(part, wanted)), full)


def resolved(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration with a head size that is left open filled in, as every class does it: width over heads.

    Without it the miniature, which sets a head size of its own, would be read by a key that the checkpoint lacks.
    """
    found = {key: resolved(value) if isinstance(value, Mapping) else value for key, value in config.items()}
    width, heads = found.get("hidden_size"), found.get("num_attention_heads")
    if (
        "head_dim" in found
        and found["head_dim"] is None
        and isinstance(width, int)
        and isinstance(heads, int)
        and heads
    ):
        found["head_dim"] = width // heads
    return found
