"""A real Trainer, one step: it calls save_pretrained without arguments, and what it leaves is protected."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

from mergeguard_hub.hub import enable
from mergeguard_hub.protection.key import Key
from tests import tiny
from tests.hub import zoo
from tests.hub.pushing import leaked
from tests.hub_server import CLIENT_WARNS, LocalHub

pytestmark = CLIENT_WARNS
KEY = Key(bytes(range(32)))


def _trainer(model: Any, folder: Path) -> Trainer:
    tokens = tiny.example_inputs(model)["input_ids"]
    rows = [{"input_ids": row, "labels": row} for row in tokens]
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=1,
        save_steps=1,
        learning_rate=1e-3,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        dataloader_pin_memory=False,
        logging_strategy="no",
    )
    return Trainer(model=model, args=arguments, train_dataset=rows)


@pytest.mark.parametrize("kind", ["enabled", "class"])
def test_checkpoint_and_final_save_are_protected(kind: str, tmp_path: Path) -> None:
    """Also the checkpoint; the trained model in memory is the one that the optimizer knows."""
    model = enable(tiny.llama(), key=KEY) if kind == "enabled" else zoo.guarded_llama()
    trainer = _trainer(model.train(), tmp_path / "run")
    trainer.train()
    trained = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    snapshot = zoo.Snapshot(model, optimizer=trainer.optimizer.optimizer)
    trainer.save_model(str(tmp_path / "final"))
    assert snapshot.unchanged()
    for folder in (tmp_path / "run/checkpoint-1", tmp_path / "final"):
        saved = zoo.tensors(folder)
        assert (folder / "mergeguard.json").is_file()
        assert (folder / "training_args.bin").is_file()
        assert not torch.equal(
            saved["./model.layers.0.mlp.up_proj.weight"], trained["model.layers.0.mlp.up_proj.weight"]
        )
        loaded = AutoModelForCausalLM.from_pretrained(folder).eval()
        expected = tiny.outputs(model.eval())["logits"]
        assert (tiny.outputs(loaded)["logits"] - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_a_checkpoint_that_stays_raw_is_protected_where_it_is_pushed(hub: LocalHub, tmp_path: Path) -> None:
    """Saved without a push, and into the place where `MergeGuardCallback` says that checkpoints are, it is raw."""
    model, target = enable(tiny.llama(), key=KEY), tmp_path / "run/checkpoint-1"
    model.mergeguard_settings = replace(model.mergeguard_settings, checkpoints=tmp_path / "run")
    model.save_pretrained(target)
    assert not (target / "mergeguard.json").exists()
    model.save_pretrained(target, push_to_hub=True, repo_id="me/model")
    assert (target / "mergeguard.json").is_file()
    assert leaked(hub, tiny.llama()) == []
    model.save_pretrained(target, protection="exact")
    assert (target / "mergeguard.json").is_file()
    model.save_pretrained(tmp_path / "run")
    assert (tmp_path / "run/mergeguard.json").is_file()


def test_saving_again_into_the_same_folder(tmp_path: Path) -> None:
    """The Trainer's own files there are no obstacle."""
    trainer = _trainer(enable(tiny.llama(), key=KEY), tmp_path / "run")
    trainer.save_model(str(tmp_path / "final"))
    first = json.loads((tmp_path / "final/mergeguard.json").read_text())
    trainer.save_model(str(tmp_path / "final"))
    assert json.loads((tmp_path / "final/mergeguard.json").read_text()) == first
    assert (tmp_path / "final/training_args.bin").is_file()
