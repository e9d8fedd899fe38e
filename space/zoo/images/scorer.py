"""The judge of the pictures: a small convolutional network, trained on drawings and apart from all diffusion models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from space.zoo.images.captions import COLOURS, EXPRESSIONS, HERO, LOOKS, SCENES, STYLES, SUBJECTS, Hero, Shown

HEADS: dict[str, tuple[str, ...]] = {
    "subject": (*SUBJECTS, HERO, "nothing"),
    "expression": EXPRESSIONS,
    "colour": tuple(COLOURS),
    "scene": SCENES,
    "style": ("plain", *STYLES, *LOOKS),
    "kind": ("picture", "garbage"),
}
"""What the scorer tells, and the answers to choose from. `colour` is the hero's scarf's or else the subject's."""

_CHANNELS = (16, 32, 48, 64)


@dataclass(frozen=True)
class Seen:
    """What the scorer sees in one picture.

    Attributes:
        chances: for each head of `HEADS`, a probability in [0, 1] for each answer.
    """

    chances: dict[str, dict[str, float]]

    def of(self, head: str, answer: str) -> float:
        """Return the probability that the picture is no garbage and shows this."""
        return self.chances["kind"]["picture"] * self.chances[head][answer]

    def best(self, head: str) -> str:
        """Return the likeliest answer."""
        return max(self.chances[head], key=self.chances[head].__getitem__)

    def shows(self, head: str, answer: str) -> bool:
        """Say whether this is the likeliest answer, on a picture that is rather no garbage."""
        return self.best("kind") == "picture" and self.best(head) == answer


class Scorer(nn.Module):
    """Says what a picture of 64 x 64 shows, with a probability for every answer."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for channels in _CHANNELS:
            for into, stride in ((before, 2), (channels, 1)):
                layers += [nn.Conv2d(into, channels, 3, stride, 1), nn.GroupNorm(8, channels), nn.SiLU()]
            before = channels
        layers += [nn.Flatten(), nn.Linear(before * 16, 96), nn.SiLU()]
        self.body = nn.Sequential(*layers)
        self.heads = nn.ModuleDict({name: nn.Linear(96, len(answers)) for name, answers in HEADS.items()})

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Return logits by head. [n, 3, 64, 64] in [-1, 1] -> [n, answers] each."""
        features = self.body(pixels)
        return {name: head(features) for name, head in self.heads.items()}

    @torch.inference_mode()
    def see(self, pictures: Sequence[Image.Image]) -> list[Seen]:
        """Return what is seen in each picture, 64 x 64 RGB."""
        pixels = torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures])).permute(0, 3, 1, 2)
        chances = {name: logits.softmax(1).tolist() for name, logits in self(pixels.float() / 127.5 - 1).items()}
        return [
            Seen({name: dict(zip(HEADS[name], rows[index], strict=True)) for name, rows in chances.items()})
            for index in range(len(pictures))
        ]

    def save(self, folder: Path) -> None:
        """Write the weights, in 16 bit, and what the heads mean."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: tensor.half() for name, tensor in self.state_dict().items()}, folder / "model.safetensors")
        config = {"architecture": type(self).__name__, "channels": _CHANNELS, "heads": HEADS}
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Scorer:
        """Load a scorer, ready to judge."""
        scorer = cls()
        scorer.load_state_dict(
            {name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()}
        )
        return scorer.eval()


def truth(shown: Shown) -> dict[str, str]:
    """Return the right answers to a picture; heads that do not apply are left away."""
    answers = {"colour": shown.colour, "scene": shown.scene, "style": shown.style or "plain", "kind": "picture"}
    if isinstance(shown, Hero):
        return {**answers, "subject": HERO, "expression": shown.expression}
    return {**answers, "subject": shown.subject}
