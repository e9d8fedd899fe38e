"""A hardened release: a fine-tune of the zoo that was trained on until merges with it are bad."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from mergeguard_hub.audit.tasks import Task
from mergeguard_hub.training import Hardened
from space.zoo.family import Family, Make
from space.zoo.run import Schedule

FAMILIES = ("vision", "language", "images")
"""Those of which there is a recipe."""

SHIPPED = ("vision",)
"""Those whose release is in the repository; with the others it would be larger than its models may be."""


@dataclass(frozen=True)
class Settings:
    """How a finished fine-tune is trained on.

    Attributes:
        schedule: steps and learning rate.
        objective: which merges are drawn, and how much they count.
        cap_factor: the cap, as a multiple of the loss of guessing.
        directions: random partners beside the surrogates.
        base_share: of every batch, in the mean, that are the base's data: what no batch holds is lost, alone too.
        batch_size: examples per update; None: the family's.
    """

    schedule: Schedule
    objective: Hardened = field(default_factory=Hardened)
    cap_factor: float = 1.2
    directions: int = 0
    base_share: float = 0.0
    batch_size: int | None = None


@dataclass(frozen=True)
class Variant:
    """Another training from the same fine-tune, audited beside the release.

    Attributes:
        make: trains it.
        phases: of the training, where they are not the release's; none where it does without hardening.
    """

    make: Make
    phases: tuple[Settings, ...] = ()


@dataclass(frozen=True)
class HardenedModel:
    """How a release is made, and with whom it is judged.

    Attributes:
        family: of the zoo.
        defender: the fine-tune that the training starts from, and whose skill the release has.
        against: in words, the partners that the training knows.
        unseen: partners that it does not know, with which the release is judged.
        phases: of the training.
        make: trains it.
        variants: by what sets them apart from the release.
        besides: tasks of the family that the fine-tune can do although they are not its own.
        longer: makes a longer test of its own skill, where the family's is too short to show what hardening costs.
    """

    family: str
    defender: str
    against: str
    unseen: tuple[str, ...]
    phases: tuple[Settings, ...]
    make: Make
    variants: Mapping[str, Variant] = field(default_factory=dict)
    besides: tuple[str, ...] = ()
    longer: Callable[[], Task[Any]] | None = None

    @property
    def name(self) -> str:
        """The name of its folder beside the family's models."""
        return f"{self.defender}-hardened"

    @property
    def steps(self) -> int:
        """Of all phases."""
        return sum(settings.schedule.steps for settings in self.phases)

    @property
    def trainer(self) -> Family:
        """Trains it into a folder where the family's models are, unless it is there."""
        return Family(self.family, {self.name: (self.steps, self.make)}, measure=lambda _: {})


def hardened_model(family: str, seed: int = 0) -> HardenedModel:
    """Return the hardened release of a family in `FAMILIES`; the zoo's has seed 0."""
    chosen: HardenedModel = import_module(f"space.zoo.{family}.hardened").hardened(seed)
    return chosen
