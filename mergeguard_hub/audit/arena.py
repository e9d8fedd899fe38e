"""What an audit is about: the models, the skills, the free-rider's methods, and how much is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from mergeguard_hub.attacks import Attack, MergeAttack
from mergeguard_hub.audit.model_folder import ModelFolder, tuned_components
from mergeguard_hub.audit.scoring import safe_name
from mergeguard_hub.audit.task_source import find_task
from mergeguard_hub.audit.tasks import Task
from mergeguard_hub.errors import AuditError


class Merging(Protocol):
    """A merge method of ours, or anything that merges tensors: somebody else's tool."""

    @property
    def title(self) -> str:
        """Return its name for readers."""
        ...

    @property
    def paper(self) -> str:
        """Return where it was published."""
        ...

    def merge(self, base: Mapping[str, Tensor], models: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Return merged tensors, see `MergeMethod.merge`."""
        ...


@dataclass(frozen=True, eq=False)
class Arena:
    """An audit's inputs. It is sent to worker processes as it is, so paths and settings only; the rest is read there.

    Attributes:
        protected: folder of the release.
        original: folder of the model that it was made from, the control.
        base: folder of the public base model.
        partners: folders of the free-rider's own fine-tunes.
        tasks: the defender's skill, then each partner's; see `find_task`.
        methods: ways to merge, by the name that they get in the report.
        merge_attacks: attacks on the merge itself, by name.
        attacks: attacks that clean the release first, by name.
        limit: items of each task that a merge is scored on; None: all.
        screen: items on which an attack that searches compares its candidates.
        work: folder for attacked models and for scores; an audit that was stopped goes on from there.
        recover: whether merges are also trained back, where the tasks have labelled items to spare; or what besides the
            usual kinds is, see `recovery.EXTRA`.
        partner_names: by which the report calls the partners; their folders' by default.
    """

    protected: Path
    original: Path
    base: Path
    partners: tuple[Path, ...]
    tasks: tuple[str | Task[Any], ...]
    methods: Mapping[str, Merging]
    merge_attacks: Mapping[str, MergeAttack]
    attacks: Mapping[str, Attack]
    limit: int | None
    screen: int
    work: Path
    recover: bool | tuple[str, ...] = True
    partner_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.partners:
            raise AuditError("An audit needs a partner to merge with: give at least one fine-tune of the same base.")
        if len(self.tasks) != 1 + len(self.partners):
            raise AuditError(
                f"{len(self.tasks)} tasks for {len(self.partners)} partners: give the task of the protected model, "
                "then one for each partner."
            )
        if self.screen < 1 or (self.limit is not None and self.limit < 1):
            raise AuditError(f"limit is {self.limit} and screen is {self.screen}; both must be at least 1.")
        if not self.partner_names:
            object.__setattr__(self, "partner_names", distinct_names(self.partners, apart=_ROLES))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in _READ}

    @cached_property
    def skills(self) -> dict[str, Task[Any]]:
        """The tasks by name, the defender's first; a number tells apart those of the same name."""
        found: dict[str, Task[Any]] = {}
        for position, source in enumerate(self.tasks):
            task = find_task(source, model=self.base)
            taken = {safe_name(name).casefold() for name in found}  # files of scores are named after tasks
            name = task.name
            while safe_name(name).casefold() in taken:
                name = f"{name} {position}"
            found[name] = task
        return found

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """The components that are merged: those that the original or a partner changed."""
        base = ModelFolder(self.base)
        found = [tuned_components(base, ModelFolder(tuned)) for tuned in (self.original, *self.partners)]
        return tuple(part for part in base.components if any(part in one for one in found))

    def folder(self, who: str) -> ModelFolder:
        """Return the folder of "protected", "original", "base" or of a partner by its name."""
        if who in self.partner_names:
            return ModelFolder(self.partners[self.partner_names.index(who)])
        return ModelFolder(getattr(self, who))

    def skills_of(self, partner: str) -> tuple[str, str]:
        """Return the names of the defender's task and of a partner's."""
        names = tuple(self.skills)
        return names[0], names[1 + self.partner_names.index(partner)]


_READ = {"skills", "parts"}  # made anew in each process
_ROLES = frozenset({"protected", "original", "base"})


def distinct_names(folders: tuple[Path, ...], *, apart: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """Return the folders' names, with as many of their parents as tell them apart, and from the names in `apart`."""
    for depth in range(1, max(len(folder.absolute().parts) for folder in folders) + 1):
        names = tuple("/".join(folder.absolute().parts[-depth:]) for folder in folders)
        if len({*names} - apart) == len(names):
            return names
    raise AuditError(f"The same partner is given twice: {', '.join(map(str, folders))}.")
