"""Evaluating a model again and again with one layer changed: what comes before that layer is computed once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn

from mergeguard_hub.training.layers import block_of

_INSIDE = ("output_router_logits", "output_hidden_states", "output_attentions")


class PrefixReuse:
    """The outputs of a model's blocks for one batch, to be given back in place of computing them.

    A block is a numbered module (`model.layers.3`). While `recording`, each block's output is kept, and for every
    parameter how many blocks had answered when its module was first called. While `replaying` for some parameters,
    those first blocks answer from memory: whatever of the model lies outside blocks still runs. Only valid as long as
    nothing in front of the changed parameters changes, in eval mode and for the same batch. Memory: the outputs of all
    blocks for one batch.

    A block that is called several times in a forward pass, or not through `__call__`, is never replayed, nor is what
    comes after it. Nothing is replayed where `output_router_logits`, `output_hidden_states` or `output_attentions` is
    set, in a config or in a call: a loss may depend on what blocks compute inside, and a replayed one computes nothing.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._blocks = _blocks(model)
        self._owners = _owners(model)
        self._order: list[str] = []
        self._outputs: dict[str, Any] = {}
        self._ready: dict[str, int] = {}
        self._again: set[str] = set()
        self._inside = False  # whether what blocks compute inside is given out

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Keep what every block answers in the forward pass inside."""
        self._order, self._outputs, self._ready, self._again = [], {}, {}, set()
        self._inside = False
        with ExitStack() as stack:
            for module in self._model.modules():
                stack.callback(module.register_forward_pre_hook(self._asking, with_kwargs=True).remove)
            for path, (module, names) in self._owners.items():
                stack.callback(module.register_forward_pre_hook(self._noting(path, names)).remove)
            for path, block in self._blocks.items():
                stack.callback(block.register_forward_hook(self._keeping(path)).remove)
            yield

    @contextmanager
    def replaying(self, names: tuple[str, ...]) -> Iterator[float]:
        """Answer from memory in front of these parameters; yields the fraction of the blocks that still runs."""
        first = 0 if self._inside else min((self._ready.get(name, 0) for name in names), default=0)
        replayed: list[str] = []
        for path in self._order[:first]:
            if path in self._again:
                break
            replayed.append(path)
        with ExitStack() as stack:
            for path in replayed:
                stack.enter_context(_answering(self._blocks[path], self._outputs[path]))
            yield 1 - len(replayed) / max(1, len(self._blocks))

    def _asking(self, module: nn.Module, inputs: Any, settings: Mapping[str, Any]) -> None:
        config = getattr(module, "config", None)
        self._inside |= any(settings.get(name) or getattr(config, name, False) for name in _INSIDE)

    def _noting(self, path: str, names: tuple[str, ...]) -> Any:
        def note(module: nn.Module, inputs: Any) -> None:
            for name in names:
                self._ready.setdefault(name, len(self._order))

        return note

    def _keeping(self, path: str) -> Any:
        def keep(module: nn.Module, inputs: Any, output: Any) -> None:
            if path in self._outputs:
                self._again.add(path)
            else:
                self._order.append(path)
                self._outputs[path] = output

        return keep


@contextmanager
def _answering(block: nn.Module, output: Any) -> Iterator[None]:
    """Let a block answer with a given output; the instance's own attribute hides the class's method."""
    before = vars(block).get("forward")
    block.forward = lambda *args, **kwargs: output
    try:
        yield
    finally:
        if before is None:
            del block.forward
        else:
            block.forward = before


def _blocks(model: nn.Module) -> dict[str, nn.Module]:
    """Return the outermost numbered modules that hold parameters."""
    paths = dict.fromkeys(block_of(name) for name, _ in model.named_parameters())
    return {path: model.get_submodule(path) for path in paths if path is not None}


def _owners(model: nn.Module) -> Mapping[str, tuple[nn.Module, tuple[str, ...]]]:
    """Return module path -> the module and the parameters that it holds directly."""
    found: dict[str, list[str]] = {}
    for name, _ in model.named_parameters():
        found.setdefault(name.rpartition(".")[0], []).append(name)
    return {path: (model.get_submodule(path), tuple(names)) for path, names in found.items()}
