"""What the cards of the Gemma family say."""

from __future__ import annotations

from space.zoo.language.provenance import GEMMA as PROVENANCE

__all__ = ["PROVENANCE"]
