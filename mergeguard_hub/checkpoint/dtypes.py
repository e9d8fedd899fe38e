"""The element types of the safetensors format: their codes, sizes and torch counterparts."""

from __future__ import annotations

import torch

from mergeguard_hub.errors import UnsupportedFormatError

# code -> (size in bytes, name of the torch dtype). Source: the `Dtype` list of safetensors 0.8.
_DTYPES: dict[str, tuple[int, str]] = {
    "BOOL": (1, "bool"),
    "U8": (1, "uint8"),
    "I8": (1, "int8"),
    "F8_E4M3": (1, "float8_e4m3fn"),
    "F8_E5M2": (1, "float8_e5m2"),
    "F8_E4M3FNUZ": (1, "float8_e4m3fnuz"),
    "F8_E5M2FNUZ": (1, "float8_e5m2fnuz"),
    "F8_E8M0": (1, "float8_e8m0fnu"),
    "U16": (2, "uint16"),
    "I16": (2, "int16"),
    "F16": (2, "float16"),
    "BF16": (2, "bfloat16"),
    "U32": (4, "uint32"),
    "I32": (4, "int32"),
    "F32": (4, "float32"),
    "U64": (8, "uint64"),
    "I64": (8, "int64"),
    "F64": (8, "float64"),
    "C64": (8, "complex64"),
}
SUB_BYTE = frozenset({"F4", "F6_E2M3", "F6_E3M2"})
FLOATING = frozenset({"F64", "F32", "F16", "BF16"})
INTEGER = frozenset({"U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64"})


def item_bytes(code: str, *, tensor: str, file: str) -> int:
    """Return the size in bytes of one element.

    Raises:
        UnsupportedFormatError: if the code is unknown or packs several elements into a byte.
    """
    if code in SUB_BYTE:
        raise UnsupportedFormatError(
            f"{file}: tensor {tensor!r} has dtype {code}, which packs several weights into one byte. "
            "Packed weights cannot be protected: start from the unquantised checkpoint."
        )
    if code not in _DTYPES:
        raise UnsupportedFormatError(
            f"{file}: tensor {tensor!r} has the unknown dtype {code!r}. The file is damaged, or newer than this "
            "version of mergeguard_hub: save it in one of " + ", ".join(_DTYPES) + "."
        )
    return _DTYPES[code][0]


def torch_dtype(code: str) -> torch.dtype:
    """Return the torch dtype of a safetensors code.

    Raises:
        UnsupportedFormatError: if the installed torch has no such dtype.
    """
    dtype = getattr(torch, _DTYPES[code][1], None) if code in _DTYPES else None
    if not isinstance(dtype, torch.dtype):
        raise UnsupportedFormatError(
            f"torch {torch.__version__} has no dtype for the safetensors code {code!r}. Install a newer torch."
        )
    return dtype
