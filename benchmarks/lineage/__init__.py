"""Whose weights are these: how well both fingerprints answer, on families made by script and on the zoo's."""

from __future__ import annotations
