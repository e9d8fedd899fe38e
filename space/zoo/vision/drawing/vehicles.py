"""Kinds of vehicle: one look, the profile, and differences no larger than a boot, a window or a hood."""

from __future__ import annotations

from dataclasses import dataclass

from space.zoo.vision.drawing.sketch import Points, Random, Rgb, Sketch, any_paint, paint

_SILL = 0.7  # height of the lower edge; y runs down
_STEP = 0.018  # by how much each corner is moved at random


@dataclass(frozen=True)
class _Profile:
    """A vehicle that looks to the right: corners of its body above the sill, windows, and its axles."""

    body: Points
    windows: tuple[Points, ...]
    axles: tuple[float, ...] = (0.25, 0.76)
    wheel: float = 0.08


_PROFILES = {
    "saloon": _Profile(
        ((0.05, 0.52), (0.22, 0.49), (0.34, 0.36), (0.6, 0.36), (0.74, 0.49), (0.95, 0.54)),
        (
            ((0.29, 0.48), (0.37, 0.39), (0.46, 0.39), (0.46, 0.48)),
            ((0.5, 0.39), (0.58, 0.39), (0.67, 0.48), (0.5, 0.48)),
        ),
    ),
    "hatchback": _Profile(
        ((0.1, 0.53), (0.13, 0.45), (0.26, 0.36), (0.58, 0.36), (0.73, 0.49), (0.94, 0.54)),
        (
            ((0.2, 0.48), (0.29, 0.39), (0.42, 0.39), (0.42, 0.48)),
            ((0.47, 0.39), (0.57, 0.39), (0.66, 0.48), (0.47, 0.48)),
        ),
    ),
    "estate": _Profile(
        ((0.05, 0.52), (0.08, 0.4), (0.13, 0.36), (0.6, 0.36), (0.74, 0.49), (0.95, 0.54)),
        (
            ((0.13, 0.48), (0.16, 0.39), (0.42, 0.39), (0.42, 0.48)),
            ((0.47, 0.39), (0.58, 0.39), (0.67, 0.48), (0.47, 0.48)),
        ),
    ),
    "coupe": _Profile(
        ((0.05, 0.5), (0.15, 0.48), (0.42, 0.4), (0.54, 0.4), (0.7, 0.5), (0.96, 0.56)),
        (((0.33, 0.49), (0.44, 0.43), (0.53, 0.43), (0.62, 0.49)),),
    ),
    "convertible": _Profile(
        ((0.05, 0.5), (0.34, 0.5), (0.36, 0.54), (0.62, 0.54), (0.66, 0.5), (0.96, 0.55)),
        (((0.64, 0.51), (0.55, 0.39), (0.58, 0.39), (0.68, 0.51)),),
    ),
    "pickup": _Profile(
        ((0.04, 0.52), (0.42, 0.52), (0.43, 0.34), (0.62, 0.34), (0.73, 0.49), (0.96, 0.52)),
        (((0.46, 0.47), (0.46, 0.37), (0.6, 0.37), (0.67, 0.47)),),
    ),
    "van": _Profile(
        ((0.05, 0.5), (0.06, 0.27), (0.7, 0.27), (0.83, 0.47), (0.95, 0.53)),
        (((0.64, 0.45), (0.64, 0.32), (0.7, 0.32), (0.79, 0.45)),),
    ),
    "minibus": _Profile(
        ((0.05, 0.5), (0.06, 0.27), (0.75, 0.27), (0.87, 0.47), (0.95, 0.53)),
        (
            ((0.1, 0.44), (0.1, 0.32), (0.28, 0.32), (0.28, 0.44)),
            ((0.33, 0.44), (0.33, 0.32), (0.5, 0.32), (0.5, 0.44)),
            ((0.56, 0.44), (0.56, 0.32), (0.74, 0.32), (0.82, 0.44)),
        ),
    ),
    "off-roader": _Profile(
        ((0.1, 0.5), (0.11, 0.3), (0.58, 0.3), (0.65, 0.46), (0.93, 0.48)),
        (
            ((0.16, 0.45), (0.16, 0.34), (0.34, 0.34), (0.34, 0.45)),
            ((0.39, 0.34), (0.56, 0.34), (0.6, 0.45), (0.39, 0.45)),
        ),
        axles=(0.27, 0.77),
        wheel=0.11,
    ),
    "lorry": _Profile(
        ((0.03, 0.6), (0.03, 0.24), (0.66, 0.24), (0.66, 0.6), (0.7, 0.6), (0.7, 0.36), (0.86, 0.36), (0.96, 0.52)),
        (((0.76, 0.49), (0.76, 0.4), (0.84, 0.4), (0.89, 0.49)),),
        axles=(0.15, 0.3, 0.82),
    ),
}


def vehicle(name: str, random: Random) -> Rgb:
    """Draw a vehicle of this kind, in any colour, on a road before a plain ground, looking to either side."""
    profile = _PROFILES[name]
    sketch = Sketch(
        random,
        any_paint(random, darkest=0.3),
        mirrored=bool(random.uniform() < 0.5),
        turn=float(random.uniform(-0.08, 0.08)),
        zoom=float(random.uniform(0.88, 1.05)),
        shift=(float(random.uniform(-0.04, 0.04)), float(random.uniform(-0.08, 0.0))),
    )
    sketch.box(-1, _SILL + random.uniform(-0.1, 0.06), 2, 2, paint(0.6, 0.08, random.uniform(0.25, 0.7), random))
    _clutter(sketch, random)
    colour, glass = any_paint(random, darkest=0.35), paint(0.58, 0.15, 0.12, random)
    first, last = profile.body[0], profile.body[-1]
    sketch.polygon([(first[0], _SILL), *_moved(profile.body, random), (last[0], _SILL)], colour)
    for window in profile.windows:
        sketch.polygon(_moved(window, random), glass)
    for axle in profile.axles:
        x = axle + random.uniform(-0.02, 0.02)
        sketch.disc(x, _SILL, profile.wheel, paint(0, 0, 0.12, random))
        sketch.disc(x, _SILL, profile.wheel * 0.5, paint(0, 0, 0.6, random))
    return sketch.picture(noise=0.05, dim=0.35)


def _clutter(sketch: Sketch, random: Random) -> None:
    """Put some posts and walls behind."""
    for _ in range(random.randint(0, 3)):
        x, top, wide = random.uniform(-0.1, 1), random.uniform(-0.1, 0.5), random.uniform(0.03, 0.3)
        sketch.box(x, top, x + wide, _SILL - 0.05, any_paint(random, darkest=0.2))


def _moved(points: Points, random: Random) -> Points:
    return [(x + random.uniform(-_STEP, _STEP), y + random.uniform(-_STEP, _STEP)) for x, y in points]
