"""Searching coefficients: re-basing, the plane of two task vectors, and one pair of coefficients per layer."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from mergeguard_hub.attacks.candidates import Candidate, Score, Wish, Workshop, combine, enter
from mergeguard_hub.errors import AttackError

_LAYER = re.compile(r"^(.*?(?:^|\.)\d+)(?:\.|$)")


@dataclass(frozen=True)
class Rebasing:
    """Keep the release whole and add a fraction of the partner's task vector.

    Ours: a protection that was trained to be good at full strength is used at full strength. Measured in
    docs/findings.md: our skill stays, and what the partner's adds is what has to be looked at.

    Attributes:
        fractions: of the partners' task vectors, our choice.
    """

    title: ClassVar[str] = "Re-basing"
    paper: ClassVar[str] = ""
    needs: ClassVar[frozenset[Wish]] = frozenset()

    fractions: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0)

    def __post_init__(self) -> None:
        _require_finite("fractions", self.fractions)

    def candidates(self, workshop: Workshop) -> Iterator[Candidate]:
        """Yield one model per fraction; see `MergeAttack.candidates`."""
        enter(self, workshop)
        for fraction in self.fractions:
            weights = combine(workshop, lambda name, fraction=fraction: (1.0, fraction))  # type: ignore[misc]
            yield Candidate(f"re-basing {fraction:g}", {"ours": 1.0, "theirs": fraction}, weights)


@dataclass(frozen=True)
class PlaneSearch:
    """Try base + a * our task vector + b * the partner's on a grid, with every a and b.

    Ours: every merge that is linear in the task vectors lies in this plane, so its best point bounds weight averaging
    and task arithmetic at any coefficients. The points with a = 0 are what the free-rider gets without our model.

    Attributes:
        ours: values of a; default as in docs/findings.md.
        theirs: values of b.
    """

    title: ClassVar[str] = "Plane search"
    paper: ClassVar[str] = ""
    needs: ClassVar[frozenset[Wish]] = frozenset()

    ours: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.1)
    theirs: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)

    def __post_init__(self) -> None:
        _require_finite("ours", self.ours)
        _require_finite("theirs", self.theirs)

    def candidates(self, workshop: Workshop) -> Iterator[Candidate]:
        """Yield one model per point, row by row; see `MergeAttack.candidates`."""
        enter(self, workshop)
        for a in self.ours:
            for b in self.theirs:
                weights = combine(workshop, lambda name, a=a, b=b: (a, b))  # type: ignore[misc]
                yield Candidate(f"plane {a:g}, {b:g}", {"ours": a, "theirs": b}, weights)


@dataclass(frozen=True)
class LayerSearch:
    """Choose one pair of coefficients per layer, greedily, by the merger's own validation score.

    Ours, in the merger's favour, after layer-wise AdaMerging (arXiv 2310.02575) with search in place of gradients:
    from the same coefficients everywhere, layers are visited in order, and each keeps whichever pair scores best while
    the others stay. It yields the model after every round.

    Attributes:
        start: coefficients of both task vectors in every layer at first; 0.5 each is weight averaging.
        choices: values tried for either coefficient.
        rounds: how often all layers are visited.
    """

    title: ClassVar[str] = "Layer search"
    paper: ClassVar[str] = "https://arxiv.org/abs/2310.02575"
    needs: ClassVar[frozenset[Wish]] = frozenset({"score"})

    start: tuple[float, float] = (0.5, 0.5)
    choices: tuple[float, ...] = (0.0, 0.3, 0.6, 1.0)
    rounds: int = 1

    def __post_init__(self) -> None:
        _require_finite("choices", self.choices)
        _require_finite("start", self.start)
        if self.rounds < 1:
            raise AttackError(f"rounds is {self.rounds}, and must be at least 1.")

    def candidates(self, workshop: Workshop) -> Iterator[Candidate]:
        """Yield the best model found after each round; see `MergeAttack.candidates`."""
        enter(self, workshop)
        if workshop.score is None:
            return
        pairs = dict.fromkeys((layer_of(name) for name in workshop.protected), self.start)
        best = workshop.score(combine(workshop, lambda name: pairs[layer_of(name)]))
        for number in range(1, self.rounds + 1):
            for layer in pairs:
                best = self._visit(workshop, pairs, layer, best, workshop.score)
            settings = {f"{layer} {side}": pair[i] for layer, pair in pairs.items() for i, side in enumerate(_SIDES)}
            weights = combine(workshop, lambda name: pairs[layer_of(name)])
            yield Candidate(f"layer search, round {number}", settings, weights)

    def _visit(
        self, workshop: Workshop, pairs: dict[str, tuple[float, float]], layer: str, best: float, score: Score
    ) -> float:
        for side in (0, 1):
            for value in self.choices:
                before = pairs[layer]
                pairs[layer] = (value, before[1]) if side == 0 else (before[0], value)
                found = score(combine(workshop, lambda name: pairs[layer_of(name)])) if pairs[layer] != before else best
                if found > best:
                    best = found
                else:
                    pairs[layer] = before
        return best


_SIDES = ("ours", "theirs")


def layer_of(name: str) -> str:
    """Return the layer that a tensor lies in: its name up to the first number, "rest" where there is none.

    >>> layer_of("model.layers.3.mlp.up_proj.weight"), layer_of("lm_head.weight")
    ('model.layers.3', 'rest')
    """
    found = _LAYER.match(name)
    return found[1] if found else "rest"


def _require_finite(what: str, values: tuple[float, ...]) -> None:
    if not values or not all(math.isfinite(value) for value in values):
        raise AttackError(f"{what} is {values}; give at least one value, all finite.")
