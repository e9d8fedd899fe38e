"""A class that protects every save."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mergeguard_hub.hub.families import PLAIN
from mergeguard_hub.hub.hook import install_guards
from mergeguard_hub.hub.settings import SaveSettings

if TYPE_CHECKING:
    from mergeguard_hub.protection.key import Key
    from mergeguard_hub.protection.recipe import Recipe


class MergeGuardMixin:
    """Makes `save_pretrained` of a model class write protected weights. Put it first among the bases.

    Every save is protected unless it says `protection=False`, because a Trainer calls `save_pretrained` without
    arguments, and raw weights that were published once stay published. `mergeguard_settings` holds the class's own
    default. The call takes three keyword arguments besides the library's:

    * `protection`: True (the "exact" preset), "exact", "mergelock", "params", a `Recipe`, or False for a plain save;
    * `key`: a `Key`, or the path of a key file, which is made if it does not exist; by default one is made under the
      user's config directory, named after the target folder, and its path is logged once;
    * `base`: folder of the base model, for recipes that need one.

    The model in memory, its config and its optimizer stay as they are. The weights are first saved raw to a private
    folder (mode 0700) that is removed again; `benchmarks/hook.py` prints what that costs. It needs as much room as the
    release, and lies in MERGEGUARD_TMPDIR, else in the system's temporary directory, and never in the target or the
    folder above it.

    `push_to_hub`, and `save_pretrained(..., push_to_hub=True)`, push what such a save writes as `push_folder` does: in
    one commit, which also deletes every other weight file of the repository. The same holds where a transformers
    pipeline or a Trainer uploads the folder that the object was saved to.

    What it does *not* do:

    * It guards `save_pretrained` and nothing else. `torch.save`, `Accelerator.save_model` and the sharded checkpoints
      of FSDP and DeepSpeed write raw weights as ever.
    * It does not protect a Trainer's optimizer state. `optimizer.pt` holds moments in the basis of the raw weights: it
      helps to undo a protection, and after resuming from a protected checkpoint the moments belong to other weights
      than they are applied to. It is never pushed (with `hub_strategy` at "checkpoint" or "all_checkpoints" only the
      model is). Do not publish it in another way, and save what you mean to resume from with `protection=False` or a
      class without the mixin.
    * It does not cover an adapter that is put on the model later: PEFT saves adapters itself, unprotected.
      Pushing one is refused, also by a Trainer if `peft` was imported before the model was enabled.
    * It does not check what a subclass changes in `forward`. The release is loaded, and was proved, as the nearest
      class that the library ships.

    Example:
        class MyLlama(MergeGuardMixin, LlamaForCausalLM):
            mergeguard_settings = SaveSettings(protection="mergelock")

        MyLlama.from_pretrained("my-finetune").save_pretrained("out", key="~/keys/my-finetune.mgkey")
    """

    mergeguard_settings: SaveSettings = SaveSettings()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Guard the methods of a new class through which weights leave it."""
        if PLAIN not in vars(cls):  # a class made by `enable` has inherited what its bases set up for themselves
            super().__init_subclass__(**kwargs)
        install_guards(cls)

    if TYPE_CHECKING:

        def save_pretrained(
            self,
            save_directory: str | os.PathLike[str],
            *args: Any,
            protection: bool | str | Recipe | None = None,
            key: Key | str | Path | None = None,
            base: str | Path | None = None,
            **kwargs: Any,
        ) -> Any:
            """Save protected; the other arguments are the library's own."""
