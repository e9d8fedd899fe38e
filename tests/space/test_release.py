"""On models that were really trained: the release alone is as good as the original, and its merges are not."""

from __future__ import annotations

import pytest

from mergeguard_hub import verify_folder
from mergeguard_hub.merging import MergeMethod, TaskArithmetic, Ties, WeightAveraging
from space.release import load_release, release
from space.zoo.vision.family import WEIGHTS, classification, load_model, model_of
from space.zoo.vision.tasks import TASKS

PAIRS = [("digits", "vehicles"), ("scenes", "aerial"), ("signs", "scenes")]
METHODS: list[MergeMethod] = [WeightAveraging(), TaskArithmetic(scale=0.3), TaskArithmetic(scale=0.8), Ties()]


@pytest.mark.parametrize("defender", TASKS)
def test_a_release_answers_as_the_original(defender: str) -> None:
    task = classification(defender)
    own, released = (task.predictions(model) for model in (load_model(defender), load_release(defender)))
    same = sum(one == other for one, other in zip(own, released, strict=True))
    assert same >= 0.998 * len(own)
    assert verify_folder(release(defender), against=WEIGHTS / defender).ok


@pytest.mark.parametrize("method", METHODS, ids=repr)
@pytest.mark.parametrize(("defender", "partner"), PAIRS)
def test_a_merge_with_a_release_is_ruined_and_the_control_is_not(
    defender: str, partner: str, method: MergeMethod
) -> None:
    task = classification(defender)
    base, own, other, released = (
        model.state_dict() for model in (*map(load_model, ("base", defender, partner)), load_release(defender))
    )
    control = task.score(model_of(method.merge(base, [own, other]))).value
    merged = task.score(model_of(method.merge(base, [released, other]))).value
    assert control > task.score(load_model("base")).value
    assert merged < task.chance + 0.07
