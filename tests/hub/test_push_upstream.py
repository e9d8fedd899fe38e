"""Pushes that transformers makes itself: pipelines, and a Trainer with its checkpoints."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import HfApi
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    ImageClassificationPipeline,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    ViTImageProcessor,
)

from mergeguard_hub.errors import HookError
from mergeguard_hub.hub import disable, enable
from mergeguard_hub.protection.key import Key
from tests import tiny
from tests.hub import zoo
from tests.hub.pushing import leaked, push_raw, same_answers, titles, weight_files
from tests.hub_server import CLIENT_WARNS, LocalHub

pytestmark = [*CLIENT_WARNS, pytest.mark.filterwarnings("ignore:Cannot enable progress bars:UserWarning")]
KEY = Key(bytes(range(32)))


def test_a_transformers_pipeline(hub: LocalHub, tmp_path: Path, key_folder: Path) -> None:
    """One commit with what belongs to the model; old weights go; the key is named after the repository."""
    (tmp_path / "old").mkdir()
    (tmp_path / "old/pytorch_model.bin").write_bytes(b"\0old")
    push_raw("me/model", tmp_path / "old")
    pipe = ImageClassificationPipeline(model=enable(tiny.vit()), image_processor=ViTImageProcessor(size=(8, 8)))
    pipe.push_to_hub("me/model")
    files = hub.files("me/model")
    assert {"model.safetensors", "mergeguard.json", "preprocessor_config.json"} <= files.keys()
    assert "pytorch_model.bin" not in files
    assert len(titles(hub)) == 3
    assert leaked(hub, tiny.vit()) == []
    assert same_answers(tiny.vit(), AutoModelForImageClassification.from_pretrained("me/model").eval())
    assert [path.name for path in key_folder.iterdir()] == ["model.mgkey"]
    pipe.push_to_hub("me/model")
    assert len(titles(hub)) == 3


def test_an_unprotected_pipeline_goes_the_old_way(hub: LocalHub) -> None:
    """Nothing of it changes."""
    pipe = ImageClassificationPipeline(model=tiny.vit(), image_processor=ViTImageProcessor(size=(8, 8)))
    pipe.push_to_hub("me/model")
    assert "mergeguard.json" not in hub.files("me/model")
    assert leaked(hub, tiny.vit(), moved_only=False) != []


def test_a_pipeline_of_which_one_part_is_protected(hub: LocalHub, tmp_path: Path) -> None:
    """Refused: the library's push deletes nothing. Without protection it goes the old way."""
    pipe = zoo.pipeline(tmp_path)
    enable(pipe.unet, key=KEY)
    with pytest.raises(
        HookError, match=r"Only the component 'unet' of this StableDiffusionPipeline .* Call enable\(\)"
    ):
        pipe.push_to_hub("me/model")
    assert hub.files("me/model").keys() == {".gitattributes"}
    disable(pipe.unet)
    pipe.push_to_hub("me/model")
    assert "unet/config.json" in hub.files("me/model")


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft asks the old name
def test_the_adapter_of_a_protected_model(hub: LocalHub, tmp_path: Path) -> None:
    """It would go up raw: refused, with the ways that there are; merged into the base it is pushed."""
    from peft import LoraConfig, get_peft_model

    adapted = get_peft_model(enable(tiny.llama(), key=KEY), LoraConfig(r=2, target_modules=["q_proj"]))
    with pytest.raises(HookError, match=r"its adapter would go up as it is.*merge_and_unload\(\)"):
        adapted.push_to_hub("me/model")
    assert not any(b"lora" in exchange.body for exchange in hub.log)
    merged = adapted.merge_and_unload()
    merged.push_to_hub("me/model")
    assert same_answers(merged.eval(), AutoModelForCausalLM.from_pretrained("me/model").eval())
    assert leaked(hub, merged) == []
    plain = get_peft_model(tiny.llama(), LoraConfig(r=2, target_modules=["q_proj"]))
    plain.push_to_hub("me/adapter")
    assert "adapter_model.safetensors" in hub.files("me/adapter")


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft asks the old name
@pytest.mark.parametrize("strategy", ["every_save", "end", "checkpoint", "all_checkpoints"])
def test_a_trainer_of_the_adapter_of_a_protected_model(hub: LocalHub, strategy: str, tmp_path: Path) -> None:
    """Refused, and nothing of it is sent; with the base's protection off it goes the old way."""
    from peft import LoraConfig, get_peft_model

    base = enable(tiny.llama(), key=KEY)
    adapted = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj"]))
    trainer = _trainer(adapted, tmp_path / "run", hub_strategy=strategy)
    with pytest.raises(HookError, match=r"its adapter would go up as it is.*merge_and_unload\(\)"):
        (trainer.push_to_hub if strategy == "end" else trainer.train)()
    assert hub.files("me/model").keys() == {".gitattributes"}
    assert not any(b"lora" in exchange.body for exchange in hub.log)
    if strategy == "end":
        disable(base)
        trainer.push_to_hub()
        assert "adapter_model.safetensors" in hub.files("me/model")


def test_a_folder_that_is_saved_plainly_again_goes_the_old_way(hub: LocalHub, tmp_path: Path) -> None:
    """Who asks for protection=False gets it, in the same folder too."""
    model = enable(tiny.llama(), key=KEY)
    trainer = _trainer(model, tmp_path / "run", hub_strategy="end")
    trainer.push_to_hub()
    enable(model, protection=False)
    trainer.push_to_hub()
    assert not same_bytes(hub)
    assert "training_args.bin" in hub.files("me/model")


def same_bytes(hub: LocalHub) -> bool:
    """Whether the last two commits hold the same weights."""
    last, before = hub.repositories["me/model"].history("main")[:2]
    return last.files["model.safetensors"].sha256 == before.files["model.safetensors"].sha256


class Snapshots(TrainerCallback):
    """Keeps the raw model as it is after every step, which is what a checkpoint would give away."""

    def __init__(self) -> None:
        self.models: list[Any] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Keep a copy."""
        self.models.append(copy.deepcopy(kwargs["model"]))


def _trainer(model: Any, folder: Path, **options: Any) -> Trainer:
    tokens = tiny.example_inputs(model)["input_ids"]
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=2,
        save_steps=1,
        learning_rate=1e-3,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        dataloader_pin_memory=False,
        logging_strategy="no",
        push_to_hub=True,
        hub_model_id="me/model",
        hub_always_push=True,
        **options,
    )
    return Trainer(model=model, args=arguments, train_dataset=[{"input_ids": row, "labels": row} for row in tokens])


@pytest.mark.parametrize("strategy", ["every_save", "end", "checkpoint", "all_checkpoints"])
def test_a_trainer(hub: LocalHub, strategy: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Every commit holds a whole release; optimizer state, arguments with the token, and checkpoints stay here."""
    model = enable(tiny.llama(), key=KEY)
    trainer = _trainer(model.train(), tmp_path / "run", hub_strategy=strategy)
    steps = Snapshots()
    trainer.add_callback(steps)
    trainer.train()
    trainer.push_to_hub()
    trainer._finish_current_push()
    history = hub.repositories["me/model"].history("main")
    assert len(history) >= (2 if strategy == "end" else 3)
    for commit in history[:-1]:
        record = json.loads(commit.files["mergeguard.json"].data)
        assert record["files"] == {"model.safetensors": commit.files["model.safetensors"].sha256}
        assert {name for name in commit.files if name.endswith((".pt", ".pth", ".bin"))} == set()
        assert not any("checkpoint" in name for name in commit.files)
    assert weight_files(hub) == {"model.safetensors"}
    assert [leaked(hub, seen) for seen in steps.models] == [[], []]
    assert same_answers(model.eval(), AutoModelForCausalLM.from_pretrained("me/model").eval())
    card = hub.files("me/model")["README.md"].decode()
    assert "## Training procedure" in card  # the Trainer's own
    assert card.count("## Merge protection") == 1
    assert ("was not uploaded: a checkpoint for resuming" in caplog.text) is ("checkpoint" in strategy)


@pytest.mark.parametrize("background", [False, True])
def test_a_trainer_that_calls_the_clients_function(
    hub: LocalHub, background: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it was in other versions of transformers."""
    module = SimpleNamespace(upload_folder=huggingface_hub.upload_folder)
    monkeypatch.setitem(sys.modules, "transformers.trainer", module)  # type: ignore[arg-type]
    enable(tiny.llama(), key=KEY).save_pretrained(tmp_path / "run")
    (tmp_path / "run/optimizer.pt").write_bytes(b"\0moments")
    HfApi().create_repo("me/model")
    done = module.upload_folder(repo_id="me/model", folder_path=str(tmp_path / "run"), run_as_future=background)
    assert (done.result() if background else done).oid == hub.repositories["me/model"].resolve("main").oid
    assert {"mergeguard.json", "model.safetensors"} <= hub.files("me/model").keys()
    assert b"moments" not in hub.bodies()


def test_an_unprotected_trainer_goes_the_old_way(hub: LocalHub, tmp_path: Path) -> None:
    """Another model of the same process."""
    enable(tiny.llama(), key=KEY).save_pretrained(tmp_path / "other")
    model = tiny.llama()
    _trainer(model, tmp_path / "run", hub_strategy="end").push_to_hub()
    assert {"model.safetensors", "training_args.bin"} <= hub.files("me/model").keys()
    assert "mergeguard.json" not in hub.files("me/model")
