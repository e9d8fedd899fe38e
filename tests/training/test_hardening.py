"""HardeningLoss: its gradients are the paper's, the weights come back bit for bit, and what breaks is explained."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from mergeguard_hub.errors import BaseModelError, DivergedError, TrainingError
from mergeguard_hub.training import (
    TRAP2_PRESETS,
    Cell,
    DensityPenalty,
    FolderTensors,
    Hardened,
    HardeningLoss,
    Relearning,
    TaskVector,
    Trap2,
    class_guessing,
    random_direction,
    unigram_entropy,
    zero_prediction,
)
from tests import tiny
from tests.reference import trap2
from tests.training import pairs
from tests.training.peak import peak_bytes

CLASSES = class_guessing(3)
pytestmark = pytest.mark.filterwarnings(
    "ignore:`(is_)?gradient_checkpointing:FutureWarning"
)  # peft's and ours, old names


@dataclass(frozen=True)
class Fixed:
    """An objective that always draws the same cell."""

    title: ClassVar[str] = "fixed"
    paper: ClassVar[str] = ""

    cell: Cell = field(default_factory=lambda: Cell(0.4))
    strength: float = 0.3
    w: float = 1.0

    def draw(self, generator: torch.Generator, *, partners: int, losses: Mapping[str, float], cap: float) -> Cell:
        return self.cell

    def region(self, cell: Cell) -> str:
        return "here"

    def emphasis(self, cell: Cell) -> float:
        return self.w


def gradients(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_same_gradients(model: torch.nn.Module, expected: Tensor, weights: Mapping[str, Tensor]) -> None:
    wanted = torch.autograd.grad(expected, list(weights.values()), allow_unused=True)
    found = dict(model.named_parameters())
    for name, gradient in zip(weights, wanted, strict=True):
        if gradient is not None:
            torch.testing.assert_close(found[name].grad, gradient, rtol=1e-4, atol=1e-6)


def leaves(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone().requires_grad_(p.requires_grad) for name, p in model.named_parameters()}


def loss_of(model: Any, batch: Any) -> Callable[[Mapping[str, Tensor]], Tensor]:
    return lambda weights: functional_call(model, dict(weights), (), batch).loss


@pytest.mark.parametrize("scale", [0.05, 0.4, 1.7])
@pytest.mark.parametrize("kind", ["vit", "llama", "gpt2"])
def test_full_fine_tuning_has_the_papers_gradients(kind: str, scale: float) -> None:
    model, base = pairs.pair(kind)
    batch, weights = pairs.batches(model)[0], leaves(model)
    objective = Fixed(Cell(scale), w=1 / scale)
    hardening = HardeningLoss(model, base, objective, guessing=1.0, cap_factor=math.inf)
    before = pairs.weights(model)
    losses = hardening.backward(lambda: model(**batch).loss)
    expected = trap2.full(
        loss_of(model, batch), weights, pairs.weights(base), scale=scale, strength=0.3, w=1 / scale, cap=math.inf
    )
    assert_same_gradients(model, expected, weights)
    assert losses.nominal - 0.3 / scale * losses.off_nominal == pytest.approx(float(expected.detach()), rel=1e-5)
    assert pairs.same(before, pairs.weights(model))


def adapted(model: Any, **settings: Any) -> Any:
    from peft import LoraConfig, get_peft_model

    chosen = {"r": 2, "lora_alpha": 4, "target_modules": ["q_proj", "v_proj"], "init_lora_weights": False, **settings}
    return get_peft_model(model, LoraConfig(**chosen)).eval()


@pytest.mark.parametrize("scale", [0.05, 1.7])
def test_adapters_have_the_papers_gradients(scale: float) -> None:
    model = adapted(tiny.llama())
    batch, weights = pairs.batches(tiny.llama())[0], leaves(model)
    hardening = HardeningLoss(model, None, Fixed(Cell(scale), w=0.5), guessing=1.0, cap_factor=math.inf)
    hardening.backward(lambda: model(**batch).loss)
    expected = trap2.lora(loss_of(model, batch), weights, scale=scale, strength=0.3, w=0.5)
    trained = {name: weight for name, weight in weights.items() if weight.requires_grad}
    assert_same_gradients(model, expected, trained)
    assert len(trained) == 8


def test_a_partner_moves_frozen_weights_too_and_all_come_back() -> None:
    model, base = pairs.pair("vit")
    model.classifier.requires_grad_(False)
    rho = TaskVector(pairs.moved(tiny.vit(), seed=99), base)
    batch, weights, before = pairs.batches(model)[0], leaves(model), pairs.weights(model)
    hardening = HardeningLoss(model, base, Fixed(Cell(0.7, 0.5, 0)), guessing=1.0, cap_factor=math.inf, partners=[rho])
    losses = hardening.backward(lambda: model(**batch).loss)
    loss = loss_of(model, batch)
    moved = dict(weights) | {
        name: base.get_parameter(name) + (weights[name] - base.get_parameter(name)) / 0.7
        for name in weights
        if not weights[name].requires_grad  # frozen weights keep scale 1
    }
    merged = trap2.plane(loss, moved, pairs.weights(base), dict(rho), a=0.7, b=0.5)
    assert losses.off_nominal == pytest.approx(float(merged.detach()), rel=1e-5)
    assert_same_gradients(model, loss(weights) - 0.3 * merged, {n: w for n, w in weights.items() if w.requires_grad})
    assert pairs.same(before, pairs.weights(model))


def test_above_the_cap_only_the_nominal_loss_has_a_gradient() -> None:
    model, base = pairs.pair("vit")
    batch = pairs.batches(model)[0]
    torch.autograd.backward([model(**batch).loss])
    expected = gradients(model)
    model.zero_grad()
    hardening = HardeningLoss(model, base, Fixed(), guessing=1e-6)
    assert hardening.backward(lambda: model(**batch).loss).capped
    assert pairs.same(gradients(model), expected)


def test_both_passes_see_the_same_dropout_and_training_goes_on_as_if_there_was_one() -> None:
    model, base = torch.nn.Dropout(0.5), torch.nn.Linear(4, 4)
    layer = pairs.moved(torch.nn.Linear(4, 4))
    masks: list[Tensor] = []

    def closure() -> Tensor:
        mask = model(torch.ones(4))
        masks.append(mask)
        return (layer(torch.ones(4)) * mask).square().sum()

    HardeningLoss(layer, base, Fixed(), guessing=1.0).backward(closure)
    after = torch.rand(1)
    assert torch.equal(masks[0], masks[1])
    torch.manual_seed(0)
    torch.nn.Linear(4, 4), torch.nn.Linear(4, 4), model(torch.ones(4))
    assert torch.equal(after, torch.rand(1))


def test_merges_leave_no_trace_in_running_statistics() -> None:
    """Of batch norm, as plain forward passes would have them, with relearning too."""
    torch.manual_seed(0)
    base = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 3))
    model = pairs.moved(copy.deepcopy(base), size=0.5)
    plain, x, y = copy.deepcopy(model), torch.randn(64, 4), torch.randint(3, (64,))

    def loss() -> Tensor:
        return torch.nn.functional.cross_entropy(model(x), y)

    relearning = Relearning(loss, steps=1, every=1)
    hardening = HardeningLoss(model, base, Fixed(Cell(2.0)), guessing=1.0, relearning=relearning)
    for _ in range(3):
        hardening.backward(loss)
        plain(x)
    assert model[1].num_batches_tracked == 3
    assert all(torch.equal(found, wanted) for found, wanted in zip(model.buffers(), plain.buffers(), strict=True))


def test_accumulated_batches_are_one_large_batch() -> None:
    model, base = pairs.pair("vit")
    large = pairs.batches(model, 1, rows=8)[0]
    halves = [{name: tensor[rows] for name, tensor in large.items()} for rows in (slice(0, 4), slice(4, 8))]
    found = []
    for parts in ([large], halves):
        model.zero_grad()
        hardening = HardeningLoss(model, base, Fixed(), guessing=1e6)
        for part in parts:
            hardening.backward(lambda part=part: model(**part).loss, share=1 / len(parts))  # type: ignore[misc]
        found.append(gradients(model))
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("how", ["autocast", "checkpointing", "bfloat16"])
def test_mixed_precision_and_checkpointing(how: str) -> None:
    """Autocast keeps 16-bit copies of weights, and checkpointing computes again in the backward pass."""
    model, base = pairs.pair("llama", dtype=torch.bfloat16 if how == "bfloat16" else torch.float32)
    batch, weights = pairs.batches(model)[0], leaves(model)
    if how == "checkpointing":
        model.gradient_checkpointing_enable({"use_reentrant": False})
        model.train()
    before = pairs.weights(model)
    hardening = HardeningLoss(model, base, Fixed(), guessing=1.0, cap_factor=math.inf)
    with torch.autocast("cpu", torch.bfloat16, enabled=how == "autocast"):
        hardening.backward(lambda: model(**batch).loss)
    model.eval()  # or the reference would compute again with other weights than its own
    expected = trap2.full(
        loss_of(model, batch), weights, pairs.weights(base), scale=0.4, strength=0.3, w=1.0, cap=math.inf
    )
    tolerance = 1e-4 if how == "checkpointing" else 0.05
    wanted = torch.cat([g.float().flatten() for g in torch.autograd.grad(expected, list(weights.values()))])
    found = torch.cat([p.grad.float().flatten() for p in model.parameters()])
    assert float((found - wanted).norm() / wanted.norm()) < tolerance
    assert pairs.same(before, pairs.weights(model))


def test_memory_is_one_copy_of_what_moves_and_a_mapped_base_is_not_copied(tmp_path: Path) -> None:
    source, folder, model, base = pairs.folders(tmp_path, "llama")
    mapped = FolderTensors(folder)
    hardening = HardeningLoss(model, mapped, Fixed(), guessing=1.0)
    batch = pairs.batches(model)[0]
    for _ in range(2):
        hardening.backward(lambda: model(**batch).loss)
    inside = hardening._trained
    assert sum(tensor.numel() for tensor in inside._own.kept) == sum(p.numel() for p in model.parameters())
    addresses = {mapped[name].data_ptr() for name in mapped}
    assert {tensor.data_ptr() for tensor in inside._base} <= addresses
    own = HardeningLoss(model, model, Fixed(), guessing=1.0)._trained
    assert {t.data_ptr() for t in own._base}.isdisjoint(p.data_ptr() for p in model.parameters())
    assert source.is_dir()
    assert base is not None


def test_a_step_takes_one_set_of_activations_and_one_copy_of_the_weights(tmp_path: Path) -> None:
    """Measured. The gradients of the first pass, which a plain step has only later, lie there in the second."""
    _, folder, model, _ = pairs.folders(tmp_path, "llama")
    batch, weights = pairs.batches(model, 1, 64)[0], sum(p.numel() * 4 for p in model.parameters())
    hardening = HardeningLoss(model, FolderTensors(folder), Trap2(), guessing=1e6)

    def plain() -> None:
        torch.autograd.backward([model(**batch).loss])

    alone = peak_bytes(plain)
    model.zero_grad()
    both = peak_bytes(lambda: hardening.backward(lambda: model(**batch).loss))
    assert alone > 20 * weights  # activations are most of it, so a second set of them would be seen
    assert weights <= both - alone < 2.01 * weights


def test_infinite_losses_are_explained_and_the_last_good_weights_kept() -> None:
    model, base = pairs.pair("vit")
    batch = pairs.batches(model)[0]
    hardening = HardeningLoss(model, base, Trap2(strength=50.0), guessing=CLASSES, cap_factor=math.inf)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    hardening.backward(lambda: model(**batch).loss)
    good = pairs.weights(model)
    with torch.no_grad():
        model.classifier.weight.fill_(float("nan"))
    with pytest.raises(
        DivergedError, match=r"alone is nan. The weights are .* NaN in this batch.* \(lambda\) 50 .* not bound"
    ):
        hardening.backward(lambda: model(**batch).loss)
    assert pairs.same(good, pairs.weights(model))
    optimizer.zero_grad()
    with pytest.raises(DivergedError, match="the loss of the merge Cell.* is inf"):
        hardening.off_nominal(lambda: model(**batch).loss * math.inf, nominal=torch.tensor(1.0))
    assert pairs.same(good, pairs.weights(model))


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_merge_without_a_finite_loss_is_at_the_cap_until_there_are_too_many(loss: float) -> None:
    model, base = pairs.moved(torch.nn.Linear(1, 1)), torch.nn.Linear(1, 1)
    hardening = HardeningLoss(model, base, Fixed(), guessing=1.0)

    def merged(factor: float) -> Any:
        return hardening.off_nominal(lambda: model(torch.ones(1)).square().sum() * factor, nominal=torch.tensor(0.5))

    for _ in range(49):
        assert merged(loss).capped
    assert model.weight.grad is None
    assert hardening.state_dict()["regions"] == {"here": pytest.approx(1.2)}
    assert not merged(0.1).capped
    for _ in range(49):
        merged(loss)
    with pytest.raises(DivergedError, match="and so were 49 before it. Look first for NaN in the base and the partn"):
        merged(loss)


def test_a_model_that_becomes_worse_than_guessing_stops_the_training() -> None:
    model, base = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    hardening = HardeningLoss(model, base, Fixed(), guessing=1.0)
    hardening.check(torch.tensor(5.0))  # not good yet: nothing to lose
    for _ in range(60):
        hardening.check(torch.tensor(0.5))
    for _ in range(49):
        hardening.check(torch.tensor(1.5))
    with pytest.raises(DivergedError, match="worse than guessing .* for 50 steps"):
        hardening.check(torch.tensor(1.5))


def test_state_resumes_the_same_draws() -> None:
    model, base = pairs.pair("vit")
    batch = pairs.batches(model)[0]
    rho = [random_direction(pairs.weights(model), base, seed=seed) for seed in (1, 2)]
    make = lambda: HardeningLoss(model, base, Hardened(), guessing=CLASSES, partners=rho)  # noqa: E731
    first = make()
    whole = [first.backward(lambda: model(**batch).loss).cell for _ in range(8)]
    half = make()
    begun = [half.backward(lambda: model(**batch).loss).cell for _ in range(4)]
    resumed = make()
    resumed.load_state_dict(half.state_dict())
    assert begun + [resumed.backward(lambda: model(**batch).loss).cell for _ in range(4)] == whole
    assert resumed.state_dict() == first.state_dict()
    assert set(first.metrics()) == {"nominal_loss", "off_nominal_loss", "worst_loss", "transfer"}
    with pytest.raises(TrainingError, match="drawn with seed 0"):
        HardeningLoss(model, base, Trap2(), guessing=1.0, seed=3).load_state_dict(half.state_dict())


def test_metrics_say_what_merges_keep_and_nothing_before_there_were_any() -> None:
    hardening = HardeningLoss(torch.nn.Linear(1, 1), torch.nn.Linear(1, 1), Fixed(), guessing=2.0)
    with pytest.raises(TrainingError, match="nothing is measured before the first batch"):
        hardening.metrics()
    state = hardening.state_dict() | {"nominal": 1.0, "regions": {"a": 1.5, "b": 2.0, "relearned": 0.5}}
    hardening.load_state_dict(state)
    names = ("nominal_loss", "off_nominal_loss", "worst_loss", "transfer", "relearned_loss")
    assert hardening.metrics() == dict(zip(names, (1.0, 1.75, 1.5, 0.5, 0.5), strict=True))
    hardening.load_state_dict(state | {"nominal": 3.0})
    assert math.isnan(hardening.metrics()["transfer"])
    hardening.load_state_dict(state | {"regions": {"relearned": 0.5}})
    assert math.isnan(hardening.metrics()["worst_loss"])
    assert math.isnan(hardening.metrics()["transfer"])


def test_trap2_draws_outside_the_gap_evenly() -> None:
    generator, objective = torch.Generator().manual_seed(0), Trap2(gap=0.1)
    scales = [objective.draw(generator, partners=2, losses={}, cap=1.0).scale for _ in range(4000)]
    assert min(scales) >= 0.05
    assert max(scales) <= 2.0
    assert not [scale for scale in scales if 0.9 < scale < 1.1]
    assert sum(scale < 1 for scale in scales) / 4000 == pytest.approx(0.85 / 1.75, abs=0.03)
    assert [objective.emphasis(Cell(0.25)), replace(objective, weighting="inverse_root").emphasis(Cell(0.25))] == [4, 2]
    assert replace(objective, weighting="one").emphasis(Cell(0.25)) == 1.0


def test_the_plane_is_covered_and_the_worst_region_is_drawn_most() -> None:
    generator, objective = torch.Generator().manual_seed(0), Hardened()
    losses = {f"{a} {b}": 1.0 for a in range(8) for b in range(4)} | {"2 1": 0.0}
    cells = [objective.draw(generator, partners=2, losses=losses, cap=1.0) for _ in range(4000)]
    assert sum(cell.partner is None for cell in cells) / 4000 == pytest.approx(0.2, abs=0.03)
    assert sum(cell.scale == 1.0 for cell in cells) / 4000 == pytest.approx(0.25, abs=0.03)
    assert sum(objective.region(cell) == "2 1" for cell in cells) / 4000 > 0.25
    assert {cell.partner for cell in cells} == {None, 0, 1}
    assert all(0.1 <= cell.scale <= 2 and (cell.partner is None or 0.1 <= cell.weight <= 1) for cell in cells)
    assert all(cell.partner is None for cell in [objective.draw(generator, partners=0, losses={}, cap=1.0)])


def test_random_directions_have_the_task_vectors_spectrum_and_norm() -> None:
    model, base = pairs.pair("vit")
    rho, again = (random_direction(pairs.weights(model), base, seed=3, rank=64) for _ in range(2))
    assert pairs.same(rho, again)
    for name, direction in rho.items():
        tau = (model.get_parameter(name) - base.get_parameter(name)).detach()
        torch.testing.assert_close(direction.norm(), tau.norm(), rtol=1e-3, atol=1e-5)
        assert float((direction * tau).sum().abs()) < 0.9 * float(tau.norm() ** 2)


def test_random_directions_leave_counters_out_and_refuse_packed_weights() -> None:
    base = torch.nn.BatchNorm1d(2)
    assert set(random_direction(pairs.moved(torch.nn.BatchNorm1d(2)).state_dict(), base, seed=0)) == {"weight", "bias"}
    with pytest.raises(BaseModelError, match="probably quantised"):
        random_direction({"weight": torch.zeros(2, dtype=torch.uint8)}, base, seed=0)


def test_presets_are_the_papers() -> None:
    assert set(TRAP2_PRESETS) == {"vision_lora", "vision_full", "math_lora"}
    full, math_lora = TRAP2_PRESETS["vision_full"], TRAP2_PRESETS["math_lora"]
    assert (full.objective, full.arguments["learning_rate"]) == (Trap2(), 1e-5)
    assert math_lora.objective.weighting == "inverse_root"
    assert (full.adapter, math_lora.adapter["r"]) == ({}, 16)


@pytest.mark.parametrize("name", TRAP2_PRESETS)
def test_presets_are_arguments_of_the_libraries(name: str, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import TrainingArguments

    preset = TRAP2_PRESETS[name]
    arguments = TrainingArguments(str(tmp_path), use_cpu=True, **preset.arguments)
    assert arguments.get_warmup_steps(100_000) == (2000 if name == "math_lora" else 500)
    whole = {"math_lora": [tiny.llama()], "vision_lora": [tiny.clip().vision_model, tiny.vit()]}.get(name, [])
    for model in whole:
        adapted = get_peft_model(model, LoraConfig(**preset.adapter))
        layers = {key.split(".lora_")[0] for key, weight in adapted.named_parameters() if weight.requires_grad}
        assert len(layers) == 4 * model.config.num_hidden_layers
        HardeningLoss(adapted, None, preset.objective, guessing=1.0)


def test_the_loss_of_guessing() -> None:
    assert class_guessing(7) == pytest.approx(math.log(7))
    assert unigram_entropy(torch.tensor([1, 1, 2, 2, -100])) == pytest.approx(math.log(2))
    assert zero_prediction(torch.full((3, 2), 2.0)) == 4.0
    with pytest.raises(TrainingError, match="guessing among 1 classes"):
        class_guessing(1)
    for labels in (torch.tensor([1, -1, 2]), torch.tensor([1.0, 2.0])):
        with pytest.raises(TrainingError, match=r"labels are torch.* must be token numbers: .* or -100 where"):
            unigram_entropy(labels)
    with pytest.raises(TrainingError, match="fewer than two different tokens"):
        unigram_entropy(torch.tensor([4, 4, -100]))


def test_models_that_cannot_be_trained_are_refused() -> None:
    model, base = pairs.pair("vit")
    with pytest.raises(BaseModelError, match="the base model is missing"):
        HardeningLoss(model, None, Trap2(), guessing=1.0)
    with pytest.raises(BaseModelError, match="has shape"):
        HardeningLoss(model, tiny.vit(intermediate_size=64), Trap2(), guessing=1.0)
    headless = {name: tensor for name, tensor in base.state_dict().items() if not name.startswith("classifier")}
    with pytest.raises(BaseModelError, match=r"no tensor 'classifier.weight'.* A head that is new .* freeze it"):
        HardeningLoss(model, headless, Trap2(), guessing=1.0)
    with pytest.raises(BaseModelError, match="none is among the model's"):
        HardeningLoss(model, base, Hardened(), guessing=1.0, partners=[{"w": torch.ones(1)}])
    with pytest.raises(BaseModelError, match="different architectures"):
        TaskVector(tiny.llama(), base)
    model.requires_grad_(False)
    with pytest.raises(TrainingError, match="everything is frozen"):
        HardeningLoss(model, base, Trap2(), guessing=1.0)


@pytest.mark.parametrize("kind", ["vit", "mixtral", "gpt_neox"])
def test_a_partner_whose_folder_has_other_names_is_not_half_lost(kind: str, tmp_path: Path) -> None:
    source, folder, model, base = pairs.folders(tmp_path, kind)
    partner, other = TaskVector(source, folder), pairs.moved(tiny.FAMILIES[kind](), seed=9)
    with pytest.raises(
        BaseModelError, match=r"the partner has no tensor .* but .* Give the partner and its base as lo"
    ):
        HardeningLoss(model, base, Hardened(), guessing=1.0, partners=[partner])
    found = HardeningLoss(model, base, Hardened(), guessing=1.0, partners=[TaskVector(other, base)])._trained.partners
    assert set(found[0]) == set(pairs.weights(model))


def test_a_partner_may_lack_tensors_or_have_a_head_of_its_own() -> None:
    model, base = pairs.pair("vit")
    rho = dict(TaskVector(pairs.moved(tiny.vit(), seed=9), base))
    few = {name: tensor for name, tensor in rho.items() if "classifier" not in name}
    for partner in (few, rho | {"head.weight": torch.ones(1)}):
        HardeningLoss(model, base, Hardened(), guessing=1.0, partners=[partner])
    with pytest.raises(BaseModelError, match="no tensor 'classifier"):
        HardeningLoss(model, base, Hardened(), guessing=1.0, partners=[few | {"head.weight": torch.ones(1)}])
    seven = TaskVector(pairs.moved(tiny.vit(num_labels=7)), base, exclude=["classifier*"])
    assert set(seven) == set(few)
    assert "classifier.weight" not in seven
    HardeningLoss(model, base, Hardened(), guessing=1.0, partners=[seven])


def test_partners_that_do_not_fit_are_refused_at_once() -> None:
    model, base = pairs.pair("vit")
    other = TaskVector(pairs.moved(tiny.vit(num_labels=7)), tiny.vit(num_labels=7))
    with pytest.raises(BaseModelError, match=r"'classifier.weight' has shape \(3, 32\) .* \(7, 32\) in the partner"):
        HardeningLoss(model, base, Hardened(), guessing=1.0, partners=[other])
    for live in (TaskVector(tiny.vit(), model), TaskVector(model, base), dict(model.named_parameters())):
        with pytest.raises(BaseModelError, match="of the model in training, and would change with it"):
            HardeningLoss(model, model, Hardened(), guessing=1.0, partners=[live])


def test_a_step_computes_every_tensor_of_a_partner_once() -> None:
    class Counting(TaskVector):
        asked: ClassVar[list[str]] = []

        def __getitem__(self, name: str) -> Tensor:
            self.asked.append(name)
            return super().__getitem__(name)

    model, base = pairs.pair("vit")
    partner = Counting(pairs.moved(tiny.vit(), seed=9), base)
    hardening = HardeningLoss(model, base, Fixed(Cell(0.5, 1.0, 0)), guessing=1.0, partners=[partner])
    partner.asked.clear()
    hardening.backward(lambda: model(**pairs.batches(model)[0]).loss)
    assert sorted(partner.asked) == sorted(pairs.weights(model))


def test_looking_for_a_name_in_a_folder_reads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mapped = FolderTensors(pairs.folders(tmp_path, "llama")[0])
    monkeypatch.setattr(FolderTensors, "__getitem__", None)
    assert "lm_head.weight" in mapped
    assert "head" not in mapped


@pytest.mark.parametrize("kind", ["LOHA", "IA3"])
def test_adapters_of_other_kinds_are_refused(kind: str) -> None:
    from peft import IA3Config, LoHaConfig, get_peft_model

    settings = IA3Config(target_modules=["k_proj"], feedforward_modules=[])
    model = get_peft_model(tiny.llama(), LoHaConfig(r=2, target_modules=["q_proj"]) if kind == "LOHA" else settings)
    for base in (None, tiny.llama()):
        with pytest.raises(TrainingError, match=f"adapters of the kind {kind} cannot be scaled"):
            HardeningLoss(model, base, Trap2(), guessing=1.0)


def test_adapters_that_cannot_be_scaled_are_refused() -> None:
    biased = adapted(tiny.gpt2(), target_modules=["c_attn"], lora_bias=True, fan_in_fan_out=True)
    with pytest.raises(TrainingError, match=r"lora_B.default.bias' is trained beside LoRA factors.* lora_bias=False"):
        HardeningLoss(biased, None, Trap2(), guessing=1.0)
    with pytest.raises(TrainingError, match="is trained beside LoRA factors"):
        HardeningLoss(adapted(tiny.llama(), modules_to_save=["lm_head"]), None, Trap2(), guessing=1.0)
    with pytest.warns(UserWarning, match="tie"):
        tied = adapted(tiny.gpt2(), target_modules=["lm_head"])
    with pytest.raises(TrainingError, match="whose weights are tied to"):
        HardeningLoss(tied, None, Trap2(), guessing=1.0)
    model = adapted(tiny.llama())
    packed = torch.zeros(4, dtype=torch.uint8)
    model.base_model.register_parameter("packed", torch.nn.Parameter(packed, requires_grad=False))
    partner = [{"model.layers.0.self_attn.q_proj.weight": torch.ones(32, 32)}]
    with pytest.raises(TrainingError, match="is quantised .* harden without partners"):
        HardeningLoss(model, None, Hardened(), guessing=1.0, partners=partner)
    assert HardeningLoss(model, None, Trap2(), guessing=1.0).cap == pytest.approx(1.2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Trap2(strength=-1), "strength .* is -1"),
        (lambda: Trap2(smallest=0.0), "leave nothing to draw on one side"),
        (lambda: Trap2(weighting="two"), "weighting is 'two'"),  # type: ignore[arg-type]
        (lambda: Hardened(largest=1.0), "largest is 1.0"),
        (lambda: Hardened(alone=0.8, rebasing=0.3), "the first two at most 1"),
        (lambda: HardeningLoss(torch.nn.Linear(1, 1), None, Trap2(), guessing=0.0), "must be positive"),
        (lambda: HardeningLoss(torch.nn.Linear(1, 1), None, Trap2(), guessing=1.0, seed=2**32), "seed is 4294967296"),
    ],
)
def test_impossible_settings_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        make()


@pytest.mark.parametrize("how", ["scaler", "accumulate"])
def test_scaled_losses_and_accelerates_accumulation(how: str) -> None:
    """A GradScaler's factor and Accelerate's division reach both passes and the penalty alike."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, GradientState

    model, base = pairs.pair("vit")
    batch, penalty = pairs.batches(model)[0], DensityPenalty(alpha=0.01)
    hardening = HardeningLoss(model, base, Fixed(), guessing=1e6)
    hardening.backward(lambda: model(**batch).loss)
    penalty.add_gradients(model)
    expected = gradients(model)
    model.zero_grad()
    if how == "scaler":
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        hardening.backward(lambda: model(**batch).loss, backward=lambda loss: scaler.scale(loss).backward())
        penalty.add_gradients(model, grad_scale=scaler.get_scale())
        scaler.unscale_(torch.optim.SGD(model.parameters(), lr=1.0))
    else:
        accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
        model = accelerator.prepare(model)
        for _ in range(2):
            with accelerator.accumulate(model):
                hardening.backward(lambda: model(**batch).loss, backward=accelerator.backward)
        penalty.add_gradients(model)
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-6)


def test_a_merge_that_was_trained_back_is_made_bad_where_the_free_rider_got_to() -> None:
    """Loss (w - 1)^2: from base 0 and w 2, the merge at 0.2 is 0.4, and one step of 0.1 brings it to 0.5."""
    model, base = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
    for one, value in ((model, 2.0), (base, 0.0)):
        one.weight.data.fill_(value)

    def loss() -> Tensor:
        return (model.weight - 1).square().sum()

    relearning = Relearning(loss, steps=1, lr=0.1, every=2)
    hardening = HardeningLoss(model, base, Fixed(Cell(0.2)), guessing=9.0, relearning=relearning)
    wanted = {1: 2.0 - 0.3 * 0.2 * 2 * (0.4 - 1), 2: 2.0 - 0.3 * 0.2 * 2 * (0.5 - 1)}
    for drawn, gradient in wanted.items():
        model.zero_grad()
        hardening.backward(loss)
        assert model.weight.grad.item() == pytest.approx(gradient, rel=1e-5), drawn  # type: ignore[union-attr]
        assert model.weight.item() == 2.0
    assert hardening.state_dict()["regions"] == {"here": pytest.approx(0.36), "relearned": pytest.approx(0.25)}


def test_every_relearning_draws_its_own_data() -> None:
    model, base, drawn = pairs.moved(torch.nn.Linear(1, 1)), torch.nn.Linear(1, 1), []

    def data() -> Tensor:
        drawn.append(float(torch.rand(())))
        return (model(torch.full((1,), drawn[-1])) - 1).square().sum()

    hardening = HardeningLoss(model, base, Fixed(), guessing=9.0, relearning=Relearning(data, steps=2, every=1))
    for _ in range(3):
        hardening.backward(lambda: model(torch.ones(1)).square().sum())
    assert len(set(drawn)) == 6


@pytest.mark.parametrize("settings", [{"steps": 0}, {"every": 0}, {"lr": 0.0}, {"lr": math.inf}])
def test_relearning_that_cannot_be_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(TrainingError, match="must be at least 1, positive"):
        Relearning(lambda: torch.zeros(()), **settings)
