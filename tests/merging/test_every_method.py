"""Properties of every merge method of the table, at the edges of its settings, and models that do not fit together."""

from __future__ import annotations

import dataclasses
import math
import pickle

import pytest
import torch

from mergeguard_hub.errors import MergeError, NonFiniteWeightsError
from mergeguard_hub.merging import MERGE_METHODS
from tests.merging.table import FEWEST, MOST, accepts, drawn, weights, whole

BASE = weights(1.0, 2.0, 3.0, 4.0)
ONE = weights(2.0, 2.0, 1.0, 8.0)
TWO = weights(2.0, 1.0, 6.0, 2.0)
WITH_DENSITY = [
    name
    for name, method in MERGE_METHODS.items()
    if "density" in {field.name for field in dataclasses.fields(method)}  # type: ignore[arg-type]
]

every_method = pytest.mark.parametrize("name", MERGE_METHODS)


@every_method
def test_is_a_frozen_dataclass_of_few_settings_with_title_and_paper(name: str) -> None:
    method = MERGE_METHODS[name]()
    assert dataclasses.is_dataclass(method)
    assert len(dataclasses.fields(method)) <= 5
    assert method.title
    assert method.paper.startswith(("https://arxiv.org/abs/", "https://doi.org/"))
    with pytest.raises((dataclasses.FrozenInstanceError, AttributeError)):
        method.title = "another"  # type: ignore[misc]


@every_method
def test_copies_of_one_model_with_a_whole_task_vector_give_it_back(name: str) -> None:
    torch.testing.assert_close(whole(name).merge(BASE, [ONE, ONE])["w"], ONE["w"])


@every_method
def test_models_equal_to_the_base_give_the_base(name: str) -> None:
    base = drawn(0)
    merged = MERGE_METHODS[name]().merge(base, [base, base])
    assert merged.keys() == base.keys()
    for key, tensor in base.items():
        torch.testing.assert_close(merged[key], tensor, rtol=1e-14, atol=0)


@every_method
@pytest.mark.parametrize("count", [1, 2, 8])
def test_number_of_models(name: str, count: int) -> None:
    models = [drawn(seed) for seed in range(1, count + 1)]
    if not accepts(name, count):
        with pytest.raises(MergeError, match="merges two models and|needs the angle between two models"):
            MERGE_METHODS[name]().merge(drawn(0), models)
        return
    merged = MERGE_METHODS[name]().merge(drawn(0), models)
    assert {key: value.shape for key, value in merged.items()} == {key: value.shape for key, value in drawn(0).items()}
    assert not any(torch.equal(merged[key], drawn(0)[key]) for key in ("matrix", "vector", "kernel"))


@every_method
def test_merges_of_the_same_models_are_the_same(name: str) -> None:
    runs = [MERGE_METHODS[name]().merge(drawn(0), [drawn(1), drawn(2)]) for _ in range(2)]
    assert all(torch.equal(runs[0][key], runs[1][key]) for key in runs[0])


@every_method
def test_leaves_its_input_alone_and_shares_no_memory_with_it(name: str) -> None:
    base, models = drawn(0), [drawn(1), drawn(2)]
    merged = MERGE_METHODS[name]().merge(base, models)
    for tensor in merged.values():
        tensor.fill_(99)
    for seed, tensors in enumerate([base, *models]):
        assert all(torch.equal(tensor, drawn(seed)[key]) for key, tensor in tensors.items())


@every_method
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_keeps_names_shapes_and_dtype_of_the_base(name: str, dtype: torch.dtype) -> None:
    merged = MERGE_METHODS[name]().merge(drawn(0, dtype=dtype), [drawn(1, dtype=dtype), drawn(2)])
    assert {key: (value.shape, value.dtype) for key, value in merged.items()} == {
        key: (value.shape, value.dtype) for key, value in drawn(0, dtype=dtype).items()
    }


@every_method
def test_computes_in_float32_and_rounds_once(name: str) -> None:
    dtype = torch.bfloat16
    base, models = drawn(0, dtype=dtype), [drawn(1, dtype=dtype), drawn(2, dtype=dtype)]
    wide = [
        {key: value.float() if value.is_floating_point() else value for key, value in m.items()}
        for m in (base, *models)
    ]
    merged, expected = (MERGE_METHODS[name]().merge(first, rest) for first, *rest in ((base, *models), wide))
    assert all(torch.equal(merged[key], expected[key].to(merged[key].dtype)) for key in merged)


@every_method
def test_one_weight(name: str) -> None:
    merged = whole(name).merge(weights(0.0), [weights(10.0), weights(10.0)])
    assert merged["w"].item() == pytest.approx(10.0)


@every_method
def test_one_matrix_of_one_weight(name: str) -> None:
    base, model = ({"w": torch.full((1, 1), value)} for value in (0.0, 10.0))
    assert whole(name).merge(base, [model, model])["w"].item() == pytest.approx(20.0 if name == "iso_c" else 10.0)


@every_method
def test_a_task_vector_of_zeros_beside_another(name: str) -> None:
    merged = MERGE_METHODS[name]().merge(drawn(0), [drawn(0), drawn(1)])
    assert all(torch.isfinite(tensor).all() for tensor in merged.values())


@every_method
def test_tensors_of_zeros_everywhere(name: str) -> None:
    nothing = {"matrix": torch.zeros(2, 3), "vector": torch.zeros(4)}
    merged = MERGE_METHODS[name]().merge(nothing, [nothing, nothing])
    assert all(not tensor.any() for tensor in merged.values())


@every_method
def test_opposite_task_vectors_stay_finite(name: str) -> None:
    base, one = drawn(0), drawn(1)
    other = {key: 2 * base[key] - tensor if tensor.is_floating_point() else tensor for key, tensor in one.items()}
    merged = MERGE_METHODS[name]().merge(base, [one, other])
    assert all(torch.isfinite(tensor).all() for tensor in merged.values())
    if name in {"task_arithmetic", "model_stock", "tsv_merge", "boosted_task_arithmetic"}:
        torch.testing.assert_close(merged["vector"], base["vector"])  # they cancel


@pytest.mark.parametrize("name", WITH_DENSITY)
@pytest.mark.parametrize("density", [1e-9, 0.5, 1.0])
def test_density_from_tiny_to_one(name: str, density: float) -> None:
    settings = {"gamma": 0.0} if name == "breadcrumbs" else {}
    merged = MERGE_METHODS[name](density=density, **settings).merge(drawn(0), [drawn(1)])
    changed = sum(int((merged[key] != drawn(0)[key]).sum()) for key in ("vector", "kernel", "one", "scalar"))
    total = 7 + 24 + 1 + 1
    assert changed in {1e-9: range(5), 0.5: range(6, 28), 1.0: range(total, total + 1)}[density]


@pytest.mark.parametrize("name", WITH_DENSITY)
@pytest.mark.parametrize("density", [0.0, -0.1, 1.1, math.nan])
def test_refuses_a_density_outside_its_range(name: str, density: float) -> None:
    with pytest.raises(MergeError, match=r"density is .*, and must be above 0 and at most 1"):
        MERGE_METHODS[name](density=density)


@every_method
@pytest.mark.parametrize("scale", [math.nan, math.inf])
def test_refuses_a_scale_that_is_no_number(name: str, scale: float) -> None:
    if "scale" not in {field.name for field in dataclasses.fields(MERGE_METHODS[name])}:  # type: ignore[arg-type]
        assert name in {"weight_averaging", "slerp", "model_stock", "metrics_weighted_averaging"}
        return
    with pytest.raises(MergeError, match=r"scale is .*, and must be a finite number"):
        MERGE_METHODS[name](scale=scale)


@every_method
def test_takes_whole_numbers_and_float8_from_the_base(name: str) -> None:
    kept = {
        "ids": torch.arange(3),
        "packed": torch.tensor([1.5, 2.0]).to(torch.float8_e4m3fn),
        "mask": torch.tensor(True),
    }
    merged = MERGE_METHODS[name]().merge({**kept, **BASE}, [{**kept, **ONE}, {**kept, **TWO}])
    assert merged["ids"].tolist() == [0, 1, 2]
    assert merged["packed"].float().tolist() == [1.5, 2.0]
    assert merged["ids"].data_ptr() != kept["ids"].data_ptr()


@every_method
def test_nothing_but_whole_numbers(name: str) -> None:
    ids = {"ids": torch.arange(3)}
    assert MERGE_METHODS[name]().merge(ids, [ids, ids])["ids"].tolist() == [0, 1, 2]


@every_method
def test_what_is_prepared_can_be_sent_to_another_process(name: str) -> None:
    base, models = drawn(0), [drawn(1), drawn(2)]
    method = MERGE_METHODS[name]()
    merge = pickle.loads(pickle.dumps(method.prepare(base, models)))
    merged = merge("matrix", base["matrix"], [model["matrix"] for model in models])
    assert torch.equal(merged, method.merge(base, models)["matrix"])


@every_method
def test_an_elementwise_merge_may_be_done_in_pieces(name: str) -> None:
    base, models = drawn(0), [drawn(1), drawn(2)]
    method = MERGE_METHODS[name]()
    merge, at = method.prepare(base, models), slice(2, 5)
    whole_tensor = method.merge(base, models)["vector"]
    if method.elementwise:
        piece = merge("vector", base["vector"][at], [model["vector"][at] for model in models])
        assert torch.equal(piece, whole_tensor[at])
    else:
        assert name not in {"weight_averaging", "task_arithmetic", "ties", "metrics_weighted_averaging"}


@every_method
def test_does_not_use_the_weights_of_a_base_that_it_does_not_need(name: str) -> None:
    merged = [MERGE_METHODS[name]().merge(drawn(seed), [drawn(1), drawn(2)])["matrix"] for seed in (0, 3)]
    assert torch.equal(*merged) is not MERGE_METHODS[name].needs_base


@every_method
class TestRefusals:
    """Every method refuses the same inputs in the same words."""

    def test_no_models(self, name: str) -> None:
        with pytest.raises(MergeError, match="the list of models is empty"):
            MERGE_METHODS[name]().merge(BASE, [])

    def test_another_shape(self, name: str) -> None:
        with pytest.raises(MergeError, match=r"'w' has shape \(4,\) in the base and \(3,\) in model 2 of 2"):
            MERGE_METHODS[name]().merge(BASE, [ONE, weights(1.0, 2.0, 3.0)])

    def test_a_missing_tensor(self, name: str) -> None:
        with pytest.raises(MergeError, match="the base has a tensor 'w' and model 1 of 1 has none"):
            MERGE_METHODS[name]().merge(BASE, [{}])

    def test_an_extra_tensor(self, name: str) -> None:
        with pytest.raises(MergeError, match="model 1 of 1 has a tensor 'head' and the base has none"):
            MERGE_METHODS[name]().merge(BASE, [{**ONE, "head": torch.zeros(1)}])

    def test_other_whole_numbers(self, name: str) -> None:
        with pytest.raises(MergeError, match="'ids' holds whole numbers that differ between the base and model 1 of 1"):
            MERGE_METHODS[name]().merge({"ids": torch.arange(3)}, [{"ids": torch.arange(3) + 1}])

    def test_packed_weights(self, name: str) -> None:
        packed = {"w": torch.zeros(4, dtype=torch.uint8)}
        with pytest.raises(MergeError, match=r"'w' is torch.float32 in the base and torch.uint8 in model 1 of 1"):
            MERGE_METHODS[name]().merge(BASE, [packed])

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_weights_that_are_no_numbers(self, name: str, value: float) -> None:
        with pytest.raises(NonFiniteWeightsError, match="'w' of model 2 of 2 holds NaN or infinite weights"):
            MERGE_METHODS[name]().merge(BASE, [ONE, weights(1.0, 2.0, 3.0, value)])

    def test_a_base_that_is_no_numbers(self, name: str) -> None:
        with pytest.raises(NonFiniteWeightsError, match="'w' of the base holds NaN or infinite weights"):
            MERGE_METHODS[name]().merge(weights(1.0, 2.0, 3.0, math.nan), [ONE, TWO])

    def test_a_result_that_its_dtype_has_no_room_for(self, name: str) -> None:
        base, model = weights(0.0, dtype=torch.float16), weights(6e5)
        with pytest.raises(
            NonFiniteWeightsError, match=r"'w' of the merge holds numbers that torch.float16 has no room"
        ):
            whole(name).merge(base, [model, model])


def test_the_table_of_this_test_names_methods() -> None:
    assert set(FEWEST) | set(MOST) <= set(MERGE_METHODS)
