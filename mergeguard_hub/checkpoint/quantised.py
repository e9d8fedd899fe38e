"""Recognising quantised checkpoints, whose packed weights no stage can act on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from mergeguard_hub.checkpoint.dtypes import INTEGER
from mergeguard_hub.checkpoint.entry import TensorEntry
from mergeguard_hub.errors import UnsupportedFormatError

_CONFIG_KEYS = ("quantization_config", "compression_config")
# GPTQ and AWQ (qweight, qzeros), compressed-tensors (weight_packed), bitsandbytes (SCB, absmax, quant_*)
_PACKED = re.compile(r"(^|[._])(qweight|qzeros|weight_packed|SCB|absmax|nested_absmax|quant_map|quant_state\b.*)$")
_MATRIX = re.compile(r"(^|[._])weight$")
_REMEDY = "Quantised weights cannot be protected: protect the unquantised checkpoint, then quantise the release."


def refuse_quantised(config: Mapping[str, Any], entries: Iterable[TensorEntry], *, label: str) -> None:
    """Refuse a checkpoint whose config or tensors say that it is quantised.

    Args:
        config: parsed config.json; nested configs (text_config, ...) are looked into.
        entries: all tensors.
        label: the folder, for the message.

    Raises:
        UnsupportedFormatError: naming the quantisation method or the first packed tensor.
    """
    for where, part in [("config.json", config), *((key, part) for key, part in config.items())]:
        for key in _CONFIG_KEYS if isinstance(part, Mapping) else ():
            if part.get(key):
                method = part[key].get("quant_method", "unknown") if isinstance(part[key], Mapping) else part[key]
                raise UnsupportedFormatError(f"{label}: {where} has a {key} (method {method!r}). {_REMEDY}")
    for entry in entries:
        integers = entry.dtype in INTEGER and len(entry.shape) >= 2
        if _PACKED.search(entry.name) or (integers and _MATRIX.search(entry.name)):
            kind = f"dtype {entry.dtype} and shape {list(entry.shape)}"
            raise UnsupportedFormatError(f"{label}: tensor {entry.name!r} of {kind} holds packed weights. {_REMEDY}")
