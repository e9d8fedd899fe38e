"""Scores of releases, of merges with them, and of attacked merges; each is measured once and kept in a file."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call

from benchmarks.paper_tables.family import Batch, Family
from benchmarks.paper_tables.releases import PLAIN, Release, released
from mergeguard_hub.attacks import Unmask, Workshop, grad_erase, recover
from mergeguard_hub.audit.model_folder import ModelFolder
from mergeguard_hub.audit.scoring import write_whole
from mergeguard_hub.merging import AdaMerging, merge_folders

ADA = "AdaMerging"
SAMPLE, STEPS, RATE = 100, 30, 2e-4  # labelled examples, steps and learning rate of the free-rider; our choice
SIZE = 32
ADA_STEPS, ADA_RATE = 50, 1e-2  # the authors take 500 steps at a tenth of the rate
ADA_SIZE, ADA_INPUTS = 16, 320  # inputs of each task per step and in all; the authors take all test inputs


@dataclass(frozen=True, eq=False)
class Measuring:
    """Makes and scores what the tables compare.

    Attributes:
        family: the models and tasks.
        work: folder that keeps releases and scores; remove it to measure anew.
        tell: is called with every new score.
        scores: what was measured so far, in percent.
    """

    family: Family
    work: Path
    tell: Callable[[str], object] = print
    scores: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self._file.exists():
            self.scores.update(json.loads(self._file.read_text(encoding="utf-8")))

    @property
    def _file(self) -> Path:
        return self.work / "scores.json"

    def kept(self, key: str, measure: Callable[[], float]) -> float:
        """Return a number that is measured only the first time."""
        if key not in self.scores:
            self.scores[key] = round(measure(), 4)
            self.work.mkdir(parents=True, exist_ok=True)
            write_whole(self._file, json.dumps(self.scores, indent=1))
            self.tell(f"{key}: {self.scores[key]}")
        return self.scores[key]

    def base(self, task: str) -> float:
        """Return the base's score on a task."""
        return self.kept(f"base | {task}", lambda: self._score(self.family.load(self.family.base), task, whole=True))

    def guessing(self, task: str) -> float:
        """Return what guessing gets."""
        return 100 * self.family.tasks[task].chance

    def alone(self, release: Release, task: str) -> float:
        """Return a release's score on its own task."""

        def measured() -> float:
            folder = released(self.family, release, task, self.work)
            return self._score(self.family.load(folder), task, whole=True)

        return self.kept(f"{release.title} | {task}", measured)

    def merged(self, release: Release, task: str, method: str, *, partners: Sequence[str] = (), on: str = "") -> float:
        """Return the score of a merge, on the defender's task unless another is named.

        Args:
            release: how the defender's model is published.
            task: the defender's.
            method: in the family's `methods`, or `ADA`.
            partners: tasks of the other models in the merge; empty: all others.
            on: what is scored.
        """
        others = list(partners or self.family.others(task))
        who = "all" if len(others) == len(self.family.tuned) - 1 else " and ".join(others)
        if release == PLAIN and who == "all":
            key = f"unprotected, {method}, all | {on or task}"  # whoever defends, it is the same merge
        else:
            key = f"{release.title} {task}, {method}, {who} | {on or task}"

        def measure() -> float:
            model = self._merge(release, task, method, others)
            scored = [on or task] if who != "all" else list(self.family.tuned) if release == PLAIN else [on or task]
            found = {one: self._score(model, one) for one in scored}
            for one, value in found.items():
                if one != (on or task):
                    self.kept(key.rpartition(" | ")[0] + f" | {one}", lambda value=value: value)  # type: ignore[misc]
            return found[on or task]

        return self.kept(key, measure)

    def all_released(self, release: Release, task: str, method: str) -> float:
        """Return the score of a merge in which every model is released in that way."""

        def measure() -> float:
            return self._score(self._merged([self._folder(release, one) for one in self.family.tuned], method), task)

        return self.kept(f"all {release.title}, {method} | {task}", measure)

    def unmasked(self, release: Release, task: str, mode: str) -> float:
        """Return the score of a merge by task arithmetic after Unmask, "task_vector" or "literal"."""

        def measure() -> float:
            base, mine = (ModelFolder(place) for place in (self.family.base, self._folder(release, task)))
            partners = [ModelFolder(self.family.tuned[other]).tensors() for other in self.family.others(task)]
            attack = Unmask(mode=mode)  # type: ignore[arg-type]
            shop = Workshop(mine.tensors(), base.tensors(), partners, merge=self.family.methods["TA"].merge)
            with tempfile.TemporaryDirectory(dir=self._room()) as place:
                base.write(next(attack.candidates(shop)).weights, Path(place) / "model")
                return self._score(self.family.load(Path(place) / "model"), task)

        return self.kept(f"Unmask {mode}, {release.title} {task} | {task}", measure)

    def retrained(self, release: Release | None, task: str, *, erase: bool) -> float:
        """Return the score after a free-rider with some labelled examples has trained the merge by task arithmetic.

        Args:
            release: in the merge; None: the base itself is trained, for comparison.
            task: the defender's.
            erase: with GradErase; else plainly.
        """
        who = "the base" if release is None else f"{release.title} {task}"

        def measure() -> float:
            family = self.family
            model = (
                family.load(family.base) if release is None else self._merge(release, task, "TA", family.others(task))
            )
            batches = family.data.batches(task, SAMPLE, SIZE, seed=2)

            def loss(one: nn.Module, batch: Batch) -> Tensor:
                return family.data.loss(one, task, batch)

            settings: Any = {"steps": STEPS, "lr": RATE, "at": (), "loss": loss}
            if erase:
                grad_erase(model, batches, **settings)
            else:
                recover(model, batches, **settings)
            return self._score(model, task)

        return self.kept(f"{'GradErase' if erase else 'recovery'}, {who} | {task}", measure)

    def _folder(self, release: Release, task: str) -> Path:
        return released(self.family, release, task, self.work)

    def _room(self) -> Path:
        self.work.mkdir(parents=True, exist_ok=True)
        return self.work

    def _score(self, model: nn.Module, task: str, *, whole: bool = False) -> float:
        limit = None if whole else self.family.limit
        return 100 * self.family.tasks[task].score(self.family.wrap(model), limit=limit).value

    def _merge(self, release: Release, task: str, method: str, others: Sequence[str]) -> nn.Module:
        family, mine = self.family, self._folder(release, task)
        models = [mine if one == task else family.tuned[one] for one in family.tuned if one == task or one in others]
        return self._merged(models, method)

    def _merged(self, models: Sequence[Path], method: str) -> nn.Module:
        if method == ADA:
            return self._learned(models)
        family = self.family
        with tempfile.TemporaryDirectory(dir=self._room()) as place:
            merge_folders(family.methods[method], base=family.base, models=models, target=Path(place) / "model")
            return family.load(Path(place) / "model")

    def _learned(self, folders: Sequence[Path]) -> nn.Module:
        """Return AdaMerging's merge: layer-wise, from inputs of all tasks without their labels."""
        family = self.family
        model, models = family.load(family.base), [dict(family.load(folder).state_dict()) for folder in folders]
        logits = family.logits
        if logits is None:
            raise ValueError(f"{family.title} has no logits to be sure of, so AdaMerging does not apply.")
        batches = [
            [(task, batch) for batch in family.data.batches(task, ADA_INPUTS, ADA_SIZE, seed=3)]
            for task in family.tuned
        ]

        def probabilities(weights: dict[str, Tensor], batch: tuple[str, Batch]) -> Tensor:
            return logits(lambda **inputs: functional_call(model, weights, (), inputs), *batch)

        found = AdaMerging(steps=ADA_STEPS, learning_rate=ADA_RATE).learn(
            dict(copy.deepcopy(model).state_dict()), models, probabilities, batches
        )
        model.load_state_dict(found.weights)
        return model
