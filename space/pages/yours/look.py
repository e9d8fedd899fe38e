"""What each preset would do to a model: proved stages, coverage, and about how long it takes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from html import escape
from pathlib import Path

from mergeguard_hub import Inspection, inspect_folder
from mergeguard_hub.checkpoint import open_folder
from mergeguard_hub.release.sidecar import LEFT_OUT

PRESETS = ("exact", "mergelock", "params")
_BYTES_PER_S = 400e6  # half of what benchmarks/protect.py measured on two processors, since visitors share them
_SETUP_S = 1.0  # to look at the class and to begin

_FACTS = {
    "exact": "unlocks byte for byte",
    "mergelock": "unlocks up to rounding",
    "params": "unlocks up to rounding; given the base, it moves units as far from it as possible",
}


@dataclass(frozen=True)
class Look:
    """A model as each preset sees it.

    Attributes:
        nbytes: size of its weights.
        inspections: by preset.
        seconds: what looking took, proving its architecture included.
    """

    nbytes: int
    inspections: dict[str, Inspection]
    seconds: float

    @property
    def protecting_s(self) -> float:
        """About how long protecting takes, in seconds."""
        return _SETUP_S + self.nbytes / _BYTES_PER_S


def look_at(folder: Path) -> Look:
    """Prove what may be done to a model.

    Raises:
        CheckpointError: the folder cannot be read.
        ArchitectureError: nothing is known of its class.
    """
    start = time.monotonic()
    nbytes = sum(checkpoint.nbytes for checkpoint in open_folder(folder, exclude=LEFT_OUT).values())
    inspections = {preset: inspect_folder(folder, recipe=preset) for preset in PRESETS}
    return Look(nbytes, inspections, time.monotonic() - start)


def render(look: Look) -> str:
    """Return what a visitor is told."""
    exact = look.inspections["exact"]
    if exact.claim is not None:
        return (
            '<div class="mg-result"><p class="mg-verdict" role="status">This model is a protected release already.</p>'
            "</div>"
        )
    classes = ", ".join(f"{part.architecture} ({part.parameters:,} weights)" for part in exact.components)
    words = (
        f"{classes}; {look.nbytes / 1e6:,.1f} MB. Protecting it takes about {look.protecting_s:.0f} s here. "
        "Nothing is done on an architecture that was not proved."
    )
    tables = "".join(_preset(name, inspection) for name, inspection in look.inspections.items())
    return f'<div class="mg-result"><p role="status">{escape(words)}</p>{tables}</div>'


def _preset(name: str, inspection: Inspection) -> str:
    parts = "; ".join(
        f"{part.name or 'the model'}: {100 * part.covered:.0f}% of attention and MLP weights, "
        f"{100 * part.moved:.0f}% of all"
        for part in inspection.components
    )
    rows = "".join(
        f"<tr><th scope='row'>{escape(' '.join(filter(None, [stage.component, stage.stage])))}</th>"
        f"<td>{escape(stage.status)}</td><td>{stage.spaces or ''}</td><td>{escape(stage.reason)}</td></tr>"
        for stage in inspection.stages
    )
    return (
        f"<details {'open' if name == PRESETS[0] else ''}><summary>{escape(name)}: would move {escape(parts)}</summary>"
        f'<p class="mg-note">{escape(_FACTS[name])}</p><div class="mg-scroll" tabindex="0" role="region" '
        f'aria-label="stages of {escape(name)}"><table class="mg-table"><thead><tr><th scope="col">stage</th>'
        '<th scope="col">result</th><th scope="col">places</th><th scope="col">why</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div></details>"
    )
