"""How much of a fine-tune is in a merge: the weight that the invariant fingerprint finds, beside the true one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.families.derivatives import BASE, ORIGINAL, PARTNER, RELEASES
from benchmarks.lineage.described import Described
from mergeguard_hub.fingerprint import Fingerprint, attribute, fingerprint_folder, lineage
from mergeguard_hub.merging import WeightAveraging, merge_folders

WEIGHTS = (0.2, 0.4, 0.6, 0.8)


@dataclass(frozen=True)
class Part:
    """A merge and what is said of it.

    Attributes:
        family: of the two merged.
        defender: what was merged with the partner: the original or one of its releases.
        weight: its true weight; the partner's is one minus that.
        ours: weight that is found for the defender, given both fine-tunes and, where there is one, an uninvolved third;
            None where they do not explain the merge.
        theirs: for the partner.
        third: for the uninvolved one; 0 where there is none.
        unexplained: share of the merge's changes that the fine-tunes do not explain.
        contains: verdict where nothing but the defender and the base is known.
        accused: the same of the uninvolved third; None where there is none.
    """

    family: str
    defender: str
    weight: float
    ours: float | None
    theirs: float | None
    third: float | None
    unexplained: float
    contains: bool
    accused: bool | None

    @property
    def error(self) -> float | None:
        """Largest absolute error of the weights of the two that were merged; None where none are given."""
        if self.ours is None or self.theirs is None:
            return None
        return max(abs(self.ours - self.weight), abs(self.theirs - (1 - self.weight)))


def parts(pool: Sequence[Described], work: Path) -> Iterator[Part]:
    """Merge the two fine-tunes of each family, and releases of the first with the second, at all weights."""
    for family in dict.fromkeys(one.model.family for one in pool):
        members = {one.model.name: one for one in pool if one.model.family == family}
        for defender in (ORIGINAL, *RELEASES):
            if defender in members:
                for weight in WEIGHTS:
                    yield _part(members, defender, weight, work / family / f"{defender}-{weight}")


def _part(members: dict[str, Described], defender: str, weight: float, folder: Path) -> Part:
    base, ours, theirs = (members[name] for name in (BASE, defender, PARTNER))
    if not folder.exists():
        method = WeightAveraging(weights=(weight, 1 - weight))
        models = [ours.model.folder, theirs.model.folder]
        merge_folders(method, base=base.model.folder, models=models, target=folder, workers=1)
    merge = fingerprint_folder(folder)
    known: dict[str, Fingerprint] = {name: members[name].invariant for name in (defender, PARTNER)}
    third = next((name for name in members if name in ("lora", "code", "digits")), None)
    if third is not None:
        known[third] = members[third].invariant
    found = attribute(merge, base.invariant, known)
    weights = dict.fromkeys(known) if found.weights is None else found.weights
    return Part(
        ours.model.family,
        defender,
        weight,
        weights[defender],
        weights[PARTNER],
        weights[third] if third is not None else 0.0,
        found.unexplained,
        lineage(merge, of=ours.invariant, base=base.invariant).contains,
        lineage(merge, of=known[third], base=base.invariant).contains if third is not None else None,
    )


def attribution_table(found: Sequence[Part]) -> str:
    """Return errors of the weights by defender and true weight."""
    lines = [
        "| merged with the partner | weight | merges | unexplained, least | unexplained, most | weights given | "
        "found, mean | error, mean | error, largest | uninvolved third, largest | said to contain it | "
        "said to contain the third |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for defender in (ORIGINAL, *RELEASES):
        for weight in WEIGHTS:
            rows = [part for part in found if (part.defender, part.weight) == (defender, weight)]
            if rows:
                lines.append(_line(defender, f"{weight}", rows))
        rows = [part for part in found if part.defender == defender]
        if rows:
            lines.append(_line(defender, "all", rows))
    return "\n".join(lines)


def _line(defender: str, weight: str, rows: Sequence[Part]) -> str:
    title = "the original" if defender == ORIGINAL else f"its `{defender}` release"
    errors = [part.error for part in rows if part.error is not None]
    ours = [part.ours for part in rows if part.ours is not None]
    thirds = [part.third for part in rows if part.third is not None]
    accused = [part.accused for part in rows if part.accused is not None]
    cells = (
        title,
        weight,
        len(rows),
        f"{min(part.unexplained for part in rows):.2f}",
        f"{max(part.unexplained for part in rows):.2f}",
        f"{len(errors)} of {len(rows)}",
        f"{np.mean(ours):.2f}" if ours and weight != "all" else "",
        f"{np.mean(errors):.3f}" if errors else "",
        f"{max(errors):.3f}" if errors else "",
        f"{max(thirds):.2f}" if thirds else "",
        f"{sum(part.contains for part in rows)} of {len(rows)}",
        f"{sum(accused)} of {len(accused)}",
    )
    return f"| {' | '.join(map(str, cells))} |"
