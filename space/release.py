"""Protected releases of the family, made by the library's own `save_pretrained` when they are first asked for."""

from __future__ import annotations

import atexit
import hashlib
import shutil
import tempfile
from functools import cache
from pathlib import Path

from transformers import ViTForImageClassification

from mergeguard_hub import Key, MergeGuardMixin
from space.zoo.vision.family import WEIGHTS, load_model

# The page's numbers are the same at every start because this key is. A publisher's key is secret: Key.generate().
DEMO_KEY = Key(hashlib.sha256(b"key of the mergeguard_hub demonstration; everybody knows it").digest())


class ProtectedViT(MergeGuardMixin, ViTForImageClassification):
    """A vision transformer whose saves are protected."""


@cache
def release(name: str, *, protection: str = "exact") -> Path:
    """Return the folder of a model's protected release; it lasts until the program ends.

    Args:
        name: a model of the vision family, for example "digits".
        protection: name of a preset.
    """
    folder = _workspace() / f"{name}-{protection}"
    model = ProtectedViT.from_pretrained(WEIGHTS / name)
    model.save_pretrained(folder, protection=protection, key=DEMO_KEY, base=WEIGHTS / "base")
    return folder


@cache
def load_release(name: str, *, protection: str = "exact") -> ViTForImageClassification:
    """Load a protected release as anybody would: with the plain class, which knows nothing of protection."""
    return load_model(release(name, protection=protection))


@cache
def _workspace() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="mergeguard-releases-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
