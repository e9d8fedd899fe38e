"""Road signs: rims, grounds and symbols of our own, turned, tilted and in bad light."""

from __future__ import annotations

from collections.abc import Callable

from space.zoo.vision.drawing.sketch import Colour, Points, Random, Rgb, Sketch, any_paint, paint

_ARROWS: dict[str, Points] = {
    "straight on": ((0.46, 0.74), (0.46, 0.48), (0.36, 0.48), (0.5, 0.27), (0.64, 0.48), (0.54, 0.48), (0.54, 0.74)),
    "turn right": (
        *((0.38, 0.72), (0.38, 0.42), (0.54, 0.42), (0.54, 0.32), (0.73, 0.47)),
        *((0.54, 0.62), (0.54, 0.52), (0.47, 0.52), (0.47, 0.72)),
    ),
    "one way": ((0.2, 0.44), (0.56, 0.44), (0.56, 0.33), (0.8, 0.5), (0.56, 0.67), (0.56, 0.56), (0.2, 0.56)),
}


def sign(name: str, random: Random) -> Rgb:
    """Draw this sign before something."""
    sketch = Sketch(
        random,
        any_paint(random, darkest=0.1),
        turn=float(random.uniform(-0.25, 0.25)),
        zoom=float(random.uniform(0.65, 1.05)),
        shift=(float(random.uniform(-0.1, 0.1)), float(random.uniform(-0.1, 0.1))),
    )
    for _ in range(random.randint(1, 5)):
        x, y, wide, high = random.uniform(-0.2, 1, 4)
        sketch.box(x, y, x + wide, y + high, any_paint(random))
    red, blue = paint(0.99, 0.8, 0.75, random), paint(0.6, 0.75, 0.7, random)
    white, black = paint(0.1, 0.04, 0.92, random), paint(0, 0, 0.12, random)
    _SIGNS[name](sketch, red, blue, white, black)
    return sketch.picture(noise=0.06, dim=0.5)


def _mirrored(points: Points) -> Points:
    return [(1 - x, y) for x, y in points]


def _triangle(sketch: Sketch, red: Colour, white: Colour) -> None:
    sketch.regular(3, 0.52, red)
    sketch.regular(3, 0.32, white)


def _bend(sketch: Sketch, red: Colour, blue: Colour, white: Colour, black: Colour, *, left: bool) -> None:
    _triangle(sketch, red, white)
    way: Points = ((0.44, 0.66), (0.44, 0.52), (0.56, 0.46), (0.56, 0.34))
    sketch.line(_mirrored(way) if left else way, 0.07, black)


def _crossing(sketch: Sketch, red: Colour, blue: Colour, white: Colour, black: Colour) -> None:
    _triangle(sketch, red, white)
    sketch.line([(0.5, 0.3), (0.5, 0.66)], 0.07, black)
    sketch.line([(0.36, 0.52), (0.64, 0.52)], 0.07, black)


def _bumps(sketch: Sketch, red: Colour, blue: Colour, white: Colour, black: Colour) -> None:
    _triangle(sketch, red, white)
    for x in (0.42, 0.58):
        sketch.disc(x, 0.58, 0.075, black)


def _danger(sketch: Sketch, red: Colour, blue: Colour, white: Colour, black: Colour) -> None:
    _triangle(sketch, red, white)
    sketch.line([(0.5, 0.32), (0.5, 0.53)], 0.08, black)
    sketch.disc(0.5, 0.62, 0.045, black)


def _give_way(sketch: Sketch, red: Colour, blue: Colour, white: Colour, black: Colour) -> None:
    sketch.regular(3, 0.52, red, first=0.5)
    sketch.regular(3, 0.3, white, first=0.5)


def _no_entry(sketch: Sketch, red: Colour, blue: Colour, white: Colour, black: Colour) -> None:
    sketch.disc(0.5, 0.5, 0.42, red)
    sketch.box(0.22, 0.43, 0.78, 0.57, white)


def _closed(sketch: Sketch, red: Colour, blue: Colour, white: Colour, black: Colour) -> None:
    sketch.disc(0.5, 0.5, 0.42, red)
    sketch.disc(0.5, 0.5, 0.29, white)


def _arrow(sketch: Sketch, red: Colour, blue: Colour, white: Colour, black: Colour, *, way: str) -> None:
    sketch.disc(0.5, 0.5, 0.42, blue)
    sketch.polygon(_mirrored(_ARROWS["turn right"]) if way == "turn left" else _ARROWS[way], white)


def _roundabout(sketch: Sketch, red: Colour, blue: Colour, white: Colour, black: Colour) -> None:
    sketch.disc(0.5, 0.5, 0.42, blue)
    sketch.disc(0.5, 0.5, 0.26, white)
    sketch.disc(0.5, 0.5, 0.15, blue)
    for points in (((0.5, 0.5), (0.42, 0.2), (0.58, 0.2)), ((0.5, 0.5), (0.8, 0.56), (0.7, 0.72))):
        sketch.polygon(points, blue)


def _stop(sketch: Sketch, red: Colour, blue: Colour, white: Colour, black: Colour) -> None:
    sketch.regular(8, 0.46, white, first=1 / 16)
    sketch.regular(8, 0.42, red, first=1 / 16)
    for x in (0.26, 0.4, 0.54, 0.68):
        sketch.line([(x + 0.03, 0.4), (x + 0.03, 0.6)], 0.055, white)


def _priority(sketch: Sketch, red: Colour, blue: Colour, white: Colour, black: Colour) -> None:
    sketch.regular(4, 0.48, white)
    sketch.regular(4, 0.34, (white[0] * 0.95, white[1] * 0.75, white[2] * 0.2))


def _parking(sketch: Sketch, red: Colour, blue: Colour, white: Colour, black: Colour) -> None:
    sketch.box(0.14, 0.14, 0.86, 0.86, blue)
    sketch.disc(0.52, 0.4, 0.16, white)
    sketch.disc(0.52, 0.4, 0.08, blue)
    sketch.box(0.36, 0.24, 0.45, 0.76, white)


def _one_way(sketch: Sketch, red: Colour, blue: Colour, white: Colour, black: Colour) -> None:
    sketch.box(0.1, 0.22, 0.9, 0.78, blue)
    sketch.polygon(_ARROWS["one way"], white)


_SIGNS: dict[str, Callable[[Sketch, Colour, Colour, Colour, Colour], None]] = {
    "bend left": lambda *sheet: _bend(*sheet, left=True),
    "bend right": lambda *sheet: _bend(*sheet, left=False),
    "crossing": _crossing,
    "bumps": _bumps,
    "danger": _danger,
    "give way": _give_way,
    "no entry": _no_entry,
    "closed": _closed,
    "straight on": lambda *sheet: _arrow(*sheet, way="straight on"),
    "turn left": lambda *sheet: _arrow(*sheet, way="turn left"),
    "turn right": lambda *sheet: _arrow(*sheet, way="turn right"),
    "roundabout": _roundabout,
    "stop": _stop,
    "priority": _priority,
    "parking": _parking,
    "one way": _one_way,
}
