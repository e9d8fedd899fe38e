"""The random numbers of one block and stage, derived from the secret.

A release is unlocked by drawing the same numbers again, perhaps years later and on another machine. So the bytes come
from SHAKE-256 (FIPS 202), never from numpy's or torch's generators, whose streams may change between versions.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
import numpy.typing as npt

from mergeguard_hub.errors import RecipeError

_BLOCK_BYTES = 4096  # our choice: small draws stay cheap, and large ones cost few calls
_SEED_BYTES = 32


class Stream:
    """One endless byte sequence, read from front to back; block `i` is SHAKE-256(seed || i as 8 little-endian bytes).

    Every draw goes on where the last one stopped, so `words(3)` and then `words(4)` are `words(7)`. Integers, signs,
    permutations, uniforms and masks are the same bits everywhere. `normal` and `orthogonal` go through the platform's
    logarithm and LAPACK and agree between machines up to float64 rounding only: do not build on them what must be
    undone bit for bit.

    Not safe to share between threads; derive one stream per block instead.
    """

    __slots__ = ("_buffer", "_counter", "_seed")

    def __init__(self, seed: bytes) -> None:
        """Start the stream of a seed.

        Args:
            seed: 32 secret bytes, see `Key.stream`.

        Raises:
            RecipeError: the seed has another length.
        """
        if len(seed) != _SEED_BYTES:
            raise RecipeError(
                f"A stream needs a seed of {_SEED_BYTES} bytes, got {len(seed)}; derive it with Key.stream()."
            )
        self._seed = seed
        self._counter = 0
        self._buffer = b""

    def __repr__(self) -> str:
        return "Stream(...)"

    def words(self, n: int) -> npt.NDArray[np.uint64]:
        """Draw `n` uniform 64-bit integers, shape [n]."""
        return np.frombuffer(self._take(8 * _count(n)), dtype="<u8").astype(np.uint64)

    def permutation(self, n: int) -> npt.NDArray[np.int64]:
        """Draw a permutation of 0 .. n - 1, shape [n]: the stable order of `n` words."""
        return np.argsort(self.words(n), kind="stable").astype(np.int64)

    def signs(self, n: int) -> npt.NDArray[np.float64]:
        """Draw `n` values of -1.0 or 1.0, shape [n]."""
        return np.where(self.words(n) >> np.uint64(63), -1.0, 1.0)

    def exponents(self, n: int, bound: int) -> npt.NDArray[np.int64]:
        """Draw `n` integers in [-bound, bound], shape [n], each exactly equally likely.

        Words past the last full span of 2 * bound + 1 values are drawn again.

        Raises:
            RecipeError: `bound` is negative or above 1074, past which no float64 power of two exists.
        """
        if not 0 <= bound <= 1074:
            raise RecipeError(f"The bound of the exponents must be in 0 .. 1074, got {bound}.")
        span = 2 * bound + 1
        last = np.uint64(2**64 - 2**64 % span - 1)
        kept = self.words(n)
        kept = kept[kept <= last]
        while kept.size < n:
            more = self.words(n - kept.size)
            kept = np.concatenate([kept, more[more <= last]])
        return (kept % np.uint64(span)).astype(np.int64) - bound

    def uniform(self, shape: int | tuple[int, ...]) -> npt.NDArray[np.float64]:
        """Draw from the open interval (0, 1): odd multiples of 2^-53, so neither end ever comes."""
        size = (shape,) if isinstance(shape, int) else shape
        high = self.words(math.prod(size)) >> np.uint64(12)
        return ((high * np.uint64(2) + np.uint64(1)).astype(np.float64) * 2.0**-53).reshape(size)

    def normal(self, shape: int | tuple[int, ...]) -> npt.NDArray[np.float64]:
        """Draw standard normal values (Box and Muller, 1958)."""
        size = (shape,) if isinstance(shape, int) else shape
        total = math.prod(size)
        pairs = self.uniform(((total + 1) // 2, 2))
        radius = np.sqrt(-2.0 * np.log(pairs[:, 0]))
        angle = 2.0 * np.pi * pairs[:, 1]
        values = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)  # [pairs, 2]
        return values.reshape(-1)[:total].reshape(size)

    def orthogonal(self, n: int) -> npt.NDArray[np.float64]:
        """Draw an orthogonal matrix [n, n] from the Haar measure.

        QR of a normal matrix with the signs of R's diagonal moved into Q (Mezzadri 2007, arXiv math-ph/0609050).
        """
        q, r = np.linalg.qr(self.normal((_count(n), n)))
        return q * np.where(np.diagonal(r) < 0.0, -1.0, 1.0)

    def mask(self, data: bytes) -> bytes:
        """Return `data` XOR the stream, same length; a fresh stream with the same labels takes the mask off again.

        It hides a small record, it does not authenticate it. Two records masked with the same labels reveal their XOR:
        give each record labels of its own.
        """
        pad = np.frombuffer(self._take(len(data)), dtype=np.uint8)
        return (np.frombuffer(data, dtype=np.uint8) ^ pad).tobytes()

    def _take(self, nbytes: int) -> bytes:
        parts = [self._buffer]
        held = len(self._buffer)
        while held < nbytes:
            parts.append(hashlib.shake_256(self._seed + self._counter.to_bytes(8, "little")).digest(_BLOCK_BYTES))
            self._counter += 1
            held += _BLOCK_BYTES
        pool = b"".join(parts)
        self._buffer = pool[nbytes:]
        return pool[:nbytes]


def _count(n: int) -> int:
    if n < 0:
        raise RecipeError(f"Cannot draw {n} values; the number must be zero or more.")
    return n
