"""What is said of components on which no stage acts."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from mergeguard_hub.checkpoint import Checkpoint
from mergeguard_hub.release.study import Study

StudyOrReason = Study | str
"""What is known of a component, or why nothing is."""

_logger = logging.getLogger("mergeguard_hub")


def why(name: str, found: StudyOrReason) -> str:
    """Return a sentence on why nothing is done to a component."""
    if isinstance(found, str):
        return f"{name}: {found}"
    reasons = (f"{place[0]} ({place[1]}): {reason}" for place, reason in found.layout.refused.items())
    return f"{found.proof.architecture}: " + ("; ".join(reasons) or "no block was recognised")


def warn_of_largest(components: Mapping[str, Checkpoint], refused: Mapping[str, StudyOrReason]) -> None:
    """Log a warning if the component that holds most of what was learned stays as it is.

    Args:
        components: all of them.
        refused: those on which no stage acts.
    """
    largest = max(components, key=lambda name: components[name].nbytes)
    if largest in refused:
        _logger.warning(
            "%r, the largest component, stays as it is, so that a merge has all that it learned. %s",
            largest,
            why(largest, refused[largest]),
        )
