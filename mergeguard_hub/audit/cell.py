"""One cell of the grid: one defender, attacked or not, merged with one partner in one way, and scored."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from mergeguard_hub.attacks import Candidate, Workshop
from mergeguard_hub.audit.ada_merging import unlabelled_pictures
from mergeguard_hub.audit.arena import Arena
from mergeguard_hub.audit.merge_path import MergePath
from mergeguard_hub.audit.model_folder import ModelFolder
from mergeguard_hub.audit.scoring import Scores
from mergeguard_hub.audit.tasks import Score
from mergeguard_hub.audit.transfer import Transfer, joint_gain, outcome, transfer
from mergeguard_hub.audit.variant import Variant, variant_of
from mergeguard_hub.errors import AttackError, MergeError, NonFiniteWeightsError
from mergeguard_hub.merging import TaskArithmetic

FINALISTS = 2  # of a search, scored on all items; our choice

Tensors = Mapping[str, Tensor]
Defender = Literal["original", "protected"]


@dataclass(frozen=True)
class Cell:
    """What is measured.

    Attributes:
        defender: the control or the release.
        attack: what cleaned it first; "" for nothing.
        method: name of a merge method or of an attack on the merge.
        partner: name of the free-rider's model.
        only: label of the one candidate that is scored, "" for all.
    """

    defender: Defender
    attack: str
    method: str
    partner: str
    only: str = ""


@dataclass(frozen=True)
class Point:
    """A merge and what it is worth.

    Attributes:
        label: which of an attack's candidates; "" where a method makes just one.
        settings: its coefficients.
        scores: on the defender's and the partner's task, in this order.
        defender: transfer of the defender's skill.
        partner: transfer of the partner's.
    """

    label: str
    settings: Mapping[str, float]
    scores: tuple[Score, Score]
    defender: Transfer
    partner: Transfer

    @property
    def joint(self) -> Transfer:
        """The smaller of both transfers."""
        return joint_gain(self.defender, self.partner)

    @property
    def outcome(self) -> str:
        """What became of the merge, see `outcome`."""
        return outcome(self.defender, self.partner)


@dataclass(frozen=True)
class Measured:
    """What came of a cell.

    Attributes:
        cell: which one.
        points: the merges that were scored on all items of the limit; the best joint gain first.
        screened: how many merges a search compared before.
        attack_s: seconds that cleaning the release took.
        merge_s: seconds that making the merges took; of a search that goes by scores, scoring too.
        problem: why there are no points; "" otherwise.
    """

    cell: Cell
    points: tuple[Point, ...]
    screened: int
    attack_s: float
    merge_s: float
    problem: str = ""


def measure(arena: Arena, cell: Cell, *, limit: int | None) -> Measured:
    """Make the merges of a cell and score them.

    Args:
        arena: the audit.
        cell: which.
        limit: items per task that are scored in the end; None: all.

    Raises:
        AuditError: a task cannot be scored.
        CheckpointError: a folder cannot be read or written, for want of space perhaps; no fault of the merge.
    """
    try:
        variant = variant_of(arena, cell.defender, cell.attack, cell.partner)
        bench = _Bench(arena, cell, variant)
        if cell.method in arena.methods or isinstance(arena.merge_attacks[cell.method], MergePath) or cell.only:
            points, screened = [bench.point(one, limit) for one in bench.candidates()], 0
        else:
            points, screened = _search(bench, arena.screen if limit is None else min(arena.screen, limit), limit)
    except (MergeError, AttackError, NonFiniteWeightsError) as error:
        return Measured(cell, (), 0, 0.0, 0.0, str(error))
    ranked = sorted(points, key=lambda point: -point.joint.value)
    return Measured(cell, tuple(ranked), screened, variant.seconds, bench.merge_s)


def _search(bench: _Bench, screen: int, limit: int | None) -> tuple[list[Point], int]:
    """Compare all candidates on few items, and score the best of them on all."""
    best: list[tuple[float, Candidate]] = []
    screened = 0
    for candidate in bench.candidates():
        beaten = best[-1][0] if len(best) == FINALISTS else -math.inf
        best.append((bench.joint_gain(candidate, screen, above=beaten), candidate))
        best = sorted(best, key=lambda entry: -entry[0])[:FINALISTS]
        screened += 1
    return [bench.point(candidate, limit) for _, candidate in best], screened


class _Bench:
    """What the merges of one cell are made of and judged by."""

    def __init__(self, arena: Arena, cell: Cell, variant: Variant) -> None:
        self._arena, self._cell = arena, cell
        self._models = [
            ModelFolder(path).tensors(*arena.parts) for path in (variant.base, variant.release, variant.partner)
        ]
        # What is not merged is the base's, even where an attack changed the base too.
        self._scores = Scores(arena.work / "scores", ModelFolder(arena.base).loaded_with)
        self._alone: dict[tuple[str, str, int | None], Score] = {}
        self.merge_s = 0.0

    def candidates(self) -> Iterator[Candidate]:
        """Yield the merges of the cell, and keep account of the seconds that they take."""
        made = self._made()
        while True:
            start = time.perf_counter()
            candidate = next(made, None)
            self.merge_s += time.perf_counter() - start
            if candidate is None:
                return
            if self._cell.only in ("", candidate.label):
                yield candidate

    def _made(self) -> Iterator[Candidate]:
        base, release, partner = self._models
        method = self._arena.methods.get(self._cell.method)
        if method is not None:
            yield Candidate("", {}, method.merge(base, [release, partner]))
            return
        folder = ModelFolder(self._arena.base)
        config = {"model_type": "pipeline"} if folder.is_pipeline else folder.components[""].config
        average = TaskArithmetic(scale=0.5).merge
        attack = self._arena.merge_attacks[self._cell.method]
        inputs = None
        if "unlabelled" in attack.needs:
            tasks = [self._arena.skills[name] for name in self._arena.skills_of(self._cell.partner)]
            inputs = unlabelled_pictures(folder, tasks, self._models)
        workshop = Workshop(release, base, [partner], average, self._score, config, inputs)
        yield from attack.candidates(workshop)

    def _score(self, weights: Tensors) -> float:
        return self.point(Candidate("", {}, dict(weights)), self._arena.screen).joint.value

    def joint_gain(self, candidate: Candidate, limit: int | None, *, above: float) -> float:
        """Return a merge's joint gain if it is above a number, and otherwise only something that is not.

        Where the defender's skill alone is too low, the partner's is not asked for.
        """
        gains: list[float] = []
        for who, name in self._skills():
            found = self._of(candidate.weights, (name,), limit, candidate.config)
            gains.append(self._transfer(who, name, found, limit).value)
            if gains[-1] <= above:
                break
        return min(gains)

    def point(self, candidate: Candidate, limit: int | None) -> Point:
        """Score a merge."""
        names = self._arena.skills_of(self._cell.partner)
        found = self._of(candidate.weights, names, limit, candidate.config)
        ours, theirs = (self._transfer(who, name, found, limit) for who, name in self._skills())
        return Point(candidate.label, candidate.settings, (found[names[0]], found[names[1]]), ours, theirs)

    def _skills(self) -> Iterator[tuple[str, str]]:
        """Yield who has a skill and the name of its task, the defender's first."""
        yield from zip(("original", self._cell.partner), self._arena.skills_of(self._cell.partner), strict=True)

    def _transfer(self, who: str, name: str, found: Mapping[str, Score], limit: int | None) -> Transfer:
        """Return which part of the skill of a model alone a merge has."""
        base, alone = (self._score_of(one, name, limit) for one in ("base", who))
        return transfer(found[name], base=base, alone=alone)

    def _score_of(self, who: str, name: str, limit: int | None) -> Score:
        """Return the score of a model alone; what is not merged is the base's."""
        if (who, name, limit) not in self._alone:
            weights = self._arena.folder(who).tensors(*self._arena.parts)
            self._alone[who, name, limit] = self._of(weights, (name,), limit)[name]
        return self._alone[who, name, limit]

    def _of(
        self, weights: Tensors, names: tuple[str, ...], limit: int | None, config: Mapping[str, Any] | None = None
    ) -> Mapping[str, Score]:
        tasks = {name: self._arena.skills[name] for name in names}
        return self._scores.of(weights, tasks, limit=limit, config=config)


def alone(arena: Arena, who: str, *, limit: int | None) -> dict[str, Score]:
    """Return the scores of "protected", "original", "base" or a partner on every task, as it was published."""
    folder = arena.folder(who)
    return Scores(arena.work / "scores" / "alone", folder.loaded_with).of(folder.tensors(), arena.skills, limit=limit)
