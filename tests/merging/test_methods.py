"""Weight averaging, task arithmetic and TIES: worked by hand, and their settings."""

from __future__ import annotations

import math

import pytest
import torch

from mergeguard_hub.errors import MergeError
from mergeguard_hub.merging import TaskArithmetic, Ties, WeightAveraging
from tests.merging.table import weights

# Worked by hand: four weights, two models.
BASE = weights(1.0, 2.0, 3.0, 4.0)
ONE = weights(2.0, 2.0, 1.0, 8.0)  # task vector  1  0 -2  4
TWO = weights(2.0, 1.0, 6.0, 2.0)  # task vector  1 -1  3 -2


def test_weight_averaging_by_hand() -> None:
    assert WeightAveraging().merge(BASE, [ONE, TWO])["w"].tolist() == [2.0, 1.5, 3.5, 5.0]


def test_weighted_average_by_hand() -> None:
    merged = WeightAveraging(weights=(3.0, 1.0)).merge(BASE, [ONE, TWO])
    assert merged["w"].tolist() == [2.0, 1.75, 2.25, 6.5]


def test_task_arithmetic_by_hand() -> None:
    # Sum of the task vectors: 2 -1 1 2.
    assert TaskArithmetic(scale=0.5).merge(BASE, [ONE, TWO])["w"].tolist() == [2.0, 1.5, 3.5, 5.0]


def test_ties_by_hand() -> None:
    # Half of four kept: 0 0 -2 4 and 0 0 3 -2 (first: 4 and -2; second: 3 and -2). Sums: 0 0 1 2, so the elected
    # signs are + wherever a value is left; agreeing values: 3 and 4.
    assert Ties(density=0.5).merge(BASE, [ONE, TWO])["w"].tolist() == [1.0, 2.0, 6.0, 8.0]


def test_ties_scale_by_hand() -> None:
    assert Ties(density=0.5, scale=0.5).merge(BASE, [ONE, TWO])["w"].tolist() == [1.0, 2.0, 4.5, 6.0]


def test_ties_averages_only_the_models_that_kept_the_weight() -> None:
    base = weights(0.0, 0.0)
    assert Ties(density=0.5).merge(base, [weights(4.0, 1.0), weights(2.0, 8.0)])["w"].tolist() == [4.0, 8.0]


def test_ties_settles_a_tied_sign_by_the_majority_of_the_model() -> None:
    base = weights(0.0, 0.0, 0.0)
    merged = Ties(density=1.0).merge(base, [weights(2.0, -1.0, -3.0), weights(-2.0, -1.0, -5.0)])
    assert merged["w"].tolist() == [-2.0, -1.0, -4.0]


def test_ties_leaves_a_weight_alone_when_no_sign_wins_anywhere() -> None:
    assert Ties(density=1.0).merge(weights(7.0), [weights(9.0), weights(5.0)])["w"].tolist() == [7.0]


def test_ties_trims_over_the_whole_model_and_not_per_tensor() -> None:
    base = {"large": torch.zeros(2), "small": torch.zeros(2)}
    model = {"large": torch.tensor([4.0, 3.0]), "small": torch.tensor([2.0, 1.0])}
    merged = Ties(density=0.5).merge(base, [model])
    assert merged["large"].tolist() == [4.0, 3.0]
    assert merged["small"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("density", "kept"), [(1e-9, 1), (0.25, 1), (0.5, 2), (0.75, 3), (1.0, 4)])
def test_ties_density_counts_weights(density: float, kept: int) -> None:
    merged = Ties(density=density).merge(weights(0.0, 0.0, 0.0, 0.0), [weights(1.0, -2.0, 3.0, -4.0)])
    assert int((merged["w"] != 0).sum()) == kept


@pytest.mark.parametrize("scale", [0.0, 0.5, -1.0])
def test_scale_multiplies_the_task_vector(scale: float) -> None:
    expected = [1.0 + scale * 1, 2.0, 3.0 - scale * 2, 4.0 + scale * 4]
    assert TaskArithmetic(scale=scale).merge(BASE, [ONE])["w"].tolist() == expected
    assert Ties(density=1.0, scale=scale).merge(BASE, [ONE])["w"].tolist() == expected


def test_half_task_arithmetic_of_two_is_their_average() -> None:
    generator = torch.Generator().manual_seed(3)
    base, one, two = ({"w": torch.randn(5, 7, generator=generator, dtype=torch.float64)} for _ in range(3))
    average = WeightAveraging().merge(base, [one, two])["w"]
    torch.testing.assert_close(TaskArithmetic(scale=0.5).merge(base, [one, two])["w"], average)


@pytest.mark.parametrize("values", [(), (0.0, 0.0), (-1.0, 2.0), (math.inf, 1.0), (math.nan, 1.0)])
def test_refuses_weights_without_an_average(values: tuple[float, ...]) -> None:
    with pytest.raises(MergeError, match="must be at least 0, with one above 0"):
        WeightAveraging(weights=values)


def test_refuses_another_number_of_weights() -> None:
    with pytest.raises(MergeError, match="There are 3 weights for 2 models; give one for each"):
        WeightAveraging(weights=(1.0, 1.0, 1.0)).merge(BASE, [ONE, TWO])


def test_task_arithmetic_weights_by_hand() -> None:
    # 2 * (1 0 -2 4) - (1 -1 3 -2) = 1 1 -7 10; the weights add up to 1, so dividing by their sum changes nothing.
    for normalize in (False, True):
        method = TaskArithmetic(scale=0.5, weights=(2.0, -1.0), normalize=normalize)
        assert method.merge(BASE, [ONE, TWO])["w"].tolist() == [1.5, 2.5, -0.5, 9.0]


def test_normalized_task_arithmetic_by_hand() -> None:
    method = TaskArithmetic(scale=1.0, weights=(3.0, 1.0), normalize=True)
    assert method.merge(BASE, [ONE, TWO])["w"].tolist() == [2.0, 1.75, 2.25, 6.5]


def test_refuses_to_divide_by_weights_that_cancel() -> None:
    with pytest.raises(MergeError, match="add up to 0, so they have no average"):
        TaskArithmetic(weights=(1.0, -1.0), normalize=True).merge(BASE, [ONE, TWO])


def test_refuses_weights_that_are_no_numbers() -> None:
    with pytest.raises(MergeError, match="must be finite numbers, one for each model"):
        TaskArithmetic(weights=(1.0, math.nan))


def test_ties_weights_vote_and_average_by_hand() -> None:
    # Third weight: -2 * 4 + 3 = -5, so the first model is elected; fourth: 4 * 4 - 2 > 0. First: both, (4 + 1) / 5.
    merged = Ties(density=1.0, weights=(4.0, 1.0)).merge(BASE, [ONE, TWO])
    assert merged["w"].tolist() == [2.0, 1.0, 1.0, 8.0]


def test_ties_per_tensor_keeps_some_of_every_tensor() -> None:
    base = {"large": torch.zeros(2), "small": torch.zeros(2)}
    model = {"large": torch.tensor([4.0, 3.0]), "small": torch.tensor([2.0, 1.0])}
    merged = Ties(density=0.5, per_tensor=True).merge(base, [model])
    assert {name: tensor.tolist() for name, tensor in merged.items()} == {"large": [4.0, 0.0], "small": [2.0, 0.0]}
