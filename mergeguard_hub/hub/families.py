"""Which library an object comes from, what it is made of, and the name under which a stranger loads it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Literal

import torch

from mergeguard_hub.errors import HookError

Family = Literal["transformers", "pipeline", "diffusers", "hub mixin"]

SETTINGS = "mergeguard_settings"  # class attribute of the mixin, instance attribute after `enable`
PLAIN = "_mergeguard_plain"  # on a class that `enable` made: the class that it was made from

_BASES: tuple[tuple[Family, str, str], ...] = (
    ("transformers", "transformers.modeling_utils", "PreTrainedModel"),
    ("pipeline", "diffusers.pipelines.pipeline_utils", "DiffusionPipeline"),
    ("diffusers", "diffusers.models.modeling_utils", "ModelMixin"),
    ("hub mixin", "huggingface_hub.hub_mixin", "ModelHubMixin"),
)
_UPSTREAM = ("transformers.models.", "diffusers.models.", "diffusers.pipelines.")


def loaded_class(module: str, name: str) -> type | None:
    """Return a class of another library if its module is loaded; an object of it can exist only then."""
    found = getattr(sys.modules.get(module), name, None)
    return found if isinstance(found, type) else None


def find_family(model_class: type) -> tuple[Family, type] | None:
    """Return the family of a class and the library's base class, or None."""
    for family, module, name in _BASES:
        base = loaded_class(module, name)
        if base is not None and issubclass(model_class, base):
            return family, base
    return None


def family_of(model: object) -> Family:
    """Return the family of an object.

    Raises:
        HookError: it belongs to none that can be saved protected.
    """
    found = find_family(type(model))
    if found is None:
        inner = next((name for name in ("module", "model") if hasattr(model, name)), None)
        hint = f"if it wraps the model, enable what is inside: enable(x.{inner})" if inner else "pass the model itself"
        raise HookError(
            f"A {type(model).__name__} cannot be saved protected: it is no transformers or diffusers model, diffusers "
            f"pipeline or PyTorchModelHubMixin; {hint}."
        )
    return found[0]


def innermost(model: Any) -> Any:
    """Return the object inside `torch.compile` wrappers, whose `save_pretrained` the wrappers forward to."""
    wrapper = loaded_class("torch._dynamo.eval_frame", "OptimizedModule")
    while wrapper is not None and issubclass(type(model), wrapper):
        model = model._orig_mod
    return model


def parts(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield ("", model) and, for a pipeline, (name, component) for each component that can be saved."""
    yield "", model
    found = find_family(type(model))
    if found is None or found[0] != "pipeline":
        return
    for name, value in model.config.items():
        if isinstance(value, (list, tuple)) and not name.startswith("_"):  # (library, class); the rest are settings
            component = innermost(getattr(model, name, None))
            if hasattr(component, "config"):
                yield name, component


def weight_bytes(model: Any) -> int:
    """Return the size of an object's parameters and buffers in bytes; tied ones count once."""
    modules = [part for _, part in parts(model) if isinstance(part, torch.nn.Module)]
    tensors = {id(tensor): tensor for module in modules for tensor in (*module.parameters(), *module.buffers())}
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def plain_class(model_class: type) -> type:
    """Return the class that `enable` started from; any other class is returned as it is."""
    plain = vars(model_class).get(PLAIN, model_class)
    return plain if isinstance(plain, type) else model_class


def upstream_class(model_class: type) -> type:
    """Return the nearest class that the library itself ships, so that strangers load the release without our code.

    A class that travels with the model as remote code keeps its own name; so does one with no such ancestor.
    """
    if getattr(model_class, "_auto_class", None) is None:
        for ancestor in model_class.__mro__:
            if ancestor.__module__.startswith(_UPSTREAM) and PLAIN not in vars(ancestor):
                return ancestor
    found = find_family(model_class)
    for ancestor in model_class.__mro__:
        guarded = hasattr(ancestor, SETTINGS)
        if found is not None and not guarded and issubclass(ancestor, found[1]) and ancestor is not found[1]:
            return ancestor
    return plain_class(model_class)
