"""A visitor's model: received from the Hub or as files, and gone when the run is over."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mergeguard_hub.hub.source import local_folder
from space.choice import ChoiceError
from space.other_models import checked_id, refuse_code
from space.release import workspace

LARGEST_BYTES = 512 * 2**20  # of a visitor's model; protecting takes a second or two for it (our choice)
TAKEN = (".safetensors", ".json", ".txt", ".model", ".jinja")
_PICKLED = (".bin", ".ckpt", ".h5", ".msgpack", ".pickle", ".pkl", ".pt", ".pth")
_ARCHIVES = (".7z", ".gz", ".rar", ".tar", ".tgz", ".xz", ".zip")
_WANTED = "upload model.safetensors and config.json, with the tokenizer's files if it has any"


@contextmanager
def received(repository: str, files: Sequence[str] | None) -> Iterator[Path]:
    """Give the folder of a visitor's model.

    Args:
        repository: id of a model on the Hub, or empty.
        files: paths of uploaded files, or none. No code in them is ever run, nothing pickled is opened, and archives
            are not unpacked.

    Raises:
        ChoiceError: there is neither or both, or a file is not taken.
        MergeGuardError: the model cannot be fetched.
    """
    asked = repository.strip() if isinstance(repository, str) else ""
    if bool(asked) == bool(files):
        raise ChoiceError(f"Give either the id of a model on the Hub or files: {_WANTED}.")
    if asked:
        # Nobody's token: a visitor sees what everybody may see, and nothing of whoever runs this page.
        folder = local_folder(checked_id(asked, "model"), token=False, quiet=True, most_bytes=LARGEST_BYTES)
        refuse_code(folder, asked)
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="yours-", dir=workspace()) as place:
        gather([Path(file) for file in files or ()], Path(place))
        refuse_code(Path(place), "the uploaded model")
        yield Path(place)


def gather(files: Sequence[Path], place: Path) -> None:
    """Bring uploaded files together in a folder.

    Raises:
        ChoiceError: one is of a kind that is not taken, two have one name, or they are too large.
    """
    total = sum(file.stat().st_size for file in files)
    if total > LARGEST_BYTES:
        raise ChoiceError(f"The files have {total >> 20:,} MB, and at most {LARGEST_BYTES >> 20} MB are taken here.")
    for file in files:
        _check_kind(file.name)
        target = place / file.name
        if target.exists():
            raise ChoiceError(f"Two files are called {file.name[:80]!r}: upload each once.")
        try:
            os.link(file, target)
        except OSError:  # another disk
            shutil.copyfile(file, target)


def _check_kind(name: str) -> None:
    shown = repr(name[:80])
    suffix = Path(name).suffix.lower()
    if suffix in _PICKLED:
        raise ChoiceError(f"{shown} is not taken: such files can hold code, and are never opened here; {_WANTED}.")
    if suffix in _ARCHIVES:
        raise ChoiceError(f"{shown} is an archive, and none is unpacked here; {_WANTED}.")
    if suffix not in TAKEN or name.startswith("."):
        raise ChoiceError(f"{shown} is not taken; {_WANTED}.")
