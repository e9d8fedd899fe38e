"""Pruning, clipping, rounding and reading masks: worked by hand, and at the edges of every setting."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mergeguard_hub.attacks import Knowledge, MaskReadout, Pruning, Rounding, SpectralClipping
from mergeguard_hub.attacks.pruning import read_mask
from mergeguard_hub.errors import AttackError

NOTHING = Knowledge()
Tensors = dict[str, Tensor]


def _run(attack: Any, protected: list[float], base: list[float]) -> list[float]:
    found = attack.apply({"w": torch.tensor(protected)}, base={"w": torch.tensor(base)}, knowledge=NOTHING)
    result: list[float] = found["w"].tolist()
    return result


def test_pruning_by_hand() -> None:
    assert _run(Pruning(density=0.5), [2.0, 2.0, 1.0, 8.0], [1.0, 2.0, 3.0, 4.0]) == [1.0, 2.0, 1.0, 8.0]


@pytest.mark.parametrize(("density", "kept"), [(1.0, 4), (1e-9, 1), (0.25, 1)])
def test_pruning_keeps_at_least_one(density: float, kept: int) -> None:
    found = _run(Pruning(density=density), [1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 0.0])
    assert sum(value != 0 for value in found) == kept


def test_one_element_and_none() -> None:
    assert _run(Pruning(), [5.0], [1.0]) == [5.0]
    for attack in (Pruning(), SpectralClipping(), Rounding(), MaskReadout()):
        empty = {"w": torch.zeros(0, 3), "n": torch.tensor([3])}
        found = attack.apply(empty, base=empty, knowledge=NOTHING)
        assert found["w"].shape == (0, 3)
        assert found["n"].tolist() == [3]


def test_clipping_takes_an_outlier_off_the_spectrum() -> None:
    change = torch.diag(torch.tensor([10.0, 1.0, 1.0, 1.0]))
    base: Tensors = {"w": torch.ones(4, 4), "b": torch.zeros(4)}
    found = SpectralClipping(quantile=0.5).apply(
        {"w": base["w"] + change, "b": torch.ones(4)}, base=base, knowledge=NOTHING
    )
    assert torch.allclose(found["w"] - base["w"], torch.eye(4), atol=1e-6)
    assert found["b"].tolist() == [1.0] * 4
    same = SpectralClipping(quantile=1.0).apply({"w": change}, base={"w": torch.zeros(4, 4)}, knowledge=NOTHING)
    assert torch.allclose(same["w"], change, atol=1e-6)


def test_rounding_by_hand() -> None:
    """Two bits are three levels: -1, 0 and 1 times the largest of a row."""
    weights = {"w": torch.tensor([[4.0, -1.0, -3.0], [0.0, 0.0, 0.0]])}
    found = Rounding(bits=2).apply(weights, base=weights, knowledge=NOTHING)
    assert found["w"].tolist() == [[4.0, 0.0, -4.0], [0.0, 0.0, 0.0]]


@pytest.mark.parametrize(("bits", "error"), [(8, 0.01), (4, 0.15)])
def test_rounding_errs_as_little_as_its_bits_allow(bits: int, error: float) -> None:
    weights = {"w": torch.randn(64, 256)}
    found = Rounding(bits=bits).apply(weights, base=weights, knowledge=NOTHING)["w"]
    assert error / 3 < float((found - weights["w"]).norm() / weights["w"].norm()) < error


def test_a_mask_is_readable_and_made_up_for() -> None:
    assert read_mask({"w": torch.tensor([1.0, 5.0])}, {"w": torch.tensor([1.0, 2.0])})["w"].tolist() == [True, False]
    assert _run(MaskReadout(), [1.0, 3.0, 3.0, 4.0], [1.0, 2.0, 3.0, 2.0]) == [1.0, 4.0, 3.0, 6.0]
    assert _run(MaskReadout(), [1.0, 3.0], [1.0, 3.0]) == [1.0, 3.0], "an untrained tensor is no mask"
    assert _run(MaskReadout(), [1.5, 3.5], [1.0, 3.0]) == [1.5, 3.5]


@pytest.mark.parametrize(
    ("attack", "settings", "message"),
    [
        (Pruning, {"density": 0.0}, "density is 0.0"),
        (Pruning, {"density": 1.1}, "density is 1.1"),
        (SpectralClipping, {"quantile": -0.1}, "quantile is -0.1"),
        (Rounding, {"bits": 1}, "bits is 1"),
        (MaskReadout, {"least": 0.0}, "least is 0.0"),
    ],
)
def test_settings_outside_their_range_are_refused(attack: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(AttackError, match=message):
        attack(**settings)


def test_models_that_do_not_fit_are_refused() -> None:
    with pytest.raises(AttackError, match=r"'w' has shape \(2,\) in the release and \(1,\) in the base"):
        _run(Pruning(), [1.0, 2.0], [1.0])
    with pytest.raises(AttackError, match="'w' of the base holds NaN"):
        _run(Pruning(), [1.0], [float("nan")])
