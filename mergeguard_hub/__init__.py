"""Protect the weights of a fine-tuned model when it is saved: same answers alone, worthless in a merge."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mergeguard_hub.errors import MergeGuardError
    from mergeguard_hub.hub import MergeGuardMixin, Pushed, disable, enable, push_folder
    from mergeguard_hub.protection import (
        ChannelPermutation,
        ExpertPermutation,
        HeadMix,
        HeadPermutation,
        HeadScaling,
        Key,
        NormAbsorption,
        Recipe,
        ResidualShuffle,
        UnitRearrangement,
        UnitScaling,
    )
    from mergeguard_hub.release import (
        Inspection,
        Report,
        Verification,
        inspect_folder,
        protect_folder,
        unlock_folder,
        verify_folder,
    )

__version__ = "0.1.0"

__all__ = [
    "ChannelPermutation",
    "ExpertPermutation",
    "HeadMix",
    "HeadPermutation",
    "HeadScaling",
    "Inspection",
    "Key",
    "MergeGuardError",
    "MergeGuardMixin",
    "NormAbsorption",
    "Pushed",
    "Recipe",
    "Report",
    "ResidualShuffle",
    "UnitRearrangement",
    "UnitScaling",
    "Verification",
    "disable",
    "enable",
    "inspect_folder",
    "protect_folder",
    "push_folder",
    "unlock_folder",
    "verify_folder",
]

_ROOMS = {
    "errors": ("MergeGuardError",),
    "hub": ("MergeGuardMixin", "Pushed", "disable", "enable", "push_folder"),
    "release": (
        "Inspection",
        "Report",
        "Verification",
        "inspect_folder",
        "protect_folder",
        "unlock_folder",
        "verify_folder",
    ),
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name from its room when it is first used, so that importing the package costs next to nothing."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME.get(name, 'protection')}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
