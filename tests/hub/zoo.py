"""Objects that the save tests guard, and what they compare; importable, so that pickles find the classes."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from huggingface_hub import PyTorchModelHubMixin
from safetensors import safe_open
from transformers import CLIPTokenizer, LlamaForCausalLM

from mergeguard_hub.hub import MergeGuardMixin, SaveSettings
from tests import tiny


class GuardedLlama(MergeGuardMixin, LlamaForCausalLM):
    """What a user writes."""


class GuardedLast(LlamaForCausalLM, MergeGuardMixin):
    """The mixin in the wrong place: must protect all the same."""


class LockedLlama(MergeGuardMixin, LlamaForCausalLM):
    """A class with its own default."""

    mergeguard_settings = SaveSettings(protection="mergelock")


class RemoteLlama(LlamaForCausalLM):
    """A class that travels with its weights as remote code."""


class NotedLlama(GuardedLlama):
    """A user's own save around the guarded one."""

    def save_pretrained(self, save_directory: Any, *args: Any, **kwargs: Any) -> None:
        super().save_pretrained(save_directory, *args, **kwargs)
        Path(save_directory, "NOTE.txt").write_text("trained at home\n")


class PushingLlama(MergeGuardMixin, LlamaForCausalLM):
    """A user's own save that always pushes."""

    def save_pretrained(self, save_directory: Any, *args: Any, **kwargs: Any) -> None:
        super().save_pretrained(save_directory, *args, push_to_hub=True, repo_id="me/model", **kwargs)


class GuardedUNet(MergeGuardMixin, UNet2DConditionModel):
    """A guarded diffusers model."""


class GuardedPipeline(MergeGuardMixin, StableDiffusionPipeline):
    """A guarded pipeline."""


class Classifier(torch.nn.Module, PyTorchModelHubMixin, library_name="zoo"):
    """A model of the Hub's own mixin."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.rows = torch.nn.Linear(4, width)
        self.columns = torch.nn.Linear(width, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.columns(torch.relu(self.rows(x)))


class GuardedClassifier(MergeGuardMixin, Classifier):
    """The same, guarded; the class keyword of the Hub's mixin still arrives."""


def guarded_llama(kind: type = GuardedLlama, **overrides: Any) -> Any:
    """Return a tiny Llama of a guarded class with the weights of `tiny.llama`."""
    plain = tiny.llama(**overrides)
    model = kind(plain.config)
    model.load_state_dict(plain.state_dict())
    return model.to(plain.dtype).eval()


def pipeline(folder: Path, kind: type = StableDiffusionPipeline, unet: Any = None) -> Any:
    """Return a Stable Diffusion pipeline of tiny parts; `folder` holds its tokenizer's files."""
    tokens = {"a": 0, "b": 1, "a</w>": 2, "b</w>": 3, "<|startoftext|>": 4, "<|endoftext|>": 60}
    (folder / "vocab.json").write_text(json.dumps(tokens))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"), model_max_length=16)
    vae = AutoencoderKL(
        block_out_channels=(16, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=8,
    )
    built = kind(
        vae=vae.eval(),
        text_encoder=tiny.clip_text(),
        tokenizer=tokenizer,
        unet=tiny.unet() if unet is None else unet,
        scheduler=PNDMScheduler(skip_prk_steps=True, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    built.set_progress_bar_config(disable=True)
    return built


def drawn(pipe: Any) -> torch.Tensor:
    """Return the latents that a pipeline draws for a fixed prompt and seed."""
    generator = torch.Generator().manual_seed(3)
    return pipe("a b", num_inference_steps=2, output_type="latent", height=16, width=16, generator=generator).images


def files(folder: Path) -> set[str]:
    """Return every file below a folder, relative."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder with its bytes."""
    return {name: (folder / name).read_bytes() for name in sorted(files(folder))}


def layout(folder: Path) -> dict[str, tuple[str, str, list[int]]]:
    """Return tensor name -> (file, dtype, shape) over all safetensors files of a folder."""
    found: dict[str, tuple[str, str, list[int]]] = {}
    for name in sorted(file for file in files(folder) if file.endswith(".safetensors")):
        with safe_open(folder / name, "pt") as file:
            for tensor in file.keys():  # noqa: SIM118  (no mapping)
                part = file.get_slice(tensor)
                found[f"{Path(name).parent}/{tensor}"] = (name, part.get_dtype(), part.get_shape())
    return found


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Return every tensor of a folder by its file's folder and name."""
    found = {}
    for name in sorted(file for file in files(folder) if file.endswith(".safetensors")):
        with safe_open(folder / name, "pt") as file:
            for tensor in file.keys():  # noqa: SIM118  (no mapping)
                found[f"{Path(name).parent}/{tensor}"] = file.get_tensor(tensor)
    return found


def moved(first: Path, second: Path) -> float:
    """Return the fraction in [0, 1] of weights of matrices that differ between two folders of one layout."""
    before, after = tensors(first), tensors(second)
    matrices = [name for name, tensor in before.items() if tensor.ndim > 1]
    changed = sum(int((before[name] != after[name]).sum()) for name in matrices)
    return changed / sum(before[name].numel() for name in matrices)


class Snapshot:
    """A deep copy of all that a save must leave alone: weights, configs, optimizer, attributes."""

    def __init__(self, *models: Any, optimizer: Any = None) -> None:
        self.models, self.optimizer = models, optimizer
        self.before = self._state()

    def _state(self) -> list[Any]:
        return [self._of(model) for model in self.models] + [
            copy.deepcopy(self.optimizer.state_dict()) if self.optimizer else None
        ]

    @staticmethod
    def _of(model: Any) -> dict[str, Any]:
        config = model.config
        generation = getattr(model, "generation_config", None)
        return {
            "class": type(model),
            "attributes": set(vars(model)),
            "config": copy.deepcopy(dict(vars(config)) if hasattr(config, "to_diff_dict") else dict(config)),
            "config object": id(config),
            "generation": copy.deepcopy(dict(vars(generation))) if generation is not None else None,
            "weights": {name: tensor.clone() for name, tensor in model.state_dict().items()}
            if hasattr(model, "state_dict")
            else {},
            "training": getattr(model, "training", None),
        }

    def unchanged(self) -> bool:
        """Whether all of it is as it was, bit for bit."""
        return _same(self.before, self._state())


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor):
        return isinstance(second, torch.Tensor) and first.dtype == second.dtype and torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(_same(first[name], second[name]) for name in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(_same(a, b) for a, b in zip(first, second, strict=True))
    return bool(first == second)
