"""Folders of one or several models: a plain model folder, or a diffusers pipeline with its components."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from mergeguard_hub.checkpoint.document import read_document
from mergeguard_hub.checkpoint.folder import CONFIG, Checkpoint
from mergeguard_hub.checkpoint.inventory import check_folder, holds_weights, list_files, refuse_weights
from mergeguard_hub.checkpoint.paths import inside, refuse_linked_folders
from mergeguard_hub.errors import MissingFileError, UnsafePathError

PIPELINE_INDEX = "model_index.json"
# Words in the class names of components that have a config but no weights.
_WEIGHTLESS = ("Tokenizer", "Scheduler", "Processor", "FeatureExtractor")


def open_folder(root: Path, *, exclude: Sequence[str] = ()) -> dict[str, Checkpoint]:
    """Open a model folder or a diffusers pipeline.

    Args:
        root: folder with weights, or with a model_index.json.
        exclude: `fnmatch` patterns on POSIX paths relative to `root`, of files to leave out on purpose.

    Returns:
        {"": checkpoint} for a model folder; component name -> checkpoint for a pipeline, of those with weights.

    Raises:
        CheckpointError: as `Checkpoint.open`, for the folder and each component.
    """
    root = Path(root)
    check_folder(root)
    if not (root / PIPELINE_INDEX).is_file():
        return {"": Checkpoint.open(root, exclude=exclude)}
    components = {}
    for name, class_name in _component_classes(root).items():
        checkpoint = _open_component(root, name, class_name, exclude)
        if checkpoint is not None:
            components[name] = checkpoint
    if not components:
        raise MissingFileError(
            f"{root / PIPELINE_INDEX} names no component that has weights. Check that the download has finished."
        )
    pipeline_files(root, components, exclude=exclude)
    return components


def pipeline_files(root: Path, components: Iterable[str], *, exclude: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the files of a pipeline that belong to no component with weights, relative POSIX paths, sorted.

    They are model_index.json, the README, the folders of scheduler and tokenizer, and so on.

    Args:
        root: the pipeline folder.
        components: names of the components with weights, as `open_folder` returned them; () for none.
        exclude: the patterns given to `open_folder`.

    Raises:
        UnsupportedFormatError: if some of them hold weights, which copying would publish.
    """
    folders = tuple(f"{name}/" for name in components if name)
    rest = tuple(file for file in list_files(Path(root), exclude=exclude) if not file.startswith(folders))
    refuse_weights(Path(root), rest, beside="the components of the pipeline")
    return rest


def _component_classes(root: Path) -> dict[str, str]:
    """Return component name -> class name, of the components that the pipeline has."""
    label = str(root / PIPELINE_INDEX)
    classes = {}
    for name, value in read_document(root / PIPELINE_INDEX, label=label).items():
        if name.startswith("_") or not isinstance(value, list) or len(value) < 2 or value[1] is None:
            continue  # settings, and components that were left out when the pipeline was saved
        if "/" in inside(name, label=label):
            raise UnsafePathError(f"{label} names the component {name!r}, which is not the name of a folder in it.")
        refuse_linked_folders(root, f"{name}/{CONFIG}", label=label)
        classes[name] = str(value[1])
    return classes


def _open_component(root: Path, name: str, class_name: str, exclude: Sequence[str]) -> Checkpoint | None:
    folder, prefix = root / name, f"{name}/"
    if not folder.is_dir():
        raise MissingFileError(
            f"{root / PIPELINE_INDEX} names the component {name!r} ({class_name}), and there is no such folder. "
            "Download the pipeline again."
        )
    files = list_files(folder, exclude=exclude, prefix=prefix)
    weightless = CONFIG not in files or any(word in class_name for word in _WEIGHTLESS)
    if weightless and not any(holds_weights(folder, file) for file in files):
        return None
    return Checkpoint.open(folder, exclude=exclude, prefix=prefix)
