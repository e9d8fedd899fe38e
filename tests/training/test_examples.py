"""The examples run in miniature; `train_vit` is in test_trainer.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file

SMALL = ["--steps", "2", "--batch-size", "4"]


def test_a_language_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from examples import train_llm

    logged = train_llm.main(["--out", str(tmp_path), *SMALL, "--examples", "12", "--questions", "2"])
    assert (tmp_path / "release/mergeguard.json").is_file()
    assert not (tmp_path / "run/checkpoint-2/mergeguard.json").exists()
    assert {"nominal_loss", "off_nominal_loss", "worst_loss", "transfer"} <= logged.keys()
    told = capsys.readouterr().out
    assert "math, before: 100.0 %" in told
    assert "math, release alone: 100.0 %" in told
    assert "math, base: 0.0 %" in told


def test_a_diffusion_adapter(tmp_path: Path) -> None:
    from examples import train_diffusion_lora

    found = train_diffusion_lora.main(["--out", str(tmp_path), *SMALL, "--pictures", "6"])
    adapter = load_file(tmp_path / "adapter/pytorch_lora_weights.safetensors")
    assert adapter
    assert all(name.startswith("unet.") for name in adapter)
    plain, protected = found["not protected"], found["protected"]
    assert plain.keys() == protected.keys() == {"0", "0.25", "0.5", "0.75", "1", "1.5"}
    assert plain["0"] == pytest.approx(protected["0"])  # the base, whatever the adapter
    assert plain["1"] < plain["0"]
