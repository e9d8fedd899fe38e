"""What cannot be saved protected. Each check runs before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mergeguard_hub.errors import HookError
from mergeguard_hub.hub.families import family_of, loaded_class, parts


def check_model(model: Any) -> None:
    """Refuse objects whose weights a protected save could not cover.

    Raises:
        HookError: unknown family, adapters, quantised weights, or a `save_pretrained` replaced on the object itself.
    """
    for name, part in parts(model):
        what = f"component {name!r} ({type(part).__name__})" if name else type(part).__name__
        _refuse_adapters(part, what)
        _refuse_quantised(part, what)
        if "save_pretrained" in vars(part):
            raise HookError(
                f"save_pretrained of {what} was replaced on this one object, so a protected save would be bypassed; "
                "undo that (del model.save_pretrained) and try again."
            )
    family_of(model)


def check_arguments(arguments: Mapping[str, Any]) -> None:
    """Refuse arguments of `save_pretrained` with which raw or unreadable weights would be written.

    Args:
        arguments: those of the call, by name.

    Raises:
        HookError: safe_serialization=False, use_flashpack=True or distributed_checkpoint=True.
    """
    if arguments.get("safe_serialization", True) is False:
        raise HookError(
            "safe_serialization=False would write pickled weights, which cannot be protected; leave it out."
        )
    if arguments.get("use_flashpack"):
        raise HookError("use_flashpack=True would write FlashPack weights, which cannot be protected; leave it out.")
    if arguments.get("distributed_checkpoint"):
        raise HookError(
            "distributed_checkpoint=True would write every rank's raw weights for resuming, which cannot be protected; "
            "leave it out for a release, or pass protection=False for a private checkpoint."
        )


def refuse_push() -> None:
    """Refuse an upload from inside the save that writes the raw weights.

    Raises:
        HookError: always.
    """
    raise HookError(
        "This class pushes from inside its own save_pretrained, where the weights are still raw. Leave that out, and "
        "call push_to_hub() or save_pretrained(..., push_to_hub=True) from outside: those push the protected weights."
    )


def _refuse_adapters(part: Any, what: str) -> None:
    places = (("peft.peft_model", "PeftModel"), ("peft.mixed_model", "PeftMixedModel"))
    wrappers = tuple(found for place in places if (found := loaded_class(*place)) is not None)
    layer = loaded_class("peft.tuners.tuners_utils", "BaseTunerLayer")
    modules = part.modules() if callable(getattr(part, "modules", None)) else ()
    adapted = layer is not None and any(isinstance(module, layer) for module in modules)
    if adapted or isinstance(part, wrappers) or getattr(part, "_hf_peft_config_loaded", False):
        raise HookError(
            f"{what} carries adapters, and an adapter alone cannot be protected: whoever multiplies its factors out "
            "has the update; merge the adapter into the base (merge_and_unload()), then protect the merged model; or "
            "train the adapter with Trap² (docs/hardening.md), and save it without enabling the model."
        )


def _refuse_quantised(part: Any, what: str) -> None:
    quantised = getattr(getattr(part, "config", None), "quantization_config", None)
    if quantised is not None or getattr(part, "hf_quantizer", None) is not None:
        raise HookError(
            f"{what} is quantised, and packed weights cannot be protected; protect the model before quantising it."
        )
