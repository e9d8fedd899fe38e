"""Attacks on the merge itself: coefficients by hand, searches against the answer that was put in."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mergeguard_hub.attacks import LayerSearch, MergeAttack, PlaneSearch, Rebasing, Unmask, Workshop
from mergeguard_hub.attacks.coefficients import layer_of
from mergeguard_hub.errors import AttackError

Tensors = dict[str, Tensor]
BASE: Tensors = {"h.0.w": torch.tensor([1.0, 1.0]), "h.1.w": torch.tensor([2.0]), "n": torch.tensor([7])}
OURS: Tensors = {"h.0.w": torch.tensor([3.0, 1.0]), "h.1.w": torch.tensor([6.0]), "n": torch.tensor([7])}
THEIRS: Tensors = {"h.0.w": torch.tensor([1.0, 5.0]), "h.1.w": torch.tensor([0.0]), "n": torch.tensor([7])}


def _workshop(**more: Any) -> Workshop:
    return Workshop(OURS, BASE, [THEIRS], **more)


def _found(attack: MergeAttack, workshop: Workshop | None = None) -> list[tuple[str, list[float]]]:
    return [
        (c.label, c.weights["h.0.w"].tolist() + c.weights["h.1.w"].tolist())
        for c in attack.candidates(workshop or _workshop())
    ]


def test_rebasing_by_hand() -> None:
    assert _found(Rebasing(fractions=(0.0, 0.5))) == [
        ("re-basing 0", [3.0, 1.0, 6.0]),
        ("re-basing 0.5", [3.0, 3.0, 5.0]),
    ]


def test_the_plane_by_hand() -> None:
    assert _found(PlaneSearch(ours=(0.0, 0.5), theirs=(0.0, 1.0))) == [
        ("plane 0, 0", [1.0, 1.0, 2.0]),
        ("plane 0, 1", [1.0, 5.0, 0.0]),
        ("plane 0.5, 0", [2.0, 1.0, 4.0]),
        ("plane 0.5, 1", [2.0, 5.0, 2.0]),
    ]


def test_integers_are_kept() -> None:
    for candidate in Rebasing().candidates(_workshop()):
        assert candidate.weights["n"].tolist() == [7]


def test_layer_search_finds_the_coefficients_that_were_put_in() -> None:
    wanted = torch.tensor([1.0 + 0.3 * 2, 1.0 + 1.0 * 4, 2.0 + 1.0 * 4 + 0.0 * -2])

    def score(weights: Any) -> float:
        return -float((torch.cat([weights["h.0.w"], weights["h.1.w"]]) - wanted).abs().sum())

    (candidate,) = LayerSearch().candidates(_workshop(score=score))
    assert {name: value for name, value in candidate.settings.items() if not name.startswith("rest")} == {
        "h.0 ours": 0.3,
        "h.0 theirs": 1.0,
        "h.1 ours": 1.0,
        "h.1 theirs": 0.0,
    }
    assert score(candidate.weights) == pytest.approx(0.0, abs=1e-6)


def test_layer_search_never_ends_below_its_start() -> None:
    scores: list[float] = []

    def score(weights: Any) -> float:
        scores.append(float(weights["h.0.w"][0]) - float(weights["h.1.w"][0]) ** 2)
        return scores[-1]

    *_, last = LayerSearch(rounds=2).candidates(_workshop(score=score))
    assert score(last.weights) == max(scores)


def test_layers_are_told_by_their_first_number() -> None:
    names = ["vit.encoder.layer.3.mlp.fc1.weight", "h.0.w", "0.weight", "lm_head.weight", "down_blocks.1.resnets.0.a"]
    assert [layer_of(name) for name in names] == ["vit.encoder.layer.3", "h.0", "0", "rest", "down_blocks.1"]


def test_unmask_by_hand() -> None:
    def merge(base: Any, models: Any) -> Tensors:
        assert len(models) == 2
        return {name: (models[0][name] + models[1][name]) // 2 for name in base}

    workshop = _workshop(merge=merge)
    # The merge is 2 3 | 3; a half of our task vector is 1 0 | 2, a half of our weights 1.5 0.5 | 3.
    assert _found(Unmask(scale=0.5), workshop) == [("unmask 0.5", [1.0, 3.0, 1.0])]
    assert _found(Unmask(mode="literal", scale=0.5), workshop) == [("unmask 0.5 literal", [0.5, 2.5, 0.0])]


def test_what_is_missing_is_named() -> None:
    with pytest.raises(AttackError, match="Layer search needs score, which was not given"):
        list(LayerSearch().candidates(_workshop()))
    with pytest.raises(AttackError, match="Unmask needs merge, which was not given"):
        list(Unmask().candidates(_workshop()))
    with pytest.raises(AttackError, match="Re-basing needs a partner"):
        list(Rebasing().candidates(Workshop(OURS, BASE, [])))
    with pytest.raises(AttackError, match="partner 1 of 1 has a tensor"):
        list(Rebasing().candidates(Workshop(OURS, BASE, [{**THEIRS, "extra": torch.zeros(1)}])))


@pytest.mark.parametrize(
    ("attack", "settings", "message"),
    [
        (Rebasing, {"fractions": ()}, "fractions is"),
        (PlaneSearch, {"ours": (float("nan"),)}, "ours is"),
        (LayerSearch, {"rounds": 0}, "rounds is 0"),
        (Unmask, {"mode": "both"}, "mode is 'both'"),
        (Unmask, {"scale": float("inf")}, "scale is inf"),
    ],
)
def test_settings_outside_their_range_are_refused(attack: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(AttackError, match=message):
        attack(**settings)
