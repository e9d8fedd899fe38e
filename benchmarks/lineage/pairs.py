"""Pairs of models: is a protected release recognised, and how often are strangers taken for relatives?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.families.derivatives import ORIGINAL, RELEASES
from benchmarks.lineage.described import Described
from mergeguard_hub.fingerprint import Similarity, compare, family_distances
from mergeguard_hub.fingerprint.compare import SIGNIFICANT, STRANGERS

Relation = Literal["release", "rounded", "relatives", "strangers"]
ALLOWED = 1e-3  # rate of false positives
LEVELS = (0.05, 0.01, 1e-3)


@dataclass(frozen=True)
class Pair:
    """Two models of the same shapes, what they are to each other, and what the fingerprints say.

    Attributes:
        relation: "release" if one is a release of the other or both are of a third; "rounded" if they differ by 8-bit
            rounding alone; "relatives" of one family; or "strangers" with other bases.
        names: what kinds of derivatives they are.
        invariant: of the invariant fingerprint.
        distance: TensorGuard's, standardised over all models of these shapes.
    """

    relation: Relation
    names: tuple[str, str]
    invariant: Similarity
    distance: float


def all_pairs(pool: Sequence[Described]) -> list[Pair]:
    """Compare all models of the same shapes with each other."""
    pairs = []
    for shapes in dict.fromkeys(one.model.shapes for one in pool):
        alike = [one for one in pool if one.model.shapes == shapes]
        apart = family_distances([one.gradients for one in alike])
        for a, b in combinations(range(len(alike)), 2):
            names = (alike[a].model.name, alike[b].model.name)
            similarity = compare(alike[a].invariant, alike[b].invariant)
            pairs.append(Pair(_relation(alike[a], alike[b]), names, similarity, float(apart[a, b])))
    return pairs


def _relation(one: Described, other: Described) -> Relation:
    if one.model.family != other.model.family:
        return "strangers"
    names = {one.model.name, other.model.name}
    if names <= {ORIGINAL, *RELEASES}:
        return "release"
    return "rounded" if names <= {ORIGINAL, "rounded", *RELEASES} else "relatives"


@dataclass(frozen=True)
class Curve:
    """A receiver operating characteristic.

    Attributes:
        false: rates of false positives, rising.
        true: rates of true positives at each.
    """

    false: NDArray[np.float64]
    true: NDArray[np.float64]

    @property
    def area(self) -> float:
        """Area under the curve."""
        return float(np.trapezoid(self.true, self.false))

    def at(self, allowed: float) -> float:
        """Return the rate of true positives where no more than this rate of false ones is reached."""
        return float(self.true[self.false <= allowed].max())


def curve(positives: Sequence[float], negatives: Sequence[float]) -> Curve:
    """Return the curve of a score that is higher for positives; ties count against it.

    >>> curve([3.0, 2.0], [1.0, 0.0]).at(0.0), curve([1.0], [1.0]).at(0.0)
    (1.0, 0.0)
    """
    thresholds = np.unique([*positives, *negatives])[::-1]
    ours, theirs = np.sort(positives), np.sort(negatives)
    true = 1 - np.searchsorted(ours, thresholds, side="left") / len(ours)
    false = 1 - np.searchsorted(theirs, thresholds, side="left") / len(theirs)
    return Curve(np.r_[0.0, false, 1.0], np.r_[0.0, true, 1.0])


def questions(pairs: Sequence[Pair]) -> dict[str, tuple[list[Pair], list[Pair]]]:
    """Return what is asked: positives and negatives by title."""
    kinds = {
        kind: [pair for pair in pairs if pair.relation == kind]
        for kind in ("release", "rounded", "relatives", "strangers")
    }
    return {
        "release and original, among strangers": (kinds["release"], kinds["strangers"]),
        "release and original, among relatives too": (kinds["release"], kinds["relatives"] + kinds["strangers"]),
        "one family, among strangers": (kinds["release"] + kinds["rounded"] + kinds["relatives"], kinds["strangers"]),
    }


def recognition_table(pairs: Sequence[Pair]) -> str:
    """Return for each question and fingerprint the area under the curve and what is found at the allowed rate."""
    lines = [
        "| question | positives | negatives | TensorGuard: area under the curve | TensorGuard: found | "
        "invariant: area under the curve | invariant: found | invariant: found by its verdict | its false positives |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for title, (positives, negatives) in questions(pairs).items():
        if not positives or not negatives:
            continue
        cells = [title, str(len(positives)), f"{len(negatives):,}"]
        for score in (lambda pair: -pair.distance, lambda pair: -pair.invariant.distance):
            found = curve([score(pair) for pair in positives], [score(pair) for pair in negatives])
            cells += [f"{found.area:.4f}", f"{100 * found.at(ALLOWED):.1f} %"]
        same = "release" in title
        verdicts = [
            [(p.invariant.kinship == "same" if same else p.invariant.related) for p in side]
            for side in (positives, negatives)
        ]
        cells += [f"{100 * np.mean(verdicts[0]):.1f} %", f"{sum(verdicts[1])} of {len(negatives):,}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", chance_text(pairs)])


def chance_text(pairs: Sequence[Pair]) -> str:
    """Return how the p-values of strangers are spread, and how far apart the scores lie."""
    strangers = np.array([pair.invariant.p_value for pair in pairs if pair.relation == "strangers"])
    kin = np.array([pair.invariant.p_value for pair in pairs if pair.relation != "strangers"])
    scores = {
        kind: [pair.invariant.score for pair in pairs if (pair.relation == "strangers") == (kind == "strangers")]
        for kind in ("strangers", "one family")
    }
    alone = [f"{np.sum(values <= SIGNIFICANT):,} of {len(values):,}" for values in (strangers, kin)]
    spread = ", ".join(f"{np.mean(strangers <= level):.4f} at {level:g}" for level in LEVELS)
    return (
        f"Found: at a rate of false positives of at most {ALLOWED}. The verdict of the first two questions is *same*, "
        f"of the third *same* or *related*. p-values of the {len(strangers):,} pairs of strangers, for a likeness up "
        f"to {STRANGERS}: {spread} (the fraction at or below each level; a calibrated test has at most the level), the "
        f"smallest {strangers.min():.2f}. Largest p-value within a family: {kin.max():.1e}. A p-value of at most "
        f"{SIGNIFICANT:g} with no bound on the score: {alone[0]} strangers, {alone[1]} pairs of one family. Likeness "
        f"of strangers: at most {max(scores['strangers']):.2f}; within a family: at least "
        f"{min(scores['one family']):.2f}. With no false positive among n pairs the rate is below 3 / n at 95 % "
        f"confidence, here {3 / len(strangers):.1e}, as far as pairs that share a model count as independent."
    )
