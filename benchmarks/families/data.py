"""What the families learn: languages of one-step transitions with repetition, and noisy pictures of prototypes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

TOKENS, LENGTH = 256, 48
SPECIAL = 4  # the first tokens never occur in text; 3 is BERT's mask
_SUCCESSORS = 8
CLASSES, SIDE = 12, 16
_CHANGED = 0.35  # of the tokens of a task, those that go on in another way than in the base's language


def _generator(*seeds: int) -> torch.Generator:
    """Return a generator of its own for every tuple of small numbers."""
    mixed = 0
    for seed in seeds:
        mixed = mixed * 1009 + seed + 1
    return torch.Generator().manual_seed(mixed)


@dataclass(frozen=True)
class Language:
    """Sentences in which each token has eight successors; every other sentence says its first half twice.

    Attributes:
        seed: of the successors.
        task: 0 for the language itself; else a dialect of it, the same changes in every language.
    """

    seed: int
    task: int = 0

    @cached_property
    def successors(self) -> Tensor:
        """The successors of each token, [tokens, 8]."""
        size = (TOKENS, _SUCCESSORS)
        table = torch.randint(SPECIAL, TOKENS, size, generator=_generator(1, self.seed))
        if self.task:
            generator = _generator(2, self.task)
            changed = torch.rand(TOKENS, generator=generator) < _CHANGED
            table[changed] = torch.randint(SPECIAL, TOKENS, size, generator=generator)[changed]
        return table

    def sentences(self, count: int, generator: torch.Generator) -> Tensor:
        """Return sentences [count, 48]."""
        at = torch.randint(SPECIAL, TOKENS, (count,), generator=generator)
        ranks = torch.rand(LENGTH, count, generator=generator).square().mul(_SUCCESSORS).long()  # the first ones often
        words = []
        for rank in ranks:
            words.append(at)
            at = self.successors[at, rank]
        text = torch.stack(words, dim=1)
        text[::2, LENGTH // 2 :] = text[::2, : LENGTH // 2]
        return text


@dataclass(frozen=True)
class Pictures:
    """Grey pictures of twelve classes: smooth prototypes, shifted, with noise.

    Attributes:
        seed: of the prototypes.
        task: 0 for these; else a set in which a third of the classes look otherwise, the same in every set.
    """

    seed: int
    task: int = 0

    @cached_property
    def prototypes(self) -> Tensor:
        """A picture for each class, [classes, 16, 16]."""
        drawn = _smooth(_generator(3, self.seed))
        if self.task:
            generator = _generator(4, self.task)
            changed = torch.rand(CLASSES, generator=generator) < _CHANGED
            drawn[changed] = _smooth(generator)[changed]
        return drawn

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return pictures [count, 1, 16, 16] and their classes [count]."""
        labels = torch.randint(0, CLASSES, (count,), generator=generator)
        shifts = torch.randint(-2, 3, (count, 2), generator=generator).tolist()
        moved = [
            torch.roll(self.prototypes[label], (a, b), (0, 1)) for label, (a, b) in zip(labels, shifts, strict=True)
        ]
        clean = torch.stack(moved)
        return (clean + 0.8 * torch.randn(clean.shape, generator=generator))[:, None], labels


def _smooth(generator: torch.Generator) -> Tensor:
    coarse = torch.randn(CLASSES, 1, 5, 5, generator=generator)
    return torch.nn.functional.interpolate(coarse, size=(SIDE, SIDE), mode="bicubic", align_corners=True)[:, 0]
