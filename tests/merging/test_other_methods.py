"""The other merge methods: worked by hand on four weights, and against their papers written down literally."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from mergeguard_hub.errors import MergeError
from mergeguard_hub.merging import (
    BoostedTaskArithmetic,
    BoostedTies,
    Breadcrumbs,
    Dare,
    DareTies,
    IsoC,
    MetricsWeightedAveraging,
    ModelStock,
    Slerp,
    TaskArithmetic,
    Ties,
    TsvMerge,
)
from tests.merging.table import drawn, weights
from tests.reference import merge_methods as reference

ZERO = weights(0.0, 0.0, 0.0, 0.0)
MANY = {"w": torch.ones(20_000)}
NOTHING = {"w": torch.zeros(20_000)}


def matrices(count: int, shape: tuple[int, ...] = (6, 9)) -> list[Tensor]:
    generator = torch.Generator().manual_seed(11)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(count)]


def merged(method: object, base: Tensor, models: list[Tensor]) -> Tensor:
    found: Tensor = method.merge({"w": base}, [{"w": model} for model in models])["w"]  # type: ignore[attr-defined]
    return found


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("density", [0.02, 0.3, 1.0])
def test_ties_is_the_papers(count: int, density: float) -> None:
    base, *models = (drawn(seed) for seed in range(count + 1))
    names = [name for name in base if base[name].is_floating_point()]
    flat = [torch.cat([model[name].flatten() for name in names]).numpy() for model in (base, *models)]
    found = Ties(density=density, scale=0.7).merge(base, models)
    expected = reference.ties(flat[0], flat[1:], density=density, scale=0.7)
    np.testing.assert_allclose(torch.cat([found[name].flatten() for name in names]).numpy(), expected, atol=1e-14)


@pytest.mark.parametrize("rescale", ["density", "l1", "none"])
def test_dare_keeps_the_fraction_and_rescales(rescale: str) -> None:
    found = Dare(density=0.25, rescale=rescale, seed=5).merge(NOTHING, [MANY])["w"]  # type: ignore[arg-type]
    kept = found[found != 0]
    # Four standard deviations of a binomial with n = 20,000 and p = 1/4.
    assert abs(len(kept) - 5000) < 4 * math.sqrt(20_000 * 0.25 * 0.75)
    expected = {"density": 4.0, "l1": 20_000 / len(kept), "none": 1.0}[rescale]
    torch.testing.assert_close(kept, torch.full_like(kept, expected))


def test_dare_draws_another_mask_for_each_seed_model_and_tensor() -> None:
    base, model = ({name: torch.full((1000,), value) for name in ("a", "b")} for value in (0.0, 1.0))
    first = Dare(density=0.5).merge(base, [model])
    again, other = Dare(density=0.5).merge(base, [model]), Dare(density=0.5, seed=1).merge(base, [model])
    both = Dare(density=0.5).merge(base, [model, model])["a"]
    assert torch.equal(first["a"], again["a"])
    assert not torch.equal(first["a"], other["a"])
    assert not torch.equal(first["a"], first["b"])
    assert set(both.tolist()) == {0.0, 2.0, 4.0}


def test_dare_at_density_one_is_task_arithmetic() -> None:
    base, one, two = matrices(3)
    torch.testing.assert_close(
        merged(Dare(density=1.0), base, [one, two]), merged(TaskArithmetic(1.0), base, [one, two])
    )


def test_dare_ties_at_density_one_is_ties() -> None:
    base, one, two = matrices(3)
    assert torch.equal(merged(DareTies(density=1.0), base, [one, two]), merged(Ties(density=1.0), base, [one, two]))


def test_dare_and_dare_ties_of_one_model_drop_the_same() -> None:
    assert torch.equal(Dare(0.5).merge(NOTHING, [MANY])["w"], DareTies(0.5).merge(NOTHING, [MANY])["w"])


def test_dare_ties_settles_a_tied_sign_by_the_majority_of_the_model() -> None:
    base, one, two = weights(0.0, 0.0), weights(2.0, -1.0), weights(-2.0, -1.0)
    assert DareTies(density=1.0).merge(base, [one, two])["w"].tolist() == [-2.0, -1.0]


def test_dare_refuses_another_rescaling() -> None:
    with pytest.raises(MergeError, match="rescale is 'l2', and must be one of density, l1, none"):
        Dare(rescale="l2")  # type: ignore[arg-type]


def test_slerp_by_hand() -> None:
    # A right angle and t = 1/3: sin 60 = 0.866 of the first, sin 30 = 0.5 of the second.
    found = Slerp(t=1 / 3).merge(ZERO, [weights(2.0, 0.0, 0.0, 0.0), weights(0.0, 3.0, 0.0, 0.0)])["w"]
    torch.testing.assert_close(found, torch.tensor([2 * math.sqrt(3) / 2, 3 * 0.5, 0.0, 0.0]))


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
def test_slerp_is_the_papers(t: float) -> None:
    base, one, two = matrices(3)
    expected = reference.slerp(one.flatten().numpy(), two.flatten().numpy(), t=t)
    np.testing.assert_allclose(merged(Slerp(t), base, [one, two]).flatten().numpy(), expected, atol=1e-14)


def test_slerp_takes_the_chord_between_parallel_and_opposite_models() -> None:
    base = weights(0.0, 0.0)
    assert Slerp(0.25).merge(base, [weights(4.0, 0.0), weights(8.0, 0.0)])["w"].tolist() == [5.0, 0.0]
    assert Slerp(0.25).merge(base, [weights(4.0, 0.0), weights(-8.0, 0.0)])["w"].tolist() == [1.0, 0.0]


@pytest.mark.parametrize("t", [-0.1, 1.1, math.nan])
def test_slerp_refuses_t_off_the_arc(t: float) -> None:
    with pytest.raises(MergeError, match=r"t is .*, and must be at least 0 and at most 1"):
        Slerp(t=t)


def test_model_stock_by_hand() -> None:
    # cos = 0.6, so t = 1.2 / 1.6 = 0.75 of the way to the average (2.5, 2).
    found = ModelStock().merge(weights(0.0, 0.0), [weights(2.0, 0.0), weights(3.0, 4.0)])["w"]
    torch.testing.assert_close(found, torch.tensor([1.875, 1.5]))


@pytest.mark.parametrize("count", [2, 3, 8])
def test_model_stock_is_the_papers(count: int) -> None:
    base, *models = matrices(count + 1)
    expected = reference.model_stock(base.flatten().numpy(), [model.flatten().numpy() for model in models])
    np.testing.assert_allclose(merged(ModelStock(), base, models).flatten().numpy(), expected, atol=1e-13)


def test_model_stock_of_orthogonal_task_vectors_is_the_base() -> None:
    base = weights(1.0, 1.0)
    assert ModelStock().merge(base, [weights(3.0, 1.0), weights(1.0, 5.0)])["w"].tolist() == [1.0, 1.0]


def test_tsv_merge_by_hand() -> None:
    # Two tasks of rank one in directions that do not meet: nothing overlaps and both stay whole.
    one, two = torch.diag(torch.tensor([5.0, 0.0])), torch.diag(torch.tensor([0.0, -3.0]))
    found = merged(TsvMerge(), torch.zeros(2, 2), [one, two])
    torch.testing.assert_close(found, torch.diag(torch.tensor([5.0, -3.0])))


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_tsv_merge_is_the_papers(count: int) -> None:
    base, *models = matrices(count + 1)
    expected = reference.tsv_merge(base.numpy(), [model.numpy() for model in models], scale=0.8)
    np.testing.assert_allclose(merged(TsvMerge(0.8), base, models).numpy(), expected, atol=1e-12)


def test_tsv_merge_keeps_a_direction_of_each_task_where_there_are_more_tasks_than_ranks() -> None:
    base, *models = matrices(6, (2, 3))
    assert torch.linalg.matrix_rank(merged(TsvMerge(), base, models) - base) == 2


def test_iso_c_by_hand() -> None:
    # The sum is diag(4, -1, 0 ...): signs and directions stay, magnitudes become (4 + 1) / 2.
    one, two = torch.diag(torch.tensor([3.0, 1.0])), torch.diag(torch.tensor([1.0, -2.0]))
    found = merged(IsoC(), torch.zeros(2, 2), [one, two])
    torch.testing.assert_close(found, torch.diag(torch.tensor([2.5, -2.5])))


@pytest.mark.parametrize("count", [1, 2, 8])
def test_iso_c_is_the_papers(count: int) -> None:
    base, *models = matrices(count + 1)
    expected = reference.iso_c(base.numpy(), [model.numpy() for model in models], scale=0.8)
    np.testing.assert_allclose(merged(IsoC(0.8), base, models).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("method", [TsvMerge(), IsoC()])
def test_methods_on_matrices_average_everything_else(method: object) -> None:
    models = [drawn(seed) for seed in range(3)]
    base, one, two = ({"kernel": model["kernel"], "text_projection": model["matrix"]} for model in models)
    found = method.merge(base, [one, two])  # type: ignore[attr-defined]
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, (one[name] + two[name]) / 2)


@pytest.mark.parametrize("beta", [1e-9, 0.2, 0.6, 1.0])
def test_boosting_is_the_papers(beta: float) -> None:
    base, one, two = matrices(3)
    average = ((one + two) / 2).numpy()
    expected = reference.boosted(base.numpy(), average, beta=beta)
    np.testing.assert_allclose(merged(BoostedTaskArithmetic(beta), base, [one, two]).numpy(), expected, atol=1e-12)
    elected = merged(Ties(density=0.4), base, [one, two]).numpy()
    expected = reference.boosted(base.numpy(), elected, beta=beta)
    found = merged(BoostedTies(beta, density=0.4), base, [one, two]).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_boosting_all_of_the_spectrum_changes_nothing() -> None:
    base, one, two = matrices(3)
    torch.testing.assert_close(merged(BoostedTaskArithmetic(1.0, normalize=False), base, [one, two]), one + two - base)


@pytest.mark.parametrize("beta", [0.0, 1.1, math.nan])
@pytest.mark.parametrize("method", [BoostedTaskArithmetic, BoostedTies])
def test_boosting_refuses_beta_outside_its_range(method: type, beta: float) -> None:
    with pytest.raises(MergeError, match=r"beta is .*, and must be above 0 and at most 1"):
        method(beta=beta)


def test_breadcrumbs_by_hand() -> None:
    # Of 1 0 -2 4 the 4 goes as an outlier and -2 and 1 stay; of 1 -1 3 -2 the 3 goes, -2 and (the first) 1 stay.
    base, one, two = weights(1.0, 2.0, 3.0, 4.0), weights(2.0, 2.0, 1.0, 8.0), weights(2.0, 1.0, 6.0, 2.0)
    found = Breadcrumbs(density=0.5, gamma=0.25, scale=0.5).merge(base, [one, two])["w"]
    assert found.tolist() == [2.0, 2.0, 2.0, 3.0]


@pytest.mark.parametrize(("density", "gamma"), [(0.15, 0.006), (0.5, 0.5), (1e-9, 0.9), (1.0, 0.0)])
def test_breadcrumbs_is_the_papers(density: float, gamma: float) -> None:
    base, *models = matrices(4)
    flat = [tensor.flatten().numpy() for tensor in (base, *models)]
    expected = reference.breadcrumbs(flat[0], flat[1:], density=density, gamma=gamma, scale=0.3)
    found = merged(Breadcrumbs(density=density, gamma=gamma), base, models)
    np.testing.assert_allclose(found.flatten().numpy(), expected, atol=1e-14)


@pytest.mark.parametrize("gamma", [-0.1, 0.6, math.nan])
def test_breadcrumbs_refuses_to_drop_what_it_keeps(gamma: float) -> None:
    with pytest.raises(MergeError, match=r"gamma is .*, and must be at least 0 and, with density 0.5, at most 0.5"):
        Breadcrumbs(density=0.5, gamma=gamma)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, (1 / 3, 2 / 3, 1.0)),
        ({"steps": (10.0, 20.0, 40.0)}, (0.25, 0.5, 1.0)),
        ({"steps": (10.0, 20.0, 40.0), "penalty": 2.0}, (0.0625, 0.25, 1.0)),
        ({"losses": (2.0, 1.0, 4.0)}, (0.5, 1.0, 0.25)),
        ({"losses": (2.0, 1.0, 4.0), "penalty": 0.0}, (1.0, 1.0, 1.0)),
        ({"losses": (3.0, 1.0, 5.0), "scheme": "softmax"}, (math.exp(-0.5), 1.0, math.exp(-1.0))),
        ({"steps": (1.0, 2.0, 3.0), "scheme": "softmax"}, (math.exp(-1.0), math.exp(-0.5), 1.0)),
        ({"losses": (2.0, 2.0, 2.0), "scheme": "softmax"}, (1.0, 1.0, 1.0)),
    ],
)
def test_metrics_weighted_averaging_weights(settings: dict[str, object], expected: tuple[float, ...]) -> None:
    assert MetricsWeightedAveraging(**settings).weights(3) == pytest.approx(expected)  # type: ignore[arg-type]


def test_metrics_weighted_averaging_by_hand() -> None:
    one, two = weights(1.0, 0.0, 0.0, 4.0), weights(4.0, 3.0, 0.0, 1.0)
    found = MetricsWeightedAveraging(losses=(2.0, 1.0)).merge(ZERO, [one, two])["w"]
    assert found.tolist() == [3.0, 2.0, 0.0, 2.0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"losses": (1.0,), "steps": (1.0,)}, "losses and steps are both given"),
        ({"losses": (1.0, 0.0)}, "losses are .*, and must be finite and above 0"),
        ({"steps": (1.0, math.nan)}, "steps are .*, and must be finite and above 0"),
        ({"penalty": -1.0}, "penalty is -1.0, and must be finite and at least 0"),
        ({"scheme": "linear"}, "scheme is 'linear', and must be one of power, softmax"),
    ],
)
def test_metrics_weighted_averaging_refuses(settings: dict[str, object], message: str) -> None:
    with pytest.raises(MergeError, match=message):
        MetricsWeightedAveraging(**settings)  # type: ignore[arg-type]


def test_metrics_weighted_averaging_refuses_another_number_of_losses() -> None:
    with pytest.raises(MergeError, match="There are 2 losses for 1 models; give one for each"):
        MetricsWeightedAveraging(losses=(1.0, 2.0)).merge(ZERO, [ZERO])
