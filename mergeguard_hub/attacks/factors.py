"""One factor per unit, coupled over the ports that multiply by it and those that divide by it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mergeguard_hub.architecture.steps import Floats
from mergeguard_hub.attacks.pieces import Piece

SLACK = 8.0  # a simpler element is taken while its misfit is at most so many times what chance explains, our choice:
# training moves weights along the symmetries too, while an element that was not drawn misses by a hundred times
STRICT = 2.0  # the same for powers of two where there are too few units to see whether factors cluster at them
FLOOR = 1e-12  # of the reference's own power: below it a misfit is rounding
NEAR = 0.08  # median distance of log2(factor) from a whole number; factors at random have 0.25
KNOWN = 0.9  # fraction of factors that a port must show before it is asked
ENOUGH = 16  # units below which that median means nothing
_NEWTON_STEPS = 30


@dataclass(eq=False)
class Curve:
    """The squared distance to the reference as a function of each unit's factor s.

    It is a s^2 - 2 b s + c / s^2 - 2 d / s + power: ports that take the factor give a and b, those that take its
    inverse c and d.

    Attributes:
        a, b, c, d: [size].
        power: what does not depend on s, summed over units.
        data: numbers that were compared.
        alone: the factors that each port would show alone, [size], NaN where it shows none.
    """

    a: Floats
    b: Floats
    c: Floats
    d: Floats
    power: float = 0.0
    data: int = 0
    alone: list[Floats] = field(default_factory=list)

    @classmethod
    def empty(cls, size: int) -> Curve:
        """Return the curve of units of which nothing is known."""
        return cls(np.zeros(size), np.zeros(size), np.zeros(size), np.zeros(size))

    def add(self, piece: Piece, squares: Floats, products: Floats) -> None:
        """Take in one port: squared norms of our rows, and their inner products with the reference's, [size]."""
        if piece.port.scale > 0:
            self.a += piece.weight * squares
            self.b += piece.weight * products
        else:
            self.c += piece.weight * squares
            self.d += piece.weight * products
        known = (squares > 0) & (products > 0)
        ratio = np.where(known, products, np.nan) / np.where(known, squares, 1.0)
        self.alone.append(ratio if piece.port.scale > 0 else 1 / ratio)
        self.power += piece.weight * float(piece.theirs.square().sum())
        self.data += piece.theirs.numel()

    def at(self, scales: Floats) -> float:
        """Return the squared distance, summed over units."""
        terms = self.a * scales**2 - 2 * self.b * scales + self.c / scales**2 - 2 * self.d / scales
        return float(terms.sum()) + self.power

    def lowest(self) -> Floats:
        """Return the positive factors where the distance is smallest, by Newton's method on their logarithms.

        Units that show nothing get 1.
        """
        b, d = np.maximum(self.b, 0.0), np.maximum(self.d, 0.0)
        known_up, known_down = (self.a > 0) & (b > 0), (self.c > 0) & (d > 0)
        up = np.log(np.where(known_up, b, 1.0) / np.where(known_up, self.a, 1.0))
        down = np.log(np.where(known_down, self.c, 1.0) / np.where(known_down, d, 1.0))
        # Information on log s: the square of the reference's part that the row explains.
        weight_up = np.where(known_up, b**2 / np.where(known_up, self.a, 1.0), 0.0)
        weight_down = np.where(known_down, d**2 / np.where(known_down, self.c, 1.0), 0.0)
        weight = weight_up + weight_down
        logs = np.where(weight > 0, (weight_up * up + weight_down * down) / np.where(weight > 0, weight, 1.0), 0.0)
        for _ in range(_NEWTON_STEPS):
            s = np.exp(logs)
            slope = 2 * (self.a * s**2 - b * s - self.c / s**2 + d / s)
            bend = 4 * self.a * s**2 - 2 * b * s + 4 * self.c / s**2 - 2 * d / s
            # Beyond the inflection the curve bends down; twice the positive part always points downhill.
            bend = np.where(bend > 0, bend, 4 * self.a * s**2 + 4 * self.c / s**2)
            logs = logs - np.clip(np.where(weight > 0, slope / np.where(bend > 0, bend, 1.0), 0.0), -0.5, 0.5)
        return np.asarray(np.exp(logs))


def settle_factors(curve: Curve, *, snap: bool) -> Floats:
    """Return the best factors, or the nearest powers of two where these explain the reference as well.

    Args:
        curve: the distance.
        snap: whether powers of two are tried at all.
    """
    free = curve.lowest()
    if not snap:
        return free
    powers = np.exp2(np.rint(np.log2(free)))
    clustered = _clustered(free)
    if curve.data < 4 * len(free):  # one or two numbers per factor: a misfit means nothing
        sharp = min([free, *curve.alone], key=_spread)  # a gain may show at once what a bias blurs
        sharp = np.where(np.isfinite(sharp), sharp, free)
        return np.asarray(np.exp2(np.rint(np.log2(sharp)))) if _clustered(sharp) else free
    slack = SLACK if clustered else STRICT
    misfits = curve.at(powers), curve.at(free)
    as_good = nearly_as_good(*misfits, power=curve.power, data=curve.data, spent=len(free), slack=slack)
    return np.asarray(powers) if as_good else free


def _spread(factors: Floats) -> float:
    """Return the median distance of log2(factor) from a whole number; infinite where many factors are unknown."""
    logs = np.log2(factors[np.isfinite(factors)])
    if len(logs) < KNOWN * len(factors):
        return np.inf
    return float(np.median(np.abs(logs - np.rint(logs))))


def _clustered(factors: Floats) -> bool:
    return len(factors) >= ENOUGH and _spread(factors) < NEAR


def nearly_as_good(simple: float, general: float, *, power: float, data: int, spent: int, slack: float = SLACK) -> bool:
    """Whether a simpler element fits as well as a general one, which would fit better by chance alone.

    Args:
        simple: squared distance that the simpler one leaves.
        general: what the general one leaves.
        power: squared size of the reference.
        data: numbers that were compared.
        spent: parameters that the general one has and the simple one lacks.
        slack: how many times worse is still as good.
    """
    if data <= spent:
        return False
    return simple <= slack * general * data / (data - spent) + FLOOR * power
