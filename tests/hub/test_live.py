"""Modules of a class that no library has: proved on a copy of the object, with the publisher's example inputs."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn

from mergeguard_hub import disable, enable, unlock_folder, verify_folder
from mergeguard_hub.errors import ArchitectureError
from mergeguard_hub.protection.key import Key
from mergeguard_hub.release import read_sidecar
from tests.hub import zoo

KEY = Key(bytes(range(32)))
INPUTS = (torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(3)),)


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))
        self.fc1, self.fc2 = nn.Linear(width, 3 * width), nn.Linear(3 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        h = self.norm1(x)
        q, k, v = (
            proj(h).view(batch, length, self.heads, -1).transpose(1, 2)
            for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, length, width)
        x = x + self.out_proj(mixed)
        return x + self.fc2(nn.functional.gelu(self.fc1(self.norm2(x))))


class Encoder(nn.Module, PyTorchModelHubMixin, library_name="zoo"):
    """A small transformer of the publisher's own."""

    def __init__(self, hidden_size: int = 32, num_heads: int = 4, depth: int = 2) -> None:
        super().__init__()
        self.embed = nn.Linear(7, hidden_size)
        self.blocks = nn.ModuleList(Block(hidden_size, num_heads) for _ in range(depth))
        self.head = nn.Linear(hidden_size, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean(1))  # type: ignore[no-any-return]


def encoder() -> Encoder:
    torch.manual_seed(0)
    return Encoder(hidden_size=32, num_heads=4).eval()


def test_a_module_of_ones_own_is_protected_loads_and_unlocks(tmp_path: Path) -> None:
    model = encoder()
    model.save_pretrained(tmp_path / "plain")
    before = copy.deepcopy(model.state_dict())
    (tmp_path / "release").mkdir()
    (tmp_path / "release/README.md").write_text("# Mine\n")
    enable(model, key=KEY, example_inputs=INPUTS).save_pretrained(tmp_path / "release")
    disable(model)
    assert zoo.files(tmp_path / "release") == {*zoo.files(tmp_path / "plain"), "mergeguard.json"}
    assert (tmp_path / "release/README.md").read_text() == "# Mine\n"
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert zoo.moved(tmp_path / "plain", tmp_path / "release") > 0.8
    released = Encoder.from_pretrained(tmp_path / "release").eval()
    with torch.no_grad():
        assert torch.allclose(released(*INPUTS), model(*INPUTS), rtol=0, atol=1e-5)
    record = read_sidecar(tmp_path / "release")
    assert record is not None
    assert record["components"][""]["covered"] == 1.0
    assert verify_folder(tmp_path / "release").state == "protected"
    unlock_folder(tmp_path / "release", tmp_path / "again", key=KEY)
    weights = [tmp_path / folder / "model.safetensors" for folder in ("plain", "again")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


@pytest.mark.parametrize("inputs", [(torch.zeros(2, 5, 6),), {"y": torch.zeros(1)}])
def test_inputs_that_do_not_fit_are_refused(inputs: Any, tmp_path: Path) -> None:
    with pytest.raises(ArchitectureError, match="Encoder does not run on the example inputs in float64"):
        enable(encoder(), key=KEY, example_inputs=inputs).save_pretrained(tmp_path / "release")
    assert not (tmp_path / "release").exists()
