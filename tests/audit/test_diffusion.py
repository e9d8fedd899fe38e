"""Prompts to a pipeline: the same noise for the same seed, whatever the batch, and the scorer's verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mergeguard_hub.audit.tasks import PromptTask
from mergeguard_hub.errors import TaskError
from tests.audit.pipelines import stable_diffusion

pytest.importorskip("diffusers")

PROMPTS = ("w1 w2", "w3", "w4 w5 w6", "w1 w2", "w7")
SIZE = (("height", 16), ("width", 16))


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return stable_diffusion()


def _bright(pictures: Sequence[Image.Image], labels: Sequence[int]) -> list[float]:
    return [float(np.asarray(picture).mean() >= label) for picture, label in zip(pictures, labels, strict=True)]


def _task(**changes: Any) -> PromptTask[int]:
    settings: dict[str, Any] = {
        "labels": (0, 256, 0, 0, 256),
        "scorer": _bright,
        "seeds": (1, 2, 3, 1, 5),
        "steps": 2,
        "options": SIZE,
        **changes,
    }
    return PromptTask("bright", "Bright pictures", PROMPTS, **settings)


def test_a_picture_depends_on_its_prompt_and_its_seed_alone(pipeline: Any) -> None:
    one, many = (_task(batch_size=size).pictures(pipeline) for size in (1, 3))
    some = _task(batch_size=2).pictures(pipeline, limit=2)
    arrays = [np.asarray(picture).astype(int) for picture in one]
    assert [picture.size for picture in one] == [(16, 16)] * 5
    for pictures in (many, some):
        for own, other in zip(arrays, pictures, strict=False):
            assert abs(own - np.asarray(other)).max() <= 1  # sums in another order
    assert (arrays[0] == arrays[3]).all()
    assert (arrays[0] != arrays[1]).any()


def test_verdicts_are_the_scorers(pipeline: Any) -> None:
    assert _task().score(pipeline).verdicts == (1.0, 0.0, 1.0, 1.0, 0.0)
    assert _task().score(pipeline, limit=2).verdicts == (1.0, 0.0)


def test_the_pipeline_is_left_as_it_was(pipeline: Any, capfd: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(3)
    expected = torch.rand(())
    torch.manual_seed(3)
    _task().pictures(pipeline, limit=1)
    assert not hasattr(pipeline, "_progress_bar_config")
    assert torch.rand(()) == expected
    pipeline.set_progress_bar_config(desc="mine", disable=True)
    _task().pictures(pipeline, limit=1)
    assert pipeline._progress_bar_config == {"desc": "mine", "disable": True}
    del pipeline._progress_bar_config
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": (1,)}, "has 5 prompts, 1 labels and 5 seeds"),
        ({"seeds": (1, 2)}, "has 5 prompts, 5 labels and 2 seeds"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        _task(**changes)


def test_a_verdict_for_each_picture() -> None:
    picture = Image.new("RGB", (2, 2))
    with pytest.raises(TaskError, match="gave 1 verdicts on 2 pictures"):
        _task(scorer=lambda pictures, labels: [1.0]).judged([picture] * 2)
    with pytest.raises(TaskError, match="There are 6 pictures for 5 prompts"):
        _task().judged([picture] * 6)
