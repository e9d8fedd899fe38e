"""Pictures drawn from prompts, judged by a scorer that was trained separately."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch

from mergeguard_hub.audit.tasks.task import Score, first
from mergeguard_hub.errors import TaskError

if TYPE_CHECKING:
    from PIL.Image import Image

Label = TypeVar("Label")


@dataclass(frozen=True)
class PromptTask(Generic[Label]):
    """Prompts to a text-to-image pipeline, each picture judged on what its prompt asked for.

    The noise that a picture starts from depends on its own seed alone: it is the same for every model, and does not
    change with `batch_size` or `limit`.

    Attributes:
        name: short name, for files and tables.
        title: name for readers.
        prompts: in the order in which they are put.
        labels: for each prompt, what the scorer compares with: a class, a set of attributes, the prompt itself.
        scorer: gets pictures and their labels and returns a verdict in [0, 1] for each picture.
        seeds: for each prompt, the seed of its picture.
        steps: denoising steps.
        guidance: scale of classifier-free guidance; 1 is none.
        batch_size: pictures at a time (8: our choice).
        options: other arguments of the pipeline's call, as pairs: (("height", 64), ("width", 64)).
        metric: what the scorer counts.
        chance: the score that guessing is expected to get.

    Raises:
        TaskError: there are not as many labels or seeds as prompts.
    """

    name: str
    title: str
    prompts: tuple[str, ...]
    labels: tuple[Label, ...]
    scorer: Callable[[Sequence[Image], Sequence[Label]], Sequence[float]]
    seeds: tuple[int, ...]
    steps: int = 20
    guidance: float = 7.5
    batch_size: int = 8
    options: tuple[tuple[str, Any], ...] = ()
    metric: str = "accuracy"
    chance: float = 0.0

    def __post_init__(self) -> None:
        counts = len(self.prompts), len(self.labels), len(self.seeds)
        if len(set(counts)) != 1:
            raise TaskError(
                f"{self.name!r} has {counts[0]} prompts, {counts[1]} labels and {counts[2]} seeds; give one of each "
                "per picture."
            )

    def pictures(self, subject: Any, *, limit: int | None = None) -> list[Image]:
        """Draw the first `limit` prompts.

        Args:
            subject: a `DiffusionPipeline` that takes `prompt` and `generator`; left as it was found.
            limit: None: all.
        """
        count = len(first(self.prompts, limit))
        drawn: list[Image] = []
        with _silent(subject), torch.inference_mode():
            for start in range(0, count, self.batch_size):
                drawn += self._draw(subject, slice(start, min(start + self.batch_size, count)))
        return drawn

    def judged(self, pictures: Sequence[Image]) -> Score:
        """Return the score of pictures that were drawn before, one for each of the first prompts.

        Raises:
            TaskError: there are more pictures than prompts, or the scorer returned another number of verdicts.
        """
        if len(pictures) > len(self.prompts):
            raise TaskError(f"There are {len(pictures)} pictures for {len(self.prompts)} prompts of {self.name!r}.")
        verdicts = self.scorer(pictures, self.labels[: len(pictures)])
        if len(verdicts) != len(pictures):
            raise TaskError(f"The scorer of {self.name!r} gave {len(verdicts)} verdicts on {len(pictures)} pictures.")
        return Score(tuple(float(verdict) for verdict in verdicts))

    def score(self, subject: Any, *, limit: int | None = None) -> Score:
        """Put the prompts to a pipeline; see `Task.score`."""
        return self.judged(self.pictures(subject, limit=limit))

    def _draw(self, subject: Any, part: slice) -> list[Image]:
        generators = [torch.Generator().manual_seed(seed) for seed in self.seeds[part]]
        drawn = subject(
            prompt=list(self.prompts[part]),
            generator=generators,
            num_inference_steps=self.steps,
            guidance_scale=self.guidance,
            output_type="pil",
            **dict(self.options),
        )
        images: list[Image] = drawn.images
        return images


@contextmanager
def _silent(pipeline: Any) -> Iterator[None]:
    """Draw no progress bars for a while."""
    own = getattr(pipeline, "_progress_bar_config", None)
    pipeline.set_progress_bar_config(**{**(own or {}), "disable": True})
    try:
        yield
    finally:
        if own is None:
            del pipeline._progress_bar_config
        else:
            pipeline.set_progress_bar_config(**own)
