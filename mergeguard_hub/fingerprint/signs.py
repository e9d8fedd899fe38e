"""Random signs and choices that are the same on every machine and in every version: SHAKE-256 of a label."""

from __future__ import annotations

import hashlib
import math

import numpy as np
from numpy.typing import NDArray

Floats32 = NDArray[np.float32]


def signs(label: str, rows: int, columns: int) -> Floats32:
    """Return [rows, columns] of plus and minus 1 / sqrt(columns): rows of length one, nearly orthogonal.

    Args:
        label: the same label always gives the same signs.
        rows: how many.
        columns: their length.
    """
    count = rows * columns
    bits = np.unpackbits(np.frombuffer(_bytes(label, -(-count // 8)), np.uint8))[:count]
    return ((2.0 * bits.reshape(rows, columns) - 1.0) / math.sqrt(columns)).astype(np.float32)


def chosen(label: str, count: int, among: int) -> NDArray[np.int64]:
    """Return `count` different numbers below `among`, ascending.

    Args:
        label: the same label always gives the same choice.
        count: at most `among`.
        among: how many there are to choose from.
    """
    words = np.frombuffer(_bytes(label, 8 * among), dtype="<u8")
    return np.sort(np.argsort(words, kind="stable")[:count]).astype(np.int64)


def _bytes(label: str, count: int) -> bytes:
    return hashlib.shake_256(f"mergeguard fingerprint v1\0{label}".encode()).digest(count)
