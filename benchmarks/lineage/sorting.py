"""Which family is each model of: accuracies of both fingerprints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.families.derivatives import BASE
from benchmarks.lineage.described import Described
from mergeguard_hub.fingerprint import Families, nearest_base

Pool = Sequence[Described]
KINDS = {
    "full": "full fine-tune",
    "second": "another full fine-tune",
    "lora": "LoRA, merged in",
    "merged": "average of the two fine-tunes",
    "half": "average of fine-tune and base",
    "pruned": "30 % pruned",
    "rounded": "8-bit rounding",
    "exact": "`exact` release",
    "params": "`params` release",
    "mergelock": "`mergelock` release",
}


@dataclass(frozen=True)
class Sorted:
    """A model and where it was sorted to.

    Attributes:
        described: the model.
        base: the family it was sorted to; None for none.
    """

    described: Described
    base: str | None

    @property
    def right(self) -> bool:
        """Whether that is its own family."""
        return self.base == self.described.model.family


def bases_of(pool: Pool) -> dict[str, Described]:
    """Return the base of every family."""
    return {one.model.family: one for one in pool if one.model.name == BASE}


def one_of_each_shape(pool: Pool) -> Iterator[list[Described]]:
    """Yield sets of families of which no two have the same shapes, until every family was in one."""
    families: dict[str, list[str]] = {}
    for one in bases_of(pool).values():
        families.setdefault(one.model.shapes, []).append(one.model.family)
    for turn in range(max(map(len, families.values()))):
        chosen = {names[turn % len(names)] for names in families.values()}
        yield [one for one in pool if one.model.family in chosen]


def sort_by_tensorguard(pool: Pool) -> list[Sorted]:
    """Sort all derivatives of a pool at once, by K-means that starts at the bases."""
    rest = [one for one in pool if one.model.name != BASE]
    names = {str(number): one for number, one in enumerate(rest)}
    bases = {family: one.gradients for family, one in bases_of(pool).items()}
    found = Families.fit(bases, {number: one.gradients for number, one in names.items()})
    return [Sorted(one, found.labels[number]) for number, one in names.items()]


def sort_by_invariants(pool: Pool) -> list[Sorted]:
    """Sort each derivative of a pool to the base that it descends from, or to none."""
    bases = {family: one.invariant for family, one in bases_of(pool).items()}
    return [
        Sorted(one, found.name if found.descends else None)
        for one in pool
        if one.model.name != BASE
        for found in [nearest_base(one.invariant, bases)]
    ]


def accuracy_table(pool: Pool) -> str:
    """Return accuracies by kind of derivative, for both fingerprints, without and with same-shape bases."""
    apart = list(one_of_each_shape(pool))
    columns = [
        [found for chosen in sets for found in sort(chosen)]
        for sort in (sort_by_tensorguard, sort_by_invariants)
        for sets in (apart, [pool])
    ]
    lines = [
        "| derivative | models | TensorGuard, one base of each shape | TensorGuard, all bases | "
        "invariant, one base of each shape | invariant, all bases |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    kinds = {**KINDS, **{one.model.name: "fine-tune of the zoo" for one in pool if one.model.name not in KINDS}}
    for title in dict.fromkeys(kinds.values()):
        rows = [[s for s in column if kinds[s.described.model.name] == title] for column in columns]
        if rows[1]:
            lines.append(f"| {title} | {len(rows[1])} | {' | '.join(map(_percent, rows))} |")
    lines.append(f"| **all** | {len(columns[1])} | {' | '.join(f'**{_percent(column)}**' for column in columns)} |")
    bases = bases_of(pool)
    alike = [
        family for family, one in bases.items() if sum(one.model.shapes == b.model.shapes for b in bases.values()) > 1
    ]
    facts = (
        f"{len(bases)} bases of {len({one.model.shapes for one in bases.values()})} shapes. One base of each shape: "
        f"{len(apart)} sets, so that every base is in one; accuracy over all of them."
    )
    if not alike:
        return "\n".join([*lines, "", facts])
    within = [_percent([s for s in column if s.described.model.family in alike]) for column in (columns[1], columns[3])]
    lines.append(
        f"| of these, with bases of the same shapes | {_count(columns[1], alike)} | - | {within[0]} | - | {within[1]} |"
    )
    return "\n".join([*lines, "", facts])


def _count(found: Sequence[Sorted], families: Sequence[str]) -> int:
    return sum(one.described.model.family in families for one in found)


def _percent(found: Sequence[Sorted]) -> str:
    return f"{100 * np.mean([one.right for one in found]):.1f} %" if found else "-"
