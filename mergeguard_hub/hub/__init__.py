"""The Hub's side: saving protected through the libraries' own `save_pretrained`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mergeguard_hub.hub.checked import Checked, verify
    from mergeguard_hub.hub.mixin import MergeGuardMixin
    from mergeguard_hub.hub.push import Pushed, push_folder
    from mergeguard_hub.hub.settings import SaveSettings
    from mergeguard_hub.hub.switch import disable, enable

__all__ = ["Checked", "MergeGuardMixin", "Pushed", "SaveSettings", "disable", "enable", "push_folder", "verify"]

_HOME = {
    "Checked": "checked",
    "MergeGuardMixin": "mixin",
    "Pushed": "push",
    "SaveSettings": "settings",
    "disable": "switch",
    "enable": "switch",
    "push_folder": "push",
    "verify": "checked",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: finding a folder by its Hub id needs no torch."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
