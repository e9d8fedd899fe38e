"""On models that were really trained: the release alone is as good as the original, and its merges are not."""

from __future__ import annotations

import pytest

from mergeguard_hub import verify_folder
from mergeguard_hub.merging import MergeMethod, TaskArithmetic, Ties, WeightAveraging
from space.comparison import chance
from space.release import load_release, release
from space.zoo.vision.data import pictures
from space.zoo.vision.family import WEIGHTS, accuracy, classify, load_model, model_of
from space.zoo.vision.tasks import TASKS

PAIRS = [("digits", "shapes"), ("letters", "shapes"), ("textures", "clutter")]
METHODS: list[MergeMethod] = [WeightAveraging(), TaskArithmetic(scale=0.3), TaskArithmetic(scale=0.8), Ties()]


@pytest.mark.parametrize("defender", TASKS)
def test_a_release_answers_as_the_original(defender: str) -> None:
    test = pictures(defender, "test")
    original, released = load_model(defender), load_release(defender)
    answers = classify(released, defender, test.pixels)
    assert float((answers == classify(original, defender, test.pixels)).double().mean()) > 0.999
    assert accuracy(released, defender, test) == pytest.approx(accuracy(original, defender, test), abs=0.001)
    assert verify_folder(release(defender), against=WEIGHTS / defender).ok


@pytest.mark.parametrize("method", METHODS, ids=repr)
@pytest.mark.parametrize(("defender", "partner"), PAIRS)
def test_a_merge_with_a_release_is_ruined_and_the_control_is_not(
    defender: str, partner: str, method: MergeMethod
) -> None:
    test = pictures(defender, "test")
    base, own, other, released = (
        model.state_dict() for model in (*map(load_model, ("base", defender, partner)), load_release(defender))
    )
    control = accuracy(model_of(method.merge(base, [own, other])), defender, test)
    merged = accuracy(model_of(method.merge(base, [released, other])), defender, test)
    assert control > accuracy(load_model("base"), defender, test)
    assert merged < chance(defender) + 0.07
