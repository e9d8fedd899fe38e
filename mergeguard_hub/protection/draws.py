"""Drawing group elements from the owner's stream.

Everything is drawn in the same order whatever the space claims, so that a stage proved for less than it asks for still
draws the same numbers for what it may do.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mergeguard_hub.architecture.action import Monomial
from mergeguard_hub.architecture.rotary import quarter_turns
from mergeguard_hub.architecture.space import Space
from mergeguard_hub.errors import RecipeError
from mergeguard_hub.protection.headroom import MOST
from mergeguard_hub.protection.stream import Stream

Floats = NDArray[np.float64]


def draw_moves(space: Space, stream: Stream, *, permute: bool, sign: bool, bound: int) -> Monomial:
    """Draw a signed permutation times powers of two, limited to what the space claims.

    Args:
        space: where it will act; under rotary pairs it becomes quarter turns with one power per pair.
        stream: generator of this stage and space.
        permute: whether to move units.
        sign: whether to flip signs.
        bound: exponents are uniform in -bound..bound; 0 draws none.
    """
    units = space.size if space.pairs is None else len(space.pairs)
    order, signs = stream.permutation(units), stream.signs(units)
    exponents = stream.exponents(units, bound) if bound > 0 else np.zeros(units, dtype=np.int64)
    permute, sign = permute and "permute" in space.claims, sign and "sign" in space.claims
    scales = np.ldexp(1.0, exponents) if "scale" in space.claims else np.ones(units)
    if space.pairs is not None:
        turns = 2 * (signs < 0).astype(np.int64) * sign + order % 2 * permute
        return quarter_turns(space, turns, scales)
    same = np.arange(units, dtype=np.int64)
    return Monomial(order if permute else same, signs if sign else np.ones(units), scales)


def log_uniform(stream: Stream, n: int, ratio: float) -> Floats:
    """Draw factors log-uniform in [1 / sqrt(ratio), sqrt(ratio)], so that their condition number is at most `ratio`.

    Args:
        stream: generator of one stage and space.
        n: how many.
        ratio: largest factor over smallest, at least 1.
    """
    return np.asarray(ratio ** (stream.uniform(n) - 0.5))


def require_exponent(stage: str, value: int) -> None:
    """Refuse a `max_exponent` that is no whole number from 0 to `MOST`.

    Args:
        stage: name of the stage, for the message.
        value: its setting.

    Raises:
        RecipeError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST:
        raise RecipeError(f"{stage}: max_exponent is {value!r}; choose a whole number from 0 to {MOST}.")
