"""Pictures that are drawn: one module per task, each with a function that draws one picture of one class.

Every property that is not the class (place, size, turn, colours, light, noise) is drawn at random.
"""

from __future__ import annotations

from collections.abc import Callable

from space.zoo.vision.drawing.aerial import aerial
from space.zoo.vision.drawing.land import land
from space.zoo.vision.drawing.scenes import scene
from space.zoo.vision.drawing.signs import sign
from space.zoo.vision.drawing.sketch import Random, Rgb
from space.zoo.vision.drawing.textures import texture
from space.zoo.vision.drawing.vehicles import vehicle

DRAWINGS: dict[str, Callable[[str, Random], Rgb]] = {
    "scenes": scene,
    "vehicles": vehicle,
    "aerial": aerial,
    "land": land,
    "signs": sign,
    "textures": texture,
}
