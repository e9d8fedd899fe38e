"""A model that was hardened in training says so in its record and on its card; its badge does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mergeguard_hub.hub import enable
from mergeguard_hub.hub.refresh import refresh
from mergeguard_hub.protection.key import Key
from mergeguard_hub.training import Hardened, HardeningLoss, Trap2, random_direction
from tests import tiny
from tests.hub.schema import problems, record_schema

KEY = Key(bytes(range(32)))


def trained(objective: Any) -> Any:
    """Return a tiny model after two hardened batches."""
    model, base = tiny.llama(), tiny.llama()
    tokens = tiny.example_inputs(model)["input_ids"]
    with torch.no_grad():
        model.lm_head.weight.mul_(1.1)
    partners = [random_direction(model.state_dict(), base, rank=1, seed=0)] if isinstance(objective, Hardened) else []
    loss = HardeningLoss(model, base, objective, guessing=5.0, partners=partners)

    def closure() -> Tensor:
        found: Tensor = model(input_ids=tokens, labels=tokens).loss
        return found

    for _ in range(2):
        loss.backward(closure)
    return model


@pytest.mark.parametrize("objective", [Hardened(), Trap2()], ids=lambda objective: type(objective).__name__)
def test_record_and_card(objective: Any, tmp_path: Path) -> None:
    """The record names the objective with its settings; the card claims no more than was done."""
    enable(trained(objective), key=KEY).save_pretrained(tmp_path / "release")
    record = json.loads((tmp_path / "release/mergeguard.json").read_text())
    note = record["training"][""]
    assert (note["objective"], note["batches"]) == (type(objective).__name__, 2)
    assert note["settings"]["strength"] == objective.strength
    assert problems(record, record_schema(), record_schema()) == []
    assert refresh(tmp_path / "release", "card") == "merge-protected: exact"
    card = (tmp_path / "release/README.md").read_text()
    assert "Before that it was trained, on 2 batches, to be good at its own weights and bad at those of merges" in card
    assert "strength sliders" in card
    assert "Trap² ([arXiv 2601.21898](https://arxiv.org/abs/2601.21898))" in card


def test_what_was_not_hardened_does_not_say_so(tmp_path: Path) -> None:
    """Nor does a model that was loaded from a hardened release and trained on without."""
    enable(trained(Trap2()), key=KEY).save_pretrained(tmp_path / "release")
    loaded = type(tiny.llama()).from_pretrained(tmp_path / "release")
    with torch.no_grad():
        loaded.lm_head.weight.mul_(1.1)
    enable(loaded, key=KEY).save_pretrained(tmp_path / "further")
    assert "training" not in json.loads((tmp_path / "further/mergeguard.json").read_text())
    assert refresh(tmp_path / "further", "badge") == "merge-protected: exact"
