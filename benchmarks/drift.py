"""How far outputs drift at real width: `python -m benchmarks.drift [--only NAME] [--scratch DIR]`.

One layer at the published width of each language model, and the whole UNet of Stable Diffusion 1.5, with random
weights of the published spread. Drift is the largest relative error against the original, in float32: of any block on
random inputs, and of the model's outputs. Beside it stands what one rounding of every weight to that dtype does to the
model's outputs. Writes benchmarks/results/drift.md.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers

from mergeguard_hub.checkpoint import Checkpoint
from mergeguard_hub.protection import Key, Recipe
from mergeguard_hub.release import protect_folder
from mergeguard_hub.release.drift import model_drift, rounding_drift

RESULT = Path(__file__).resolve().parent / "results" / "drift.md"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
PRESETS = ("exact", "mergelock", "params")
VOCABULARY = 2048  # instead of 32,000 and more: embeddings only move rows and columns, and this keeps files small


def llama2_7b() -> Any:
    """One layer of Llama-2-7B (Touvron et al. 2023, arXiv 2307.09288; sizes of its published configuration)."""
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=4096,
            intermediate_size=11008,
            num_hidden_layers=1,
            num_attention_heads=32,
            num_key_value_heads=32,
            rms_norm_eps=1e-5,
            tie_word_embeddings=False,
        )
    )


def mistral_7b() -> Any:
    """One layer of Mistral-7B (Jiang et al. 2023, arXiv 2310.06825): grouped-query attention, sliding window."""
    return transformers.MistralForCausalLM(
        transformers.MistralConfig(
            vocab_size=VOCABULARY,
            hidden_size=4096,
            intermediate_size=14336,
            num_hidden_layers=1,
            num_attention_heads=32,
            num_key_value_heads=8,
            head_dim=128,
            sliding_window=4096,
            rms_norm_eps=1e-5,
            tie_word_embeddings=False,
        )
    )


def gemma2_9b() -> Any:
    """One layer of Gemma2-9B (Gemma Team 2024, arXiv 2408.00118): sandwich norms, soft caps, heads of 256."""
    return transformers.Gemma2ForCausalLM(
        transformers.Gemma2Config(
            vocab_size=VOCABULARY,
            hidden_size=3584,
            intermediate_size=14336,
            num_hidden_layers=1,
            num_attention_heads=16,
            num_key_value_heads=8,
            head_dim=256,
            query_pre_attn_scalar=256,
        )
    )


def sd15_unet() -> Any:
    """The whole UNet of Stable Diffusion 1.5 (Rombach et al. 2022, arXiv 2112.10752); the sample size is no weight."""
    import diffusers

    return diffusers.UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(320, 640, 1280, 1280),
        cross_attention_dim=768,
        attention_head_dim=8,
        layers_per_block=2,
        norm_num_groups=32,
    )


MODELS: dict[str, tuple[str, Callable[[], Any]]] = {
    "llama2-7b": ("Llama-2-7B, one layer", llama2_7b),
    "mistral-7b": ("Mistral-7B, one layer", mistral_7b),
    "gemma2-9b": ("Gemma2-9B, one layer", gemma2_9b),
    "sd15-unet": ("SD1.5 UNet, whole", sd15_unet),
}


def rows(label: str, build: Callable[[], Any], scratch: Path) -> list[str]:
    """Return the table's rows for one model."""
    found = []
    for dtype, kind in DTYPES.items():
        raw = scratch / "raw"
        torch.manual_seed(0)  # each dtype is rounded from the same float32 weights, never from another dtype
        build().to(kind).save_pretrained(raw)
        original = Checkpoint.open(raw)
        weights = sum(entry.numel for entry in original.entries.values())
        cells = [label, f"{weights / 1e6:.0f} M", dtype, f"{rounding_drift(original):.1e}"]
        for preset in PRESETS:
            target = scratch / preset
            recipe = Recipe.preset(preset)
            report = protect_folder(raw, target, recipe=recipe, key=Key(bytes(range(32))), workers=2)
            component = report.components[0]
            whole = component.model_drift if component.model_drift is not None else model_drift(original, target)
            cells.append(f"{component.block_drift:.1e} / {whole:.1e}")
            shutil.rmtree(target)
        shutil.rmtree(raw)
        found.append("| " + " | ".join(cells) + " |")
        print(found[-1], flush=True)
    return found


def main() -> None:
    """Measure, print and write down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=MODELS, action="append", help="only this model; nothing is written down")
    parser.add_argument("--scratch", type=Path, help="folder for the checkpoints, about 8 GB; removed afterwards")
    chosen = parser.parse_args()
    head = ["| model | weights | dtype | one rounding | " + " | ".join(f"{p}: block / model" for p in PRESETS) + " |"]
    head.append("|---|---:|---|---:|" + "---:|" * len(PRESETS))
    lines = list(head)
    for name in chosen.only or MODELS:
        with tempfile.TemporaryDirectory(dir=chosen.scratch, prefix="mergeguard-drift-") as scratch:
            lines += rows(*MODELS[name], Path(scratch))
    if not chosen.only:
        RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
