"""Upcycling: two dense models become the experts of one mixture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from mergeguard_hub.attacks.candidates import Candidate, Wish, Workshop, enter
from mergeguard_hub.errors import AttackError

_EXPERT = {"mlp.gate_proj": "w1", "mlp.down_proj": "w2", "mlp.up_proj": "w3"}  # Llama's names -> Mixtral's
_MIXTURE: Mapping[str, Any] = {
    "architectures": ["MixtralForCausalLM"],
    "model_type": "mixtral",
    "num_local_experts": 2,
    "num_experts_per_tok": 2,
    "sliding_window": None,
}


@dataclass(frozen=True)
class Upcycling:
    """Make the MLPs of the release and of a partner the two experts of a Mixtral, both always asked.

    After "Sparse Upcycling" (arXiv 2212.05055) and the mixtures that people make of fine-tunes with mergekit-moe. No
    MLP weight is averaged: the router is zero, so that the experts' *outputs* are. Everything else (attention, norms,
    embeddings) is the release's, the partner's, or the average of both, a candidate each. Llama's architecture only;
    only the first partner is used.
    """

    title: ClassVar[str] = "Upcycling to a mixture"
    paper: ClassVar[str] = "https://arxiv.org/abs/2212.05055"
    needs: ClassVar[frozenset[Wish]] = frozenset({"config"})

    def candidates(self, workshop: Workshop) -> Iterator[Candidate]:
        """Yield one mixture for each choice of the other weights; see `MergeAttack.candidates`.

        Raises:
            AttackError: see `MergeAttack.candidates`; also if the model is no Llama, or one with biases.
        """
        enter(self, workshop)
        config = dict(workshop.config or {})
        if config.get("model_type") != "llama" or config.get("mlp_bias"):
            raise AttackError(f"Upcycling is written for Llama's MLPs, and this is a {config.get('model_type')!r}.")
        if config.get("attention_bias"):
            raise AttackError("Upcycling makes a Mixtral, whose attention has no biases, and this model has some.")
        release, partner = workshop.protected, workshop.partners[0]
        shared: dict[str, Callable[[str], Tensor]] = {
            "the release": lambda name: release[name].clone(),
            "the partner": lambda name: partner[name].clone(),
            "both, averaged": lambda name: _average(release[name], partner[name]),
        }
        for label, take in shared.items():
            weights: dict[str, Tensor] = {}
            for name in release:
                layer, _, part = name.partition(".mlp.")
                expert = _EXPERT.get("mlp." + part.removesuffix(".weight"))
                if expert is None:
                    weights[name] = take(name)
                    continue
                weights[f"{layer}.block_sparse_moe.experts.0.{expert}.weight"] = release[name].clone()
                weights[f"{layer}.block_sparse_moe.experts.1.{expert}.weight"] = partner[name].clone()
                if expert == "w1":
                    router = torch.zeros(2, release[name].shape[1], dtype=release[name].dtype)
                    weights[f"{layer}.block_sparse_moe.gate.weight"] = router
            yield Candidate(f"other weights of {label}", {}, weights, config={**config, **_MIXTURE})


def _average(one: Tensor, other: Tensor) -> Tensor:
    return ((one.double() + other.double()) / 2).to(one.dtype)
