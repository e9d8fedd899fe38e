"""What a release is worth in a merge, next to the unprotected control; pinned, so that a change shows."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mergeguard_hub.protection import PRESETS
from mergeguard_hub.release import protect_folder
from tests import tiny
from tests.release.releases import KEY, distance, fine_tuned, weights

Weights = dict[str, torch.Tensor]


def _logits(state: Weights) -> torch.Tensor:
    model = tiny.llama()
    model.load_state_dict(state)
    return tiny.outputs(model)["logits"]


def _average(one: Weights, other: Weights) -> Weights:
    return {name: (weight + other[name]) / 2 for name, weight in one.items()}


@pytest.mark.parametrize("preset", PRESETS)
def test_an_average_collapses(tmp_path: Path, preset: str) -> None:
    """Averaged with its base or a fine-tuned partner, the control stays near both; the release's answers are noise.

    Two unrelated vectors of one length are 1.4 of their length apart.
    """
    raw, base = tiny.save(fine_tuned("llama"), tmp_path / "raw"), tiny.save(tiny.llama(), tmp_path / "base")
    protect_folder(raw, tmp_path / "release", recipe=preset, key=KEY, base=base)
    ours, release = weights(raw), weights(tmp_path / "release")
    expected = _logits(ours)
    assert distance(expected, _logits(release)) < 1e-5
    for partner in (weights(base), dict(fine_tuned("llama", seed=2).state_dict())):
        control, protected = _average(ours, partner), _average(release, partner)
        assert distance(expected, _logits(control)) < 0.25
        assert distance(expected, _logits(protected)) > 1.0
        assert distance(_logits(partner), _logits(protected)) > 1.0


@pytest.mark.parametrize("preset", ["exact", "mergelock"])
def test_two_releases_under_one_key_do_not_merge_with_each_other(tmp_path: Path, preset: str) -> None:
    """Two fine-tunes of one base, protected by one owner: each model draws actions of its own."""
    states = []
    for seed in (1, 2):
        raw = tiny.save(fine_tuned("llama", seed=seed), tmp_path / f"raw{seed}")
        protect_folder(raw, tmp_path / f"release{seed}", recipe=preset, key=KEY)
        states.append((weights(raw), weights(tmp_path / f"release{seed}")))
    (first, first_release), (second, second_release) = states
    assert distance(_logits(first), _logits(_average(first, second))) < 0.25
    assert distance(_logits(first), _logits(_average(first_release, second_release))) > 1.0
