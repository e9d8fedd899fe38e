"""The tabs of the Space, in the order in which they are shown."""

from __future__ import annotations

from space.page import Page
from space.pages import attacks, how, images, language, vision, yours

PAGES: tuple[Page, ...] = (images.PAGE, language.PAGE, vision.PAGE, attacks.PAGE, yours.PAGE, how.PAGE)
