"""The gate keeps what holds best among what is still good alone."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from mergeguard_hub.errors import TrainingError
from mergeguard_hub.training import Gate


def model_at(value: float) -> nn.Linear:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, value)
    return model


def test_it_keeps_the_lowest_transfer_within_the_tolerance() -> None:
    """The loss alone is the weight: 2 at first, so that 2.25 is the limit."""
    model = model_at(2.0)
    gate = Gate(model, lambda: model.weight.item(), tolerance=0.125)
    assert gate.restore() is False
    for weight, transfer in ((2.5, 0.0), (2.1, 0.6), (2.2, 0.5), (1.0, 0.7), (2.3, 0.1)):
        nn.init.constant_(model.weight, weight)
        assert gate.look(transfer=transfer) == pytest.approx(weight)
    assert gate.restore() is True
    assert model.weight.item() == pytest.approx(2.2)
    assert (gate.reference, gate.transfer) == (2.0, 0.5)


def test_weights_of_unknown_transfer_are_not_kept() -> None:
    model = model_at(2.0)
    gate = Gate(model, lambda: 1.0)
    gate.look(transfer=math.nan)
    assert gate.restore() is False
    gate.look(transfer=0.5)
    nn.init.constant_(model.weight, 9.0)
    gate.look(transfer=math.nan)
    assert gate.restore() is True
    assert (model.weight.item(), gate.transfer) == (2.0, 0.5)


def test_running_statistics_are_kept_with_the_weights() -> None:
    model = nn.BatchNorm1d(1)
    gate = Gate(model, lambda: 1.0)
    for value, transfer in ((2.0, 0.5), (9.0, 0.6)):
        nn.init.constant_(model.running_mean, value)
        gate.look(transfer=transfer)
    assert gate.restore() is True
    assert model.running_mean.item() == 2.0


@pytest.mark.parametrize(("start", "tolerance", "frozen"), [(0.0, 0.1, False), (1.0, -0.1, False), (1.0, 0.1, True)])
def test_what_cannot_be_a_gate_is_refused(start: float, tolerance: float, frozen: bool) -> None:
    model = model_at(start).requires_grad_(not frozen)
    with pytest.raises(TrainingError, match="give a loss that is positive and finite"):
        Gate(model, lambda: float(torch.sum(model.weight.detach())), tolerance=tolerance)
