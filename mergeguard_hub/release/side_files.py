"""Everything of a release that is not weights: configurations with their claim, tokenizers, cards, pipeline files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from mergeguard_hub.checkpoint import Checkpoint, StagedFolder, patterns_of, pipeline_files
from mergeguard_hub.errors import KeyFileError
from mergeguard_hub.release.claims import CLAIM_KEYS, claim_key, claim_of
from mergeguard_hub.release.config_text import with_member, with_value, without_members
from mergeguard_hub.release.sidecar import LEFT_OUT

CONFIG = "config.json"
_KEY_SUFFIX = ".mgkey"
_KEY_FORMAT = "mergeguard-key"
_KEY_BYTES = 16 << 10  # more than any key file has


def side_files(source: Path, components: Mapping[str, Checkpoint], *, exclude: Sequence[str] = ()) -> dict[str, Path]:
    """Return relative path -> file, of everything that a release copies beside weights.

    Args:
        source: the folder.
        components: the same, opened.
        exclude: patterns of files to leave out.

    Raises:
        KeyFileError: one of them is a key, which would be published.
    """
    found = {
        f"{name}/{file}" if name else file: checkpoint.root / file
        for name, checkpoint in components.items()
        for file in checkpoint.side_files
    }
    if set(components) != {""}:
        found |= {
            file: source / file
            for file in pipeline_files(source, components, exclude=(*patterns_of(exclude), *LEFT_OUT))
        }
    key = next((relative for relative, path in found.items() if _is_key(path)), None)
    if key is not None:
        raise KeyFileError(
            f"{source} holds the key file {key}, and everything in that folder is copied and published. Move the key "
            "to where only you can read it."
        )
    return found


def copy_side_files(
    files: Mapping[str, Path], components: Mapping[str, Checkpoint], staged: StagedFolder, texts: Mapping[str, str]
) -> None:
    """Copy files into a staged folder, with other texts for some configurations.

    Args:
        files: as `side_files` returned them.
        components: the opened folder that they are from.
        staged: where they go.
        texts: component name -> text of its config.json.
    """
    own = {f"{name}/{CONFIG}" if name else CONFIG: text for name, text in texts.items() if name in components}
    for relative, path in files.items():
        if relative in own:
            staged.write_text(relative, own[relative])
        else:
            staged.copy_file(path, relative)


def config_texts(components: Mapping[str, Checkpoint]) -> dict[str, str]:
    """Return component name -> text of its config.json with the line ends that it has, where there is one.

    Args:
        components: an opened folder.
    """
    return {
        name: (checkpoint.root / CONFIG).read_bytes().decode("utf-8")
        for name, checkpoint in components.items()
        if CONFIG in checkpoint.side_files
    }


def released_texts(
    texts: Mapping[str, str],
    components: Mapping[str, Checkpoint],
    claimed: Mapping[str, str],
    *,
    release: str,
    architecture: str | None,
) -> dict[str, str]:
    """Return every config.json as a release has it, every byte that says something else as it was.

    Args:
        texts: component name -> text of its original config.json.
        components: the opened folder.
        claimed: component name -> digest of its weights, for the claim; those that are not protected claim nothing.
        release: digest of the whole release.
        architecture: class name in place of the one that is there.
    """
    found = {}
    for name, text in texts.items():
        config = components[name].config
        text = without_members(text, CLAIM_KEYS)
        if architecture is not None and config.get("architectures") not in (None, [], [architecture]):
            text = with_value(text, "architectures", [architecture])
        key = claim_key(config)
        if key is not None and name in claimed:
            text = with_member(text, key, claim_of(claimed[name], release))
        found[name] = text
    return found


def unclaimed_text(text: str) -> str:
    """Return a released config.json without its claim.

    Args:
        text: as `released_texts` returned it.
    """
    return without_members(text, CLAIM_KEYS)


def _is_key(path: Path) -> bool:
    if path.suffix == _KEY_SUFFIX:
        return True
    if path.stat().st_size > _KEY_BYTES or _KEY_FORMAT.encode() not in (text := path.read_bytes()):
        return False
    try:
        content = json.loads(text)
    except ValueError:
        return False
    return isinstance(content, dict) and content.get("format") == _KEY_FORMAT
