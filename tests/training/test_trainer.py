"""A real Trainer: accumulated batches, precision, resuming, logs, raw checkpoints, unsafe strategies, examples."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import Trainer, TrainerCallback, TrainingArguments

from mergeguard_hub.checkpoint import Checkpoint
from mergeguard_hub.errors import DivergedError, HookError, MergeGuardError, TrainingError
from mergeguard_hub.hub import disable, enable
from mergeguard_hub.protection.key import Key
from mergeguard_hub.release import unlock_folder
from mergeguard_hub.training import (
    DensityPenalty,
    HardeningLoss,
    LastGood,
    MergeGuardCallback,
    MergeGuardTrainerMixin,
    ProtectedTrainer,
    Trap2,
    class_guessing,
)
from tests import tiny
from tests.training import pairs

KEY = Key(bytes(range(32)))
ROWS = 16


def rows(model: Any) -> list[dict[str, Tensor]]:
    batch = pairs.batches(model, 1, ROWS)[0]
    return [{name: tensor[i] for name, tensor in batch.items()} for i in range(ROWS)]


def trainer(
    model: Any, folder: Path, *, callbacks: Any = (), kind: type[Any] = ProtectedTrainer, **settings: Any
) -> Any:
    own = {name: settings.pop(name) for name in ("hardening", "density") if name in settings}
    arguments = {
        "max_steps": 4,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-3,
        "max_grad_norm": 0.0,
        "save_steps": 2,
        "logging_steps": 2,
        "report_to": [],
        "use_cpu": True,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        "remove_unused_columns": False,
        **settings,
    }
    return kind(
        model=model,
        args=TrainingArguments(output_dir=str(folder), **arguments),
        train_dataset=rows(model),
        callbacks=list(callbacks),
        **own,
    )


def hardened(base: Any, **settings: Any) -> Any:
    chosen = {"objective": Trap2(strength=0.5, weighting="one"), "guessing": class_guessing(3), **settings}
    return partial(HardeningLoss, base=base, **chosen)


def test_the_trainer_trains_as_a_plain_loop_does(tmp_path: Path) -> None:
    model, base = pairs.pair("vit")
    plain, _ = pairs.pair("vit")
    penalty = DensityPenalty(alpha=0.01)
    run = trainer(model, tmp_path, hardening=hardened(base), density=penalty, optim="sgd", lr_scheduler_type="constant")
    batches = [{name: t.clone() for name, t in batch.items()} for batch in run.get_train_dataloader()]
    run.train()
    torch.manual_seed(run.args.seed)
    loss = hardened(base)(plain)
    optimizer = torch.optim.SGD(plain.parameters(), lr=1e-3)
    order = list(trainer(plain, tmp_path / "other").get_train_dataloader())
    for batch in order:
        optimizer.zero_grad()
        loss.backward(lambda batch=batch: plain(**batch).loss)  # type: ignore[misc]
        penalty.add_gradients(plain)
        optimizer.step()
    assert len(batches) == len(order) == 4
    for name, tensor in pairs.weights(plain).items():
        torch.testing.assert_close(model.get_parameter(name).detach(), tensor, rtol=1e-4, atol=1e-5)
    last = [entry for entry in run.state.log_history if "off_nominal_loss" in entry][-1]
    assert {"loss", "nominal_loss", "worst_loss", "transfer"} <= last.keys()
    assert {name: last[name] for name in loss.metrics()} == pytest.approx(loss.metrics(), rel=1e-4)


def test_a_trainer_with_a_loss_of_its_own(tmp_path: Path) -> None:
    """As TRL's: the mixin goes before any Trainer, and both passes go through its loss."""
    model, base = pairs.pair("vit")
    seen: list[int] = []

    class Doubling(Trainer):
        def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            seen.append(len(inputs["labels"]))
            return 2 * super().compute_loss(model, inputs, *args, **kwargs)

    class Mine(MergeGuardTrainerMixin, Doubling):
        pass

    plain, _ = pairs.pair("vit")
    settings = {"kind": Mine, "optim": "sgd", "lr_scheduler_type": "constant", "max_steps": 1}
    trainer(model, tmp_path, hardening=hardened(base), **settings).train()
    assert seen == [4, 4]
    torch.manual_seed(42)
    batch = next(iter(trainer(plain, tmp_path / "other").get_train_dataloader()))
    hardened(base)(plain).backward(lambda: 2 * plain(**batch).loss)
    torch.optim.SGD(plain.parameters(), lr=1e-3).step()
    for name, tensor in pairs.weights(plain).items():
        torch.testing.assert_close(model.get_parameter(name).detach(), tensor, rtol=1e-4, atol=1e-5)


def test_accumulation_is_a_plain_loop_with_shares(tmp_path: Path) -> None:
    model, base = pairs.pair("vit")
    plain, _ = pairs.pair("vit")
    settings = {"gradient_accumulation_steps": 2, "optim": "sgd", "lr_scheduler_type": "constant", "max_steps": 2}
    trainer(model, tmp_path, hardening=hardened(base), density=DensityPenalty(), **settings).train()
    loss, optimizer = hardened(base)(plain), torch.optim.SGD(plain.parameters(), lr=1e-3)
    torch.manual_seed(42)
    order = list(trainer(plain, tmp_path / "other").get_train_dataloader())
    for both in (order[:2], order[2:]):
        optimizer.zero_grad()
        for batch in both:
            loss.backward(lambda batch=batch: plain(**batch).loss, share=0.5)  # type: ignore[misc]
        DensityPenalty().add_gradients(plain)
        optimizer.step()
    for name, tensor in pairs.weights(plain).items():
        torch.testing.assert_close(model.get_parameter(name).detach(), tensor, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("own_loss", [False, True])
def test_a_part_of_a_batch_without_labels(own_loss: bool, tmp_path: Path) -> None:
    """It adds nothing; the losses of the others are means over their own tokens, whoever computes them."""
    model, base = pairs.pair("llama")
    plain, _ = pairs.pair("llama")
    settings = {"gradient_accumulation_steps": 2, "max_steps": 1, "optim": "sgd", "lr_scheduler_type": "constant"}
    run = trainer(model, tmp_path, hardening=hardened(base, guessing=1e3), **settings)
    order = list(run.get_train_dataloader())[:2]
    order[0]["labels"] = torch.full_like(order[0]["labels"], -100)
    order[1]["labels"] = order[1]["labels"].clone()
    order[1]["labels"][:3] = -100
    run.get_train_dataloader = lambda: order
    run.compute_loss_func = summed if own_loss else None
    run.train()
    assert run.hardening is not None
    torch.manual_seed(42)
    loss = hardened(base, guessing=1e3)(plain)
    nominal = plain(**order[1]).loss
    nominal.backward()
    loss.check(nominal)
    loss.off_nominal(lambda: plain(**order[1]).loss, nominal=nominal, share=0.5)
    torch.optim.SGD(plain.parameters(), lr=1e-3).step()
    assert run.hardening.state_dict()["drawn"] == 1
    assert run.hardening.metrics() == pytest.approx(loss.metrics(), rel=1e-5)
    for name, tensor in pairs.weights(plain).items():
        torch.testing.assert_close(model.get_parameter(name).detach(), tensor, rtol=1e-4, atol=1e-6)


def test_a_whole_batch_without_labels_ends_the_training_with_good_weights(tmp_path: Path) -> None:
    model, base = pairs.pair("llama")
    before = pairs.weights(model)
    run = trainer(model, tmp_path, hardening=hardened(base, guessing=1e3), max_steps=1)
    order = [{**batch, "labels": torch.full_like(batch["labels"], -100)} for batch in run.get_train_dataloader()]
    run.get_train_dataloader = lambda: order
    with pytest.raises(DivergedError, match="the loss of the model alone is nan"):
        run.train()
    assert pairs.same(before, pairs.weights(model))


def summed(outputs: Any, labels: Tensor, num_items_in_batch: Tensor) -> Tensor:
    logits = outputs.logits[:, :-1].flatten(0, 1)
    return torch.nn.functional.cross_entropy(logits, labels[:, 1:].flatten(), reduction="sum") / num_items_in_batch


@pytest.mark.parametrize("wrong", ["frozen", "base"])
def test_what_cannot_be_hardened_is_refused_before_the_first_pass(wrong: str, tmp_path: Path) -> None:
    model, base = pairs.pair("llama")
    if wrong == "frozen":
        model.requires_grad_(False)
    else:
        base = tiny.llama(intermediate_size=24)
    passes: list[Any] = []
    model.register_forward_hook(lambda *_: passes.append(1))
    with pytest.raises(MergeGuardError):
        trainer(model, tmp_path, hardening=hardened(base, guessing=4.1)).train()
    assert passes == []


def test_a_second_training_hardens_the_new_model(tmp_path: Path) -> None:
    """As in a hyperparameter search."""
    base = tiny.llama()
    run = trainer(pairs.pair("llama")[0], tmp_path, hardening=hardened(base, guessing=4.1), save_strategy="no")
    run.train()
    first = run.hardening
    run.model_init = lambda: pairs.pair("llama")[0]
    run.train()
    assert run.hardening is not first
    assert run.hardening._trained.model is run.model
    assert run.hardening.state_dict() == first.state_dict()


@pytest.mark.parametrize("restore", [False, True])
def test_a_used_trainer_resumes_with_the_draws_of_the_checkpoint(restore: bool, tmp_path: Path) -> None:
    model, base = pairs.pair("llama")
    settings = {"density": DensityPenalty(), "restore_callback_states_from_checkpoint": restore}
    run = trainer(model, tmp_path, hardening=hardened(base, guessing=4.1), **settings)
    run.train()
    once = run.hardening.state_dict()
    run.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert run.hardening.state_dict()["drawn"] == once["drawn"] == 4
    assert run.hardening.metrics().keys() == {"nominal_loss", "off_nominal_loss", "worst_loss", "transfer"}
    saved = json.loads((tmp_path / "checkpoint-4/trainer_state.json").read_text())
    assert saved["stateful_callbacks"]["ProtectionState"]["attributes"]["drawn"] == 4


def test_metrics_of_a_trainer_like_trls_are_those_of_the_model_alone(tmp_path: Path) -> None:
    model, base = pairs.pair("llama")

    class Noting(Trainer):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._metrics: dict[str, dict[str, list[float]]] = {"train": {"loss": []}}
            self._total_train_tokens = 0

        def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            loss = super().compute_loss(model, inputs, *args, **kwargs)
            self._metrics["train"]["loss"].append(float(loss.detach()))
            self._total_train_tokens += inputs["labels"].numel()
            return loss

    class Mine(MergeGuardTrainerMixin, Noting):
        pass

    run = trainer(model, tmp_path, kind=Mine, hardening=hardened(base, guessing=1e3), learning_rate=0.0)
    run.train()
    tokens = sum(batch["labels"].numel() for batch in run.get_train_dataloader())
    assert run._total_train_tokens == tokens
    nominal = [float(model(**batch).loss.detach()) for batch in run.get_train_dataloader()]
    assert sorted(run._metrics["train"]["loss"]) == pytest.approx(sorted(nominal), rel=1e-3)


@pytest.mark.parametrize("what", ["hardening", "density"])
def test_deepspeed_is_refused(what: str, tmp_path: Path) -> None:
    class UnderDeepSpeed(Trainer):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.is_deepspeed_enabled = True

    class Mine(MergeGuardTrainerMixin, UnderDeepSpeed):
        pass

    model, base = pairs.pair("llama")
    made = {"hardening": hardened(base), "density": DensityPenalty()}[what]
    with pytest.raises(TrainingError, match="under DeepSpeed"):
        trainer(model, tmp_path, kind=Mine, **{what: made})


def test_a_resumed_training_ends_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    """Of a Llama: the Trainer itself cannot resume models whose tensors have other names on disk, such as a ViT."""
    base = tiny.llama()
    make = partial(hardened, base, guessing=4.1)
    whole, again = (enable(pairs.pair("llama")[0], key=KEY) for _ in range(2))
    first = trainer(whole, tmp_path, hardening=make(), callbacks=[MergeGuardCallback()])
    first.train()
    resumed = trainer(again, tmp_path, hardening=make(), callbacks=[MergeGuardCallback()])
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert first.hardening is not None
    assert resumed.hardening is not None
    assert resumed.hardening.state_dict() == first.hardening.state_dict()
    assert resumed.hardening.state_dict()["drawn"] == 4
    for name, tensor in pairs.weights(whole).items():
        torch.testing.assert_close(again.get_parameter(name).detach(), tensor)


def test_raw_checkpoints_and_a_protected_end(tmp_path: Path) -> None:
    model = enable(pairs.pair("vit")[0], key=KEY)
    run = trainer(model, tmp_path / "run", callbacks=[MergeGuardCallback()])
    run.train()
    run.save_model(str(tmp_path / "final"))
    assert not (tmp_path / "run/checkpoint-4/mergeguard.json").exists()
    assert (tmp_path / "final/mergeguard.json").is_file()
    plain = tiny.save(disable(model), tmp_path / "plain")
    raw, expected = Checkpoint.open(tmp_path / "run/checkpoint-4", exclude=("*.pt", "*.pth")), Checkpoint.open(plain)
    assert all(torch.equal(raw.tensor(name), expected.tensor(name)) for name in expected.entries)


@pytest.mark.parametrize("strategy", ["every_save", "checkpoint", "all_checkpoints"])
def test_strategies_that_would_publish_raw_checkpoints_are_refused_at_once(strategy: str) -> None:
    arguments = TrainingArguments(output_dir="unused", push_to_hub=True, hub_strategy=strategy, use_cpu=True)
    with pytest.raises(HookError, match=f"hub_strategy is '{strategy}', which uploads checkpoints"):
        MergeGuardCallback().on_init_end(arguments, None, None)
    safe = TrainingArguments(output_dir="unused", push_to_hub=True, hub_strategy="end", use_cpu=True)
    assert MergeGuardCallback().on_init_end(safe, None, None) is None


def test_a_model_that_nothing_protects_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HookError, match="is not enabled, so its final save would be raw"):
        trainer(pairs.pair("vit")[0], tmp_path, callbacks=[MergeGuardCallback()]).train()


@pytest.mark.parametrize("place", [0, -1])
def test_only_checkpoints_are_raw_whoever_asks_for_them(place: int, tmp_path: Path) -> None:
    """Saves of a callback's own are protected at any time, also where the Trainer is about to write a checkpoint."""
    base = pairs.pair("llama")[1]
    model = enable(pairs.pair("llama")[0], key=KEY)

    class Saving(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            control.should_save |= state.global_step == 3

        def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            kwargs["model"].save_pretrained(tmp_path / f"log-{state.global_step}")

        def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            kwargs["model"].save_pretrained(tmp_path / f"checkpoint-{state.global_step}")

    callbacks: list[TrainerCallback] = [Saving()]
    callbacks.insert(place, MergeGuardCallback())
    (tmp_path / "run/checkpoint-2").mkdir(parents=True)
    (tmp_path / "run/checkpoint-2/mergeguard.json").write_text("{}")  # of an earlier run
    settings = {"eval_strategy": "steps", "eval_steps": 2, "logging_steps": 1}
    kind = partial(ProtectedTrainer, eval_dataset=rows(model))
    run = trainer(model, tmp_path / "run", kind=kind, callbacks=callbacks, **settings)
    run.train()
    protected = {path.parent.name for path in tmp_path.glob("*/mergeguard.json")}
    assert protected == {"log-1", "log-2", "log-3", "log-4", "checkpoint-2", "checkpoint-4"}
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"checkpoint-2", "checkpoint-3", "checkpoint-4"}
    assert not list((tmp_path / "run").glob("*/mergeguard.json"))
    run.save_model(str(tmp_path / "run/checkpoint-5"))
    assert (tmp_path / "run/checkpoint-5/mergeguard.json").is_file()
    resumed = enable(pairs.pair("llama")[0], key=KEY)
    again = trainer(resumed, tmp_path / "run", hardening=hardened(base, guessing=4.1), callbacks=[MergeGuardCallback()])
    again.train(resume_from_checkpoint=str(tmp_path / "run/checkpoint-3"))
    assert again.state.global_step == 4


def test_protected_checkpoints_are_not_trained_on(tmp_path: Path) -> None:
    model = enable(pairs.pair("llama")[0], key=KEY)
    trainer(model, tmp_path).train()
    with pytest.raises(TrainingError, match=r"checkpoint-2 holds protected weights.* use MergeGuardCallback, .*unlock"):
        trainer(model, tmp_path).train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    best = {"eval_strategy": "steps", "eval_steps": 2, "load_best_model_at_end": True}
    kind = partial(ProtectedTrainer, eval_dataset=rows(model))
    run = trainer(model, tmp_path, kind=kind, **best)
    with pytest.raises(TrainingError, match="load_best_model_at_end would load a protected checkpoint"):
        run.train()
    assert run.state.global_step == 0
    run.state.best_model_checkpoint = str(tmp_path / "checkpoint-4")
    before = pairs.weights(model)
    with pytest.raises(TrainingError, match="checkpoint-4 holds protected weights"):
        run._load_best_model()
    assert pairs.same(before, pairs.weights(model))


def test_the_best_checkpoint_is_raw_and_its_release_unlocks(tmp_path: Path) -> None:
    model = enable(pairs.pair("llama")[0], key=KEY)
    best = {"save_strategy": "best", "eval_strategy": "steps", "metric_for_best_model": "loss", "eval_steps": 2}
    kind = partial(ProtectedTrainer, eval_dataset=rows(model))
    run = trainer(
        model, tmp_path / "run", kind=kind, callbacks=[MergeGuardCallback()], load_best_model_at_end=True, **best
    )
    run.train()
    assert not list((tmp_path / "run").glob("*/mergeguard.json"))
    run.save_model(str(tmp_path / "release"))
    unlock_folder(tmp_path / "release", tmp_path / "raw", key=KEY)
    raw = Checkpoint.open(tmp_path / "raw")
    for name, tensor in pairs.weights(model).items():
        torch.testing.assert_close(raw.tensor(name), tensor)


@pytest.mark.filterwarnings("ignore:`(is_)?gradient_checkpointing:FutureWarning")  # the name in all of transformers 5
def test_mixed_precision_checkpointing_and_a_decoupled_penalty(tmp_path: Path) -> None:
    model, base = pairs.pair("llama")
    before = pairs.weights(model)
    penalty = DensityPenalty(alpha=0.1, decoupled=True)
    settings = {"bf16": True, "gradient_checkpointing": True}
    run = trainer(model, tmp_path, hardening=hardened(base, guessing=4.1), density=penalty, **settings)
    run.train()
    assert model.is_gradient_checkpointing
    assert run.hardening is not None
    assert run.hardening.metrics()["nominal_loss"] < 10
    assert not pairs.same(before, pairs.weights(model))
    assert json.loads((tmp_path / "checkpoint-4/trainer_state.json").read_text())["stateful_callbacks"]


def test_an_infinite_loss_ends_the_training_and_leaves_good_weights(tmp_path: Path) -> None:
    model, base = pairs.pair("vit")
    settings = {"optim": "sgd", "learning_rate": 1e30, "lr_scheduler_type": "constant"}
    with pytest.raises(DivergedError, match="the learning rate is too high"):
        trainer(model, tmp_path, hardening=hardened(base), **settings).train()
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())


def test_the_example_runs_in_miniature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from examples import train_vit

    monkeypatch.setattr(train_vit, "SURROGATES", ("scenes",))
    steps = ["--steps", "2", "--pictures", "16", "--batch-size", "8"]
    scores = train_vit.main(["--out", str(tmp_path), *steps])
    assert (tmp_path / "release/mergeguard.json").is_file()
    assert not (tmp_path / "run/checkpoint-2/mergeguard.json").exists()
    assert scores["alone"] > 0.6
    assert scores["merged, not protected"] > scores["base"] > 0.5


def test_an_alpha_that_drives_the_loss_to_infinity_is_named(tmp_path: Path) -> None:
    model, _ = pairs.pair("vit")
    penalty = DensityPenalty(alpha=1e30)
    settings = {"optim": "sgd", "learning_rate": 1.0, "lr_scheduler_type": "constant"}
    before = pairs.weights(model)
    with pytest.raises(DivergedError, match=r"the last with a finite loss\. .* or alpha 1e\+30 is too large"):
        trainer(model, tmp_path, density=penalty, **settings).train()
    assert pairs.same(before, pairs.weights(model))


def test_last_good_without_a_finite_loss() -> None:
    model = torch.nn.Linear(1, 1)
    with pytest.raises(DivergedError, match="the loss is nan. Either"):
        LastGood(model, cause="alpha 1").check(torch.tensor(float("nan")))
    model.requires_grad_(False)
    assert LastGood(model, cause="alpha 1").check(torch.tensor(1.0)) is None
