"""Models of the Hub in place of the zoo's, where there is a GPU for them: fetched, protected and merged for one run."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from mergeguard_hub import protect_folder
from mergeguard_hub.audit.model_folder import ModelFolder, tuned_components
from mergeguard_hub.hub.source import local_folder
from mergeguard_hub.merging import MergeMethod, merge_folders
from space.choice import ChoiceError, checked_text
from space.gpu import other_models_welcome
from space.release import DEMO_KEY, workspace
from space.shelf import BASE, HARDENED, PROTECTIONS

PIPELINE_FILES = ("*.json", "*/*.json", "*/*.txt", "*/*.model", "*/model*.safetensors", "*/diffusion*.safetensors")
"""What is fetched of a diffusers pipeline: single-file copies of all weights, for one, lie beside its components."""
MODEL_FILES = ("*.json", "*.txt", "*.model", "*.jinja", "*.safetensors")
"""What is fetched of a model of transformers."""

LARGEST_BYTES = 20 * 2**30  # of one model, our choice: a pipeline of SD1.5 in 32 bit has 5
_VARIANTS = ("*.fp16.*", "*.bf16.*", "*.non_ema.*", "*.fp16-*", "*.bf16-*", "*.non_ema-*")
_REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)


@dataclass(frozen=True)
class OtherModels:
    """A defender, a partner and their base, as folders, and what is made of them in this run.

    Attributes:
        folders: "base", "defender" and "partner"; "protected", "control" and "merged" once they are asked for.
        place: the run's own folder.
        protection: name of a preset.
        method: how defender and partner are merged.
    """

    folders: dict[str, Path]
    place: Path
    protection: str
    method: MergeMethod
    _device: str = field(default_factory=lambda: "cuda" if torch.cuda.is_available() else "cpu")

    def folder(self, column: str) -> Path:
        """Return the folder of a model; a release or merge is made when it is first asked for.

        Args:
            column: the name of one of `COLUMNS`, or "base".
        """
        if column not in self.folders:
            target = self.place / column
            if column == "protected":
                own, base = self.folders["defender"], self.folders[BASE]
                protect_folder(own, target, recipe=self.protection, key=DEMO_KEY, base=base)
            else:
                own = self.folder("defender" if column == "control" else "protected")
                models = [own, self.folders["partner"]]
                merge_folders(self.method, base=self.folders[BASE], models=models, target=target, force=True)
                self._take_back_from_base(target)
            self.folders[column] = target
        return self.folders[column]

    def _take_back_from_base(self, merged: Path) -> None:
        """Give a merge the components that no fine-tuning changed, an autoencoder for one, as any free-rider can."""
        base, partner = (ModelFolder(self.folders[who]) for who in (BASE, "partner"))
        for part in base.components.keys() - set(tuned_components(base, partner)):
            shutil.copytree(base.path / part, merged / part, dirs_exist_ok=True)

    def load(self, column: str) -> Any:
        """Load a model with the plain classes, in float32, on the GPU if there is one; nothing keeps it."""
        model = ModelFolder(self.folder(column)).load()
        getattr(model, "model", model).to(self._device)  # a `LanguageModel` has its module inside
        return model


@contextmanager
def other_models(
    ids: dict[str, str], *, protection: str, method: MergeMethod, files: Sequence[str]
) -> Iterator[OtherModels]:
    """Fetch models of the Hub, without anybody's access token; what is made of them is removed at the end.

    Args:
        ids: "defender", "partner" and "base": repositories on the Hub.
        protection: name of a preset.
        method: how defender and partner are merged.
        files: patterns of what is fetched, `PIPELINE_FILES` or `MODEL_FILES`. Pickled weights never are.

    Raises:
        ChoiceError: there is no GPU or no network here, something is not offered, or a model needs code of its own.
        MergeGuardError: a model cannot be fetched, protected or merged.
    """
    if not other_models_welcome():
        raise ChoiceError("Other models need a GPU and the network, and this page has not got both: use the shelf's.")
    if protection not in PROTECTIONS or protection == HARDENED:
        raise ChoiceError("Only exact, mergelock and params can be applied to a model that is trained already.")
    checked = {who: checked_id(ids.get(who), who) for who in ("defender", "partner", BASE)}
    if len(set(checked.values())) < len(checked):
        raise ChoiceError("Defender, partner and base are three different models: two of them have the same id.")
    folders = {who: _fetched(name, files) for who, name in checked.items()}
    with tempfile.TemporaryDirectory(prefix="other-", dir=workspace()) as place:
        yield OtherModels(folders, Path(place), protection, method)


def checked_id(text: object, what: str) -> str:
    """Return the id of a repository, "owner/name".

    Raises:
        ChoiceError: it is none, or the name of something on this machine, where a folder would win over the Hub.
    """
    name = checked_text(text, f"id of the {what}")
    if not _REPOSITORY.fullmatch(name) or ".." in name or Path(name).exists():
        raise ChoiceError(f"{name[:80]!r} is not the id of a model on the Hub: those read owner/name.")
    return name


def _fetched(name: str, files: Sequence[str]) -> Path:
    folder = local_folder(name, token=False, quiet=True, only=files, ignore=_VARIANTS, most_bytes=LARGEST_BYTES)
    refuse_code(folder, name)
    return folder


def refuse_code(folder: Path, name: str) -> None:
    """Refuse a model that comes with code of its own.

    Args:
        folder: of the model.
        name: what it is called in the message.

    Raises:
        ChoiceError: a configuration names classes of the repository.
    """
    for config in sorted(folder.rglob("*.json")):
        if config.name in ("config.json", "tokenizer_config.json") and "auto_map" in _read(config):
            raise ChoiceError(f"{name} needs code of its own ({config.name}: auto_map), and none is ever run here.")


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError:  # whoever needs the file says what is wrong with it
        return {}
