"""Uploads that the libraries make themselves: of a folder into which a protected save has just written.

A transformers pipeline saves its model and uploads the folder; a Trainer saves checkpoints and uploads its output
directory in the background. Neither asks the model. So the two places where transformers hands a folder to the Hub look
here whether the folder holds a protected save, and if so it goes up as `publish` does it. Any other folder goes the old
way.
"""

from __future__ import annotations

import functools
import json
import logging
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mergeguard_hub.errors import HookError, MergeGuardError
from mergeguard_hub.hub.adapters import refuse_adapter, refuse_adapter_folder, watch_adapters
from mergeguard_hub.hub.contents import NEVER
from mergeguard_hub.hub.families import loaded_class
from mergeguard_hub.hub.owner_key import project
from mergeguard_hub.hub.push import Wording, publish
from mergeguard_hub.hub.remote import Destination
from mergeguard_hub.hub.workspace import staging_folder
from mergeguard_hub.release.claims import CLAIM_KEYS
from mergeguard_hub.release.sidecar import SIDECAR, read_sidecar

_logger = logging.getLogger("mergeguard_hub")
_TRAINER = "transformers.trainer"
_MARK = "__mergeguard_upstream__"
_saved: set[Path] = set()  # every target of a protected save of this process


def remember(target: Path) -> None:
    """Note that a folder holds a protected save, before anything can upload it."""
    _saved.add(target.resolve())
    watch_uploads()


def forget(target: Path) -> None:
    """Note that a folder is to hold a plain save from now on."""
    _saved.discard(target.resolve())


def watch_uploads() -> None:
    """Look at what transformers uploads, wherever it is loaded by now."""
    mixin: Any = loaded_class("transformers.utils.hub", "PushToHubMixin")
    upload = getattr(mixin, "_upload_modified_files", None)
    if upload is not None and not hasattr(upload, _MARK):
        mixin._upload_modified_files = _marked(_dispatched(upload))
    diffusion: Any = loaded_class("diffusers.utils.hub_utils", "PushToHubMixin")
    if diffusion is not None and not hasattr(diffusion._upload_folder, _MARK):
        diffusion._upload_folder = _marked(_whole_only(diffusion._upload_folder))
    trainer: Any = sys.modules.get(_TRAINER)
    for name, guard in (("hf_api", _api_of), ("upload_folder", _function_of)):  # which of them depends on the version
        original = getattr(trainer, name, None)
        if original is not None and not hasattr(original, _MARK):
            setattr(trainer, name, _marked(guard(original)))
    # A pipeline has a copy of the mixin's function; a key that is made inside is named after the repository.
    pipeline: Any = loaded_class("transformers.pipelines.base", "Pipeline")
    if pipeline is not None and not hasattr(pipeline.push_to_hub, _MARK):
        pipeline.push_to_hub = _marked(_named(pipeline.push_to_hub))
    watch_adapters(watch_uploads)


def _marked(function: Callable[..., Any]) -> Callable[..., Any]:
    setattr(function, _MARK, True)
    return function


def _named(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def push_to_hub(self: Any, repo_id: str, *args: Any, **kwargs: Any) -> Any:
        with project(str(repo_id).split("/")[-1]):
            return original(self, repo_id, *args, **kwargs)

    return push_to_hub


def _dispatched(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def _upload_modified_files(self: Any, working_dir: Any, repo_id: str, *args: Any, **kwargs: Any) -> Any:
        folder = Path(working_dir).resolve()
        if folder not in _saved:
            refuse_adapter(self)
            return original(self, working_dir, repo_id, *args, **kwargs)
        where = Destination(repo_id, kwargs.get("revision"), bool(kwargs.get("create_pr")), token=kwargs.get("token"))
        wording = Wording(kwargs.get("commit_message"), kwargs.get("commit_description"))
        return publish(folder, where, wording, card_is_new=True).commit

    return _upload_modified_files


def _whole_only(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def _upload_folder(self: Any, working_dir: Any, *args: Any, **kwargs: Any) -> Any:
        folder = Path(working_dir).resolve()
        part = next((saved.name for saved in _saved if folder in saved.parents), None)
        if part is not None:
            raise HookError(
                f"Only the component {part!r} of this {type(self).__name__} is saved protected, and the library's push "
                "would leave older weights of it in the repository. Call enable() on the pipeline itself."
            )
        return original(self, working_dir, *args, **kwargs)

    return _upload_folder


def _api_of(original: Callable[[], Any]) -> Callable[[], Any]:
    @functools.wraps(original)
    def hf_api() -> Any:
        return TrainerApi(original())

    return hf_api


def _function_of(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def upload_folder(**options: Any) -> Any:
        from huggingface_hub import HfApi

        client = SimpleNamespace(upload_folder=original, run_as_future=HfApi().run_as_future)
        return TrainerApi(client).upload_folder(**options)

    return upload_folder


class TrainerApi:
    """A Trainer's Hub client, whose upload of a folder with protected weights is a safe push."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def upload_folder(self, *, repo_id: str, folder_path: Any, **options: Any) -> Any:
        """Upload a Trainer's output directory, or leave a checkpoint that is meant for resuming where it is."""
        folder = Path(folder_path).resolve()
        refuse_adapter_folder(folder)
        if not any(folder in (saved, saved.parent) for saved in _saved):
            return self._client.upload_folder(repo_id=repo_id, folder_path=folder_path, **options)
        background = bool(options.get("run_as_future"))
        if options.get("path_in_repo") is not None:
            _logger.warning(
                "%s was not uploaded: a checkpoint for resuming holds the optimizer state, which helps to undo the "
                "protection. The model itself was. Leave hub_strategy at 'every_save' or 'end'.",
                folder,
            )
            return _finished() if background else None
        stage = staging_folder(needed_bytes=sum(file.stat().st_size for file in folder.glob("*") if file.is_file()))
        place = stage.__enter__()
        try:
            _copy(folder, place / "release")
        except BaseException:
            stage.__exit__(*sys.exc_info())
            raise
        where = Destination(repo_id, options.get("revision"), token=options.get("token"))
        push = functools.partial(_push_and_remove, place / "release", where, options.get("commit_message"), stage)
        return self._client.run_as_future(push) if background else push()


def _push_and_remove(release: Path, where: Destination, message: str | None, stage: Any) -> Any:
    try:
        return publish(release, where, Wording(message)).commit
    except MergeGuardError as error:
        _logger.error("%s", error)  # a Trainer never looks at what became of a background upload
        raise
    finally:
        stage.__exit__(None, None, None)


def _copy(folder: Path, release: Path) -> None:
    """Copy what may go up, so that training can go on; with the record of the checkpoint that the weights are of."""
    patterns = [pattern.rstrip("/") for pattern in NEVER]
    shutil.copytree(folder, release, ignore=shutil.ignore_patterns("_*", *patterns))
    claimed = _claimed_id(release / "config.json")
    for place in (folder, *sorted(saved for saved in _saved if saved.parent == folder)):
        try:
            record = read_sidecar(place)
        except MergeGuardError:
            continue
        if record is not None and record["id"] == claimed:
            shutil.copyfile(place / SIDECAR, release / SIDECAR)
            return


def _claimed_id(config: Path) -> str | None:
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    claims = [content[name] for name in CLAIM_KEYS if isinstance(content.get(name), dict)]
    return str(claims[0].get("id")) if claims else None


def _finished() -> Future[None]:
    done: Future[None] = Future()
    done.set_result(None)
    return done
