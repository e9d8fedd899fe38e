"""Protected releases of the zoo's models, made by the library itself when they are first asked for."""

from __future__ import annotations

import atexit
import hashlib
import shutil
import tempfile
import threading
from collections import defaultdict
from pathlib import Path

from transformers import ViTForImageClassification

from mergeguard_hub import Key, protect_folder
from space.shelf import BASE, HARDENED, SHELVES
from space.zoo.vision.family import load_model

# The page's numbers are the same at every start because this key is. A publisher's key is secret: Key.generate().
DEMO_KEY = Key(hashlib.sha256(b"key of the mergeguard_hub demonstration; everybody knows it").digest())

_one_at_a_time: defaultdict[Path, threading.Lock] = defaultdict(threading.Lock)
_workspace: list[Path] = []
_making_workspace = threading.Lock()


def release(name: str, *, family: str = "vision", protection: str = "exact") -> Path:
    """Return the folder of a model's protected release; it lasts until the program ends.

    Args:
        name: a model of the family, for example "digits".
        family: a key of `SHELVES`.
        protection: name of a preset, or `HARDENED` for the model that was hardened in training, protected exactly.
    """
    source = source_of(name, family=family, protection=protection)
    folder = workspace() / f"{family}-{name}-{protection}"
    with _one_at_a_time[folder]:
        if not folder.exists():  # it appears whole or not at all
            recipe = "exact" if protection == HARDENED else protection
            protect_folder(source, folder, recipe=recipe, key=DEMO_KEY, base=SHELVES[family].folder(BASE))
    return folder


def source_of(name: str, *, family: str, protection: str) -> Path:
    """Return the folder that a release is made from: the model's, or that of the one hardened in training."""
    shelf = SHELVES[family]
    source = shelf.hardened(name) if protection == HARDENED else shelf.folder(name)
    if source is None:
        raise FileNotFoundError(f"The zoo holds no hardened {name} of the family {family}.")
    return source


def load_release(name: str, *, protection: str = "exact") -> ViTForImageClassification:
    """Load a protected release of the vision family as anybody would: with the plain class."""
    return load_model(release(name, protection=protection))


def workspace() -> Path:
    """Return a folder for what is made while the program runs; it goes when the program ends."""
    with _making_workspace:
        if not _workspace:
            _workspace.append(Path(tempfile.mkdtemp(prefix="mergeguard-space-")))
            atexit.register(shutil.rmtree, _workspace[0], ignore_errors=True)
    return _workspace[0]
