"""A scaled-down instance of the class that a configuration names, on which claims are proved.

The miniature goes the whole way of a real checkpoint: it is saved in the layout on disk, its tensors are changed
there, and they are loaded again by the class's own loading code. So names, fused projections and tied weights are
part of the proof.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from mergeguard_hub.architecture.classes import find_class, full_config, resolved
from mergeguard_hub.architecture.loading import Loader
from mergeguard_hub.architecture.outputs import example_inputs, floats, quiet, relative
from mergeguard_hub.architecture.precision import WideFloats
from mergeguard_hub.architecture.scale_down import scale_down
from mergeguard_hub.errors import ArchitectureError

__all__ = ["Miniature", "StateDict", "example_inputs", "find_class", "floats", "plain", "quiet", "relative"]

StateDict = dict[str, Tensor]
LARGEST = 16_000_000  # parameters; what is left above that was not scaled down


@dataclass(frozen=True)
class Prefix:
    """How a checkpoint's names begin otherwise than those that its class writes.

    Attributes:
        added: stands before every name.
        dropped: is missing from every name that should begin with it.
    """

    added: str = ""
    dropped: str = ""

    def on_disk(self, name: str) -> str:
        """Return how a tensor of the class is called in such a checkpoint."""
        return self.added + name.removeprefix(self.dropped)


PLAIN = Prefix()


class Miniature:
    """A small random instance of one class, in the layout it has on disk.

    Attributes:
        config: its small configuration as a dict.
        full_config: the original configuration with every default filled in.
        state: tensor name on disk -> weights.
        dtype: float64, or float32 where the class does not run in float64.
    """

    def __init__(self, config: Mapping[str, Any], *, prefix: Prefix = PLAIN) -> None:
        """Build, randomise and save the miniature.

        Args:
            config: of a checkpoint.
            prefix: how names on disk begin otherwise than those that the class writes.

        Raises:
            UnknownArchitectureError: no installed class has this name.
            ArchitectureError: the class cannot be scaled down and run.
        """
        self.cls = find_class(config)
        self._prefix = prefix
        self._of_diffusers = "_class_name" in config
        with quiet():
            error: Exception | None = None
            for dtype in (torch.float64, torch.float32):
                for square in (False, True):
                    try:
                        self.dtype = dtype
                        self._build(config, square=square)
                        self._settle()
                        return
                    except Exception as caught:  # noqa: BLE001 - any class may fail in its own way; chained below
                        error = error or caught
        raise ArchitectureError(
            f"{self.cls.__name__} cannot be scaled down and run, so nothing about it can be proved: "
            f"{type(error).__name__}: {error}"
        ) from error

    def _build(self, config: Mapping[str, Any], *, square: bool) -> None:
        if self._of_diffusers:
            self._configure_diffusers(config)
        else:
            self._configure_transformers(config, square=square)
        build = self.cls.from_config if self._of_diffusers else self.cls
        with torch.device("meta"), contextlib.suppress(NotImplementedError, RuntimeError):
            size = sum(parameter.numel() for parameter in build(self._config).parameters())
            if size > LARGEST:
                raise ArchitectureError(f"{size} parameters are left after scaling down: some size is not understood")
        model = build(self._config).to(self.dtype).eval()
        randomise(model, torch.Generator().manual_seed(20260101))
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            self.state: dict[str, Tensor] = {}
            for file in sorted(Path(folder).glob("*.safetensors")):
                for name, tensor in load_file(file).items():
                    renamed = self._prefix.on_disk(name)
                    if renamed in self.state:
                        raise ArchitectureError(f"two tensors would be called {renamed!r} in such a checkpoint")
                    self.state[renamed] = tensor

    def _configure_diffusers(self, config: Mapping[str, Any]) -> None:
        from mergeguard_hub.architecture.diffusion import scale_down_diffusion

        self._config: Any = scale_down_diffusion(self.cls, config)
        self.full_config = dict(config)
        self.config = dict(self._config)

    def _configure_transformers(self, config: Mapping[str, Any], *, square: bool) -> None:
        full = full_config(self.cls, config)
        self.full_config = resolved(plain(full.to_dict()))
        self._config = type(full).from_dict(scale_down(self.full_config, square=square))
        self._config._attn_implementation = "eager"
        self._config._experts_implementation = "eager"
        self.config = plain(self._config.to_dict())

    def outputs(self, state: StateDict) -> list[Tensor]:
        """Put tensors where the class would load them, run fixed inputs and return all floating-point outputs."""
        with quiet(), torch.no_grad():
            model = self._loader(state)
            with WideFloats() if self.dtype == torch.float64 else contextlib.nullcontext():
                return floats(model(**example_inputs(model)))

    def _load(self, state: StateDict) -> Any:
        if self._of_diffusers:
            model = self.cls.from_config(self._config).to(self.dtype)
            model.load_state_dict(state)
        else:
            model = self.cls.from_pretrained(None, config=self._config, state_dict=dict(state), dtype=self.dtype)
        return model.eval()

    def _settle(self) -> None:
        """Fix the reference outputs; a class that keeps something between passes is loaded afresh for every one."""
        self._loader = Loader(self._load, self.state, self.dtype)
        self.reference = self.outputs(self.state)
        if self.error(self.state) > 0:
            self._loader.forget()
            self.reference = self.outputs(self.state)
            if self.error(self.state) > 0:
                raise ArchitectureError(f"two passes of {self.cls.__name__} over the same inputs differ")

    def error(self, state: StateDict) -> float:
        """Return the largest relative difference between outputs on `state` and on the original weights."""
        changed = self.outputs(state)
        return max(relative(a, b) for a, b in zip(self.reference, changed, strict=True))

    @property
    def tolerance(self) -> float:
        """Relative error below which outputs count as equal: 1e-9 in float64, 1e-5 in float32."""
        return 1e-9 if self.dtype == torch.float64 else 1e-5


def plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration as JSON would give it back."""
    return json.loads(json.dumps(config, default=str))  # type: ignore[no-any-return]


def randomise(model: torch.nn.Module, generator: torch.Generator) -> None:
    """Draw weights so that every one of them matters: matrices of unit gain, vectors spread around their start."""
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            if parameter.ndim > 1:
                parameter.copy_(noise / parameter[0].numel() ** 0.5)
            else:
                parameter.add_(0.2 * noise)
