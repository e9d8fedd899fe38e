"""Merge methods: worked by hand, at the edges of every setting, and on models that do not fit together."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from mergeguard_hub.errors import MergeError, NonFiniteWeightsError
from mergeguard_hub.merging import MERGE_METHODS, MergeMethod, TaskArithmetic, Ties, WeightAveraging

Tensors = dict[str, Tensor]


def weights(*values: float, dtype: torch.dtype = torch.float32) -> Tensors:
    return {"w": torch.tensor(values, dtype=dtype)}


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


@pytest.mark.parametrize("name", MERGE_METHODS)
class TestEveryMethod:
    """Properties that hold for each entry of the table."""

    def test_is_a_frozen_dataclass_with_title_and_paper(self, name: str) -> None:
        method = MERGE_METHODS[name]()
        assert dataclasses.is_dataclass(method)
        assert method.title
        assert method.paper.startswith("https://arxiv.org/abs/")
        with pytest.raises(dataclasses.FrozenInstanceError):
            method.title = "another"  # type: ignore[misc]

    def test_copies_of_one_model_with_a_whole_task_vector_give_it_back(self, name: str) -> None:
        methods: dict[str, MergeMethod] = {
            "weight_averaging": WeightAveraging(),
            "task_arithmetic": TaskArithmetic(scale=1 / 3),
            "ties": Ties(density=1.0),
        }
        merged = methods[name].merge(BASE, [ONE, ONE, ONE])
        torch.testing.assert_close(merged["w"], ONE["w"])

    def test_models_equal_to_the_base_give_the_base(self, name: str) -> None:
        merged = MERGE_METHODS[name]().merge(BASE, [BASE, BASE])
        assert merged["w"].tolist() == BASE["w"].tolist()

    def test_leaves_its_input_alone_and_shares_no_memory_with_it(self, name: str) -> None:
        base, one = weights(1.0, 2.0), weights(3.0, 4.0)
        merged = MERGE_METHODS[name]().merge(base, [one])
        merged["w"].fill_(99.0)
        assert (base["w"].tolist(), one["w"].tolist()) == ([1.0, 2.0], [3.0, 4.0])

    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
    def test_keeps_names_shapes_and_dtype_of_the_base(self, name: str, dtype: torch.dtype) -> None:
        base = {"a": torch.zeros(2, 3, dtype=dtype), "b": torch.zeros((), dtype=dtype), "c": torch.zeros(0, 4)}
        model = {"a": torch.ones(2, 3, dtype=dtype), "b": torch.ones((), dtype=dtype), "c": torch.zeros(0, 4)}
        merged = MERGE_METHODS[name]().merge(base, [model, model])
        assert {key: (value.shape, value.dtype) for key, value in merged.items()} == {
            key: (value.shape, value.dtype) for key, value in base.items()
        }

    def test_rounds_once(self, name: str) -> None:
        # 1 + 1/128 is a bfloat16 number and 1 + 3/256 is not: the result must come from float32, rounded at the end.
        dtype = torch.bfloat16
        base, model = weights(1.0, dtype=dtype), weights(1.0 + 1 / 128, dtype=dtype)
        assert MERGE_METHODS[name]().merge(base, [model, model])["w"].dtype is dtype
        assert WeightAveraging(weights=(1.0, 2.0)).merge(base, [model, model])["w"].item() == 1.0 + 1 / 128

    def test_one_weight(self, name: str) -> None:
        merged = MERGE_METHODS[name]().merge(weights(0.0), [weights(10.0), weights(10.0)])
        assert merged["w"].item() == pytest.approx({"task_arithmetic": 6.0}.get(name, 10.0))

    def test_takes_whole_numbers_from_the_base(self, name: str) -> None:
        ids = torch.arange(3)
        merged = MERGE_METHODS[name]().merge({"ids": ids, **BASE}, [{"ids": ids.clone(), **ONE}])
        assert merged["ids"].tolist() == [0, 1, 2]
        assert merged["ids"].data_ptr() != ids.data_ptr()

    def test_nothing_but_whole_numbers(self, name: str) -> None:
        ids = {"ids": torch.arange(3)}
        assert MERGE_METHODS[name]().merge(ids, [ids])["ids"].tolist() == [0, 1, 2]

    def test_refuses_no_models(self, name: str) -> None:
        with pytest.raises(MergeError, match="the list of models is empty"):
            MERGE_METHODS[name]().merge(BASE, [])

    def test_refuses_another_shape(self, name: str) -> None:
        with pytest.raises(MergeError, match=r"'w' has shape \(4,\) in the base and \(3,\) in model 2 of 2"):
            MERGE_METHODS[name]().merge(BASE, [ONE, weights(1.0, 2.0, 3.0)])

    def test_refuses_a_missing_tensor(self, name: str) -> None:
        with pytest.raises(MergeError, match="the base has a tensor 'w' and model 1 of 1 has none"):
            MERGE_METHODS[name]().merge(BASE, [{}])

    def test_refuses_an_extra_tensor(self, name: str) -> None:
        with pytest.raises(MergeError, match="model 1 of 1 has a tensor 'head' and the base has none"):
            MERGE_METHODS[name]().merge(BASE, [{**ONE, "head": torch.zeros(1)}])

    def test_refuses_other_whole_numbers(self, name: str) -> None:
        with pytest.raises(MergeError, match="'ids' holds whole numbers that differ between the base and model 1 of 1"):
            MERGE_METHODS[name]().merge({"ids": torch.arange(3)}, [{"ids": torch.arange(3) + 1}])

    def test_refuses_packed_weights(self, name: str) -> None:
        packed = {"w": torch.zeros(4, dtype=torch.uint8)}
        with pytest.raises(MergeError, match=r"'w' is torch.float32 in the base and torch.uint8 in model 1 of 1"):
            MERGE_METHODS[name]().merge(BASE, [packed])

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_refuses_weights_that_are_no_numbers(self, name: str, value: float) -> None:
        with pytest.raises(NonFiniteWeightsError, match="'w' of model 2 of 2 holds NaN or infinite weights"):
            MERGE_METHODS[name]().merge(BASE, [ONE, weights(1.0, 2.0, 3.0, value)])


@pytest.mark.parametrize("density", [0.0, -0.1, 1.1, math.nan])
def test_refuses_a_density_outside_its_range(density: float) -> None:
    with pytest.raises(MergeError, match=r"density is .*, and must be above 0 and at most 1"):
        Ties(density=density)


@pytest.mark.parametrize("method", [TaskArithmetic, Ties])
@pytest.mark.parametrize("scale", [math.nan, math.inf])
def test_refuses_a_scale_that_is_no_number(method: type[TaskArithmetic | Ties], scale: float) -> None:
    with pytest.raises(MergeError, match=r"scale is .*, and must be a finite number"):
        method(scale=scale)


@pytest.mark.parametrize("values", [(), (0.0, 0.0), (-1.0, 2.0), (math.inf, 1.0), (math.nan, 1.0)])
def test_refuses_weights_without_an_average(values: tuple[float, ...]) -> None:
    with pytest.raises(MergeError, match="must be at least 0, with one above 0"):
        WeightAveraging(weights=values)


def test_refuses_another_number_of_weights() -> None:
    with pytest.raises(MergeError, match="There are 3 weights for 2 models; give one for each"):
        WeightAveraging(weights=(1.0, 1.0, 1.0)).merge(BASE, [ONE, TWO])
