"""A scaled-down instance of the class that a configuration names, on which claims are proved.

The miniature goes the whole way of a real checkpoint: it is saved in the layout on disk, its tensors are changed
there, and they are loaded again by the class's own loading code. So names, fused projections and tied weights are
part of the proof.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.overrides import TorchFunctionMode

from mergeguard_hub.architecture.scale_down import scale_down
from mergeguard_hub.errors import ArchitectureError, UnknownArchitectureError

StateDict = dict[str, Tensor]


class WideFloats(TorchFunctionMode):
    """Turns every explicit float32 inside a forward pass into float64.

    Transformers computes norms, softmax and rotary angles in float32 whatever the model's dtype, which would blur a
    proof to 1e-7. Under this mode a float64 model is float64 throughout.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is Tensor.float:
            return args[0].double()
        widened = tuple(torch.float64 if arg is torch.float32 else arg for arg in args)
        named = {key: torch.float64 if value is torch.float32 else value for key, value in (kwargs or {}).items()}
        return func(*widened, **named)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence warnings, log lines and progress bars of building and loading toy models."""
    from transformers.utils import logging as transformers_logging

    bars, level = transformers_logging.is_progress_bar_enabled(), logging.root.manager.disable
    transformers_logging.disable_progress_bar()
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
        if bars:
            transformers_logging.enable_progress_bar()


def find_class(config: Mapping[str, Any]) -> type[Any]:
    """Return the transformers or diffusers class that loads a checkpoint with this configuration.

    Raises:
        UnknownArchitectureError: the configuration names none, or one that is not installed.
    """
    if "_class_name" in config:
        return _diffusers_class(str(config["_class_name"]))
    import transformers

    for name in config.get("architectures") or ():
        found = getattr(transformers, name, None)
        if found is not None:
            return found  # type: ignore[no-any-return]
    kind = config.get("model_type")
    if kind in transformers.CONFIG_MAPPING:
        of_kind = transformers.CONFIG_MAPPING[kind]
        for mapping in (transformers.MODEL_FOR_CAUSAL_LM_MAPPING, transformers.MODEL_MAPPING):
            if of_kind in mapping:
                return mapping[of_kind]  # type: ignore[no-any-return]
    raise UnknownArchitectureError(
        f"config.json names architectures {config.get('architectures')} and model_type {kind!r}, and the installed "
        f"transformers {transformers.__version__} has neither. Update transformers, or publish the model with a class "
        "it knows; custom modeling code cannot be proved."
    )


def _diffusers_class(name: str) -> type[Any]:
    try:
        import diffusers
    except ImportError as error:
        raise UnknownArchitectureError(
            f"{name} is a diffusers class and diffusers is not installed. pip install 'mergeguard-hub[diffusers]'"
        ) from error
    found = getattr(diffusers, name, None)
    if found is None:
        raise UnknownArchitectureError(
            f"the installed diffusers {diffusers.__version__} has no class {name}; update it."
        )
    return found  # type: ignore[no-any-return]


class Miniature:
    """A small random instance of one class, in the layout it has on disk.

    Attributes:
        config: its small configuration as a dict.
        full_config: the original configuration with every default filled in.
        state: tensor name on disk -> weights.
        dtype: float64, or float32 where the class does not run in float64.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Build, randomise and save the miniature.

        Raises:
            UnknownArchitectureError: no installed class has this name.
            ArchitectureError: the class cannot be scaled down and run.
        """
        self.cls = find_class(config)
        self._of_diffusers = "_class_name" in config
        with quiet():
            error: Exception | None = None
            for dtype in (torch.float64, torch.float32):
                try:
                    self.dtype = dtype
                    self._build(config)
                    self.reference = self.outputs(self.state)
                    return
                except Exception as caught:  # any class may fail in its own way; the cause is chained below
                    error = caught
        raise ArchitectureError(
            f"{self.cls.__name__} cannot be scaled down and run, so nothing about it can be proved: "
            f"{type(error).__name__}: {error}"
        ) from error

    def _build(self, config: Mapping[str, Any]) -> None:
        generator = torch.Generator().manual_seed(20260101)
        if self._of_diffusers:
            from mergeguard_hub.architecture.diffusion import scale_down_diffusion

            self._config = scale_down_diffusion(self.cls, config)
            self.full_config = dict(config)
            self.config = dict(self._config)
            model = self.cls.from_config(self._config)
        else:
            import transformers

            full = transformers.AutoConfig.for_model(config["model_type"]).from_dict(dict(config))
            self.full_config = plain(full.to_dict())
            small = scale_down(self.full_config)
            self._config = type(full).from_dict(small)
            self._config._attn_implementation = "eager"
            self._config._experts_implementation = "eager"
            self.config = plain(self._config.to_dict())
            model = self.cls(self._config)
        model = model.to(self.dtype).eval()
        randomise(model, generator)
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            self.state = {}
            for file in sorted(Path(folder).glob("*.safetensors")):
                self.state.update(load_file(file))

    def outputs(self, state: StateDict) -> list[Tensor]:
        """Load tensors as the class would from disk, run fixed inputs and return all floating-point outputs."""
        with quiet(), torch.no_grad():
            if self._of_diffusers:
                model = self.cls.from_config(self._config).to(self.dtype)
                model.load_state_dict(state)
            else:
                model = self.cls.from_pretrained(None, config=self._config, state_dict=dict(state), dtype=self.dtype)
            model.eval()
            mode = WideFloats() if self.dtype == torch.float64 else contextlib.nullcontext()
            with mode:
                return floats(model(**example_inputs(model)))

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


def relative(a: Tensor, b: Tensor) -> float:
    """Return |a - b| / |a| in the Frobenius norm; infinite if either is not finite."""
    a, b = a.double(), b.double()
    if a.shape != b.shape or not bool(torch.isfinite(a).all() and torch.isfinite(b).all()):
        return float("inf")
    return float((a - b).norm() / a.norm().clamp_min(1e-30))


def randomise(model: torch.nn.Module, generator: torch.Generator) -> None:
    """Draw weights so that every one of them matters: matrices of unit gain, vectors spread around their start."""
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            if parameter.ndim > 1:
                parameter.copy_(noise / parameter[0].numel() ** 0.5)
            else:
                parameter.add_(0.2 * noise)


def example_inputs(model: Any) -> dict[str, Tensor]:
    """Return fixed random inputs for every input that the model's forward declares and that it needs."""
    from mergeguard_hub.architecture.inputs import inputs_for

    return inputs_for(model, set(inspect.signature(model.forward).parameters))


def floats(output: Any) -> list[Tensor]:
    """Return the floating-point tensors of a model output, in order.

    Caches are left out, and so are, beside logits, the hidden states that led to them.
    """
    if isinstance(output, Tensor):
        return [output] if output.is_floating_point() else []
    if isinstance(output, Mapping):
        skipped: tuple[str, ...] = ("past_key_values",)
        if any(key.startswith("logits") for key in output):
            skipped += ("encoder_last_hidden_state", "text_model_output", "vision_model_output")
        return [t for key, value in output.items() if key not in skipped for t in floats(value)]
    if isinstance(output, (tuple, list)):
        return [t for value in output for t in floats(value)]
    return []
