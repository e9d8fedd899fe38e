"""Adapters of a protected model: PEFT saves them itself, raw, so no push of one may leave the machine unasked."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mergeguard_hub.errors import HookError
from mergeguard_hub.hub.families import SETTINGS, innermost, loaded_class

_MARK = "__mergeguard_adapter__"
_saved: dict[Path, str] = {}  # target of a save of such an adapter in this process -> class of what was saved
_PLACES = (("peft.peft_model", "PeftModel"), ("peft.mixed_model", "PeftMixedModel"))


def watch_adapters(again: Callable[[], None]) -> None:
    """Note where PEFT saves an adapter of a protected model; a Trainer uploads that folder without asking anybody.

    Args:
        again: called at such a save, to look at what has been imported since.
    """
    for place in _PLACES:
        wrapper: Any = loaded_class(*place)
        if wrapper is not None and not hasattr(wrapper.save_pretrained, _MARK):
            wrapper.save_pretrained = _noted(wrapper.save_pretrained, again)


def refuse_adapter(pushed: Any) -> None:
    """Refuse to push an object that is an adapter of a protected model.

    Raises:
        HookError: it is.
    """
    if _of_protected(pushed):
        raise _refusal(type(pushed).__name__)


def refuse_adapter_folder(folder: Path) -> None:
    """Refuse to push a folder, resolved, in which or right below which an adapter of a protected model was saved.

    Raises:
        HookError: there is one.
    """
    for saved, name in _saved.items():
        if folder in (saved, saved.parent) and saved.exists():
            raise _refusal(name)


def _noted(original: Callable[..., Any], again: Callable[[], None]) -> Callable[..., Any]:
    @functools.wraps(original)
    def save_pretrained(self: Any, save_directory: Any, *args: Any, **kwargs: Any) -> Any:
        target = Path(save_directory).resolve()
        if _of_protected(self):
            _saved[target] = type(self).__name__
            again()
        else:
            _saved.pop(target, None)
        return original(self, save_directory, *args, **kwargs)

    setattr(save_pretrained, _MARK, True)
    return save_pretrained


def _of_protected(pushed: Any) -> bool:
    wrappers = tuple(found for place in _PLACES if (found := loaded_class(*place)) is not None)
    if not any(isinstance(pushed, wrapper) for wrapper in wrappers):
        return False
    tuner = pushed.base_model
    base = pushed.get_base_model() if hasattr(pushed, "get_base_model") else getattr(tuner, "model", tuner)
    settings = getattr(innermost(base), SETTINGS, None)
    return settings is not None and bool(settings.protects)


def _refusal(name: str) -> HookError:
    return HookError(
        f"The base model of this {name} is protected, and its adapter would go up as it is. What "
        "rearranges a base model cannot be done to an adapter alone, because everybody has the base that it is "
        "for; and mixing an adapter's two factors is undone by multiplying them out. Merge the adapter into the "
        "base (merge_and_unload()) and push that, or call disable() on the base first to publish the adapter raw."
    )
