"""Distillation: the answers of a teacher come over, without a label and without a weight."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mergeguard_hub.attacks import distil, lessons
from mergeguard_hub.errors import AttackError


def logits(model: nn.Module, batch: Tensor) -> Tensor:
    found: Tensor = model(batch)
    return found


def test_a_student_learns_what_its_teacher_answers() -> None:
    teacher, student = nn.Linear(4, 3), nn.Linear(4, 3)
    before = [weight.clone() for weight in teacher.parameters()]
    inputs = torch.randn(4, 64, 4)

    def agreement(model: nn.Module) -> float:
        return float((model(inputs).argmax(-1) == teacher(inputs).argmax(-1)).double().mean())

    taught = lessons(teacher, inputs, logits=logits)
    curve = distil(student, taught, logits=logits, steps=300, lr=3e-2, measure=agreement, at=(0, 30))
    assert [point.steps for point in curve] == [0, 30, 300]
    assert [point.examples for point in curve] == [0, 256, 256]
    assert curve[0].score < 0.7
    assert curve[-1].score > 0.97
    assert all(torch.equal(one, other) for one, other in zip(before, teacher.parameters(), strict=True))


def test_its_temperature_is_checked() -> None:
    with pytest.raises(AttackError, match="temperature is 0, and must be above 0"):
        distil(nn.Linear(1, 1), [], logits=logits, temperature=0)
