"""Other people's merge tools, run as they are: mergekit in a process of its own, and PEFT for adapters."""

from __future__ import annotations

from mergeguard_hub.merging.engines.mergekit import (
    MergekitJob,
    MergekitMethod,
    merge_many_with_mergekit,
    merge_with_mergekit,
    mergekit_config,
    mergekit_methods,
)
from mergeguard_hub.merging.engines.mergekit_merge import MergekitMerge
from mergeguard_hub.merging.engines.peft import ADAPTER_METHODS, merge_adapters

__all__ = [
    "ADAPTER_METHODS",
    "MergekitJob",
    "MergekitMerge",
    "MergekitMethod",
    "merge_adapters",
    "merge_many_with_mergekit",
    "merge_with_mergekit",
    "mergekit_config",
    "mergekit_methods",
]
