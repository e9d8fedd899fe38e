"""`push_to_hub` of a protected object: a protected save into a private folder, then `publish`."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # public, but not marked so

from mergeguard_hub.errors import HookError
from mergeguard_hub.hub.families import weight_bytes
from mergeguard_hub.hub.owner_key import project
from mergeguard_hub.hub.push import Wording, publish
from mergeguard_hub.hub.remote import Destination
from mergeguard_hub.hub.workspace import staging_folder

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo

_WHERE = ("repo_id", "revision", "branch", "create_pr", "private", "token")
_WORDING = ("commit_message", "commit_description", "tags")
_PATTERNS = ("allow_patterns", "ignore_patterns", "delete_patterns")
_OF_PUSH = frozenset({"push_to_hub", "subfolder", *_WHERE, *_WORDING, *_PATTERNS})


@dataclass(frozen=True)
class PushRequest:
    """What a call of one of the libraries asked a push for.

    Attributes:
        where: repository and branch.
        wording: message and tags.
        below: folder of the repository.
        rest: the call's other arguments, which are those of a save.
    """

    where: Destination
    wording: Wording
    below: str
    rest: dict[str, Any]


def push_request(model: Any, arguments: Mapping[str, Any]) -> PushRequest:
    """Return what a call asks for.

    Args:
        model: the object.
        arguments: of `push_to_hub`, or of `save_pretrained(push_to_hub=True)`, by name.

    Raises:
        HookError: it asks to leave files out, with which it would be no whole release.
    """
    chosen = [name for name in _PATTERNS if arguments.get(name)]
    if chosen:
        raise HookError(
            f"{chosen[0]}= does not go with a protected push: it uploads the whole release, and deletes the weights "
            "that do not belong to it. Leave it out."
        )
    where = Destination(
        repo_id=str(arguments["repo_id"]),
        revision=arguments.get("revision") or arguments.get("branch"),
        create_pr=bool(arguments.get("create_pr")),
        private=arguments.get("private"),
        token=arguments.get("token"),
    )
    tags = [*_listed(arguments.get("tags")), *_listed(getattr(model, "model_tags", None))]
    wording = Wording(
        arguments.get("commit_message"), arguments.get("commit_description"), tuple(tags), base_model(model, where)
    )
    rest = {name: value for name, value in arguments.items() if name not in _OF_PUSH}
    return PushRequest(where, wording, str(arguments.get("subfolder") or ""), rest)


def push_object(model: Any, request: PushRequest, own: Mapping[str, Any]) -> CommitInfo:
    """Save an object protected where nobody looks, and publish that.

    Args:
        model: an object whose `save_pretrained` protects.
        request: what was asked for.
        own: the arguments protection, key and base.
    """
    name = request.where.repo_id.split("/")[-1]
    with staging_folder(needed_bytes=weight_bytes(model)) as folder, project(name):
        model.save_pretrained(folder / "release", **request.rest, **own)
        done = publish(folder / "release", request.where, request.wording, below=request.below, card_is_new=True)
    return done.commit


def push_saved(folder: Path, request: PushRequest, names: Collection[str]) -> CommitInfo:
    """Publish what a save has just written to a folder of the user's, and no other file in it.

    Args:
        folder: the target of the save.
        request: what was asked for.
        names: what the save wrote, relative.
    """
    return publish(folder, request.where, request.wording, below=request.below, only=names).commit


def base_model(model: Any, where: Destination) -> tuple[str, str | None] | None:
    """Return the id and the commit of the model on the Hub that an object was loaded from, if it was.

    Args:
        model: the object.
        where: the repository that it goes to, which is no base of itself.
    """
    config = getattr(model, "config", None)
    read = config.get if isinstance(config, dict) else functools.partial(_attribute, config)
    stated, revision = read("_name_or_path"), read("_commit_hash")
    if not isinstance(stated, str) or "/" not in stated or Path(stated).exists() or stated.endswith(where.repo_id):
        return None
    try:
        validate_repo_id(stated)
    except HFValidationError:
        return None
    return stated, revision if isinstance(revision, str) else _only_commit(stated)


def _only_commit(repo_id: str) -> str | None:
    """Return the commit of a model that is in the cache, if it is the only one: transformers keeps no note of it."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repo_id, "config.json")
    if not isinstance(found, str):
        return None
    snapshots = list(Path(found).parent.parent.iterdir())
    return snapshots[0].name if len(snapshots) == 1 else None


def _attribute(config: Any, name: str) -> Any:
    return getattr(config, name, None)


def _listed(tags: str | Collection[str] | None) -> list[str]:
    return [tags] if isinstance(tags, str) else list(tags or ())
