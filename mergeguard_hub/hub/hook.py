"""The guard around `save_pretrained`: raw weights to a private folder, protected weights to the target."""

from __future__ import annotations

import functools
import inspect
import logging
import os
import shutil
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mergeguard_hub.errors import HookError
from mergeguard_hub.hub.families import SETTINGS, family_of, parts, upstream_class, weight_bytes
from mergeguard_hub.hub.live import live_proof
from mergeguard_hub.hub.origin import bring_record
from mergeguard_hub.hub.outgoing import push_object, push_request, push_saved
from mergeguard_hub.hub.owner_key import is_checkpoint_of, is_trainer_checkpoint, owners_key
from mergeguard_hub.hub.refusals import check_arguments, check_model, refuse_push
from mergeguard_hub.hub.rename import name_upstream
from mergeguard_hub.hub.settings import SaveSettings
from mergeguard_hub.hub.upstream import forget, remember, watch_uploads
from mergeguard_hub.hub.workspace import raw_folder, shielded_configs

if TYPE_CHECKING:
    from mergeguard_hub.protection.key import Key
    from mergeguard_hub.protection.recipe import Recipe

_logger = logging.getLogger("mergeguard_hub")
_Method = Callable[..., Any]
_MARK = "__mergeguard__"
_CHECKPOINT = (
    "%s holds protected weights. Do not resume training from it: a Trainer's optimizer state belongs to the raw "
    "weights and does not fit them. Nor may load_best_model_at_end load it: the final save would protect it twice, and "
    "its key would not undo that. Use MergeGuardCallback, and never publish the optimizer state."
)
_OWN = tuple(
    inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
    for name, annotation in (
        ("protection", "bool | str | Recipe | None"),
        ("key", "Key | str | Path | None"),
        ("base", "str | Path | None"),
    )
)

# The private folder that a protected save is filling; what is saved below it is not protected on its own.
_raw: ContextVar[Path | None] = ContextVar("mergeguard_raw", default=None)
# Objects that are being saved with protection=False, which holds for the upload that may follow.
_plainly: ContextVar[frozenset[int]] = ContextVar("mergeguard_plainly", default=frozenset())


def install_guards(model_class: type) -> None:
    """Guard the methods of a class through which weights leave it; those that are guarded already are left alone."""
    guards = {
        "save_pretrained": guard_save,
        "push_to_hub": guard_push,
        "_upload_modified_files": guard_upload,  # transformers
        "_upload_folder": guard_upload,  # diffusers
    }
    for name, guard in guards.items():
        original = getattr(model_class, name, None)
        if original is not None and getattr(original, _MARK, None) is not original:
            setattr(model_class, name, guard(original))
    watch_uploads()


def guard_save(original: _Method) -> _Method:
    """Return `original` with the keyword arguments protection, key and base, and its own signature otherwise."""
    signature = inspect.signature(original)

    @functools.wraps(original)
    def save_pretrained(
        self: Any,
        save_directory: str | os.PathLike[str],
        *args: Any,
        protection: bool | str | Recipe | None = None,
        key: Key | str | Path | None = None,
        base: str | Path | None = None,
        **kwargs: Any,
    ) -> Any:
        outer = _raw.get()
        if outer is not None and Path(save_directory).resolve().is_relative_to(outer):
            return original(self, save_directory, *args, **kwargs)
        settings: SaveSettings = getattr(self, SETTINGS).overridden(protection, key, base)
        arguments = _by_name(signature, (self, save_directory, *args), kwargs)
        to_resume = not arguments.get("push_to_hub") and is_checkpoint_of(settings.checkpoints, Path(save_directory))
        if not settings.protects or (protection is None and (to_resume or id(self) in _plainly.get())):
            if to_resume:
                from mergeguard_hub.checkpoint import SIDECAR

                (Path(save_directory) / SIDECAR).unlink(missing_ok=True)  # of an earlier run, without the callback
            forget(Path(save_directory))
            return _save_plainly(original, self, save_directory, *args, **kwargs)
        check_model(self)
        check_arguments(arguments)
        target, push = Path(save_directory), None
        if arguments.get("push_to_hub"):
            push = push_request(self, {"repo_id": target.name, **arguments})
            args, kwargs = (), push.rest
        write = functools.partial(_call_with, original, self, type(save_directory), args, kwargs)
        result, names = _save_protected(self, target, settings, arguments, write)
        return push_saved(target, push, names) if push is not None and names else result

    return _marked(save_pretrained, __signature__=_extended(signature))


def guard_push(original: _Method) -> _Method:
    """Return `original`, pushing a protected save instead; it takes protection, key and base as a save does."""
    signature = inspect.signature(original)

    @functools.wraps(original)
    def push_to_hub(
        self: Any,
        *args: Any,
        protection: bool | str | Recipe | None = None,
        key: Key | str | Path | None = None,
        base: str | Path | None = None,
        **kwargs: Any,
    ) -> Any:
        if _raw.get() is not None:
            refuse_push()
        settings: SaveSettings = getattr(self, SETTINGS).overridden(protection, key, base)
        if not settings.protects or (protection is None and id(self) in _plainly.get()):
            return _save_plainly(original, self, *args, **kwargs)
        arguments = _by_name(signature, (self, *args), kwargs)
        check_model(self)
        own = {"protection": protection, "key": key, "base": base}
        return push_object(self, push_request(self, arguments), own)

    return _marked(push_to_hub, __signature__=_extended(signature))


def guard_upload(original: _Method) -> _Method:
    """Return `original`, refusing while raw weights are being written: a subclass may have asked for a push itself."""

    @functools.wraps(original)
    def upload(self: Any, *args: Any, **kwargs: Any) -> Any:
        if _raw.get() is not None:
            refuse_push()
        return original(self, *args, **kwargs)

    return _marked(upload)


def _marked(guard: _Method, **attributes: Any) -> _Method:
    vars(guard).update(attributes, **{_MARK: guard})  # itself: functools.wraps copies attributes to other functions
    return guard


def _by_name(signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call by their names, but for the object itself and the target of a save."""
    bound = signature.bind(*args, **kwargs).arguments
    extra = {name for name, parameter in signature.parameters.items() if parameter.kind is parameter.VAR_KEYWORD}
    return {
        name: value for name, value in {**bound, **kwargs}.items() if name not in {"self", "save_directory", *extra}
    }


def _save_plainly(original: _Method, model: Any, *args: Any, **kwargs: Any) -> Any:
    token = _plainly.set(_plainly.get() | {id(model)})
    try:
        return original(model, *args, **kwargs)
    finally:
        _plainly.reset(token)


def _call_with(
    original: _Method, model: Any, kind: type, args: tuple[Any, ...], kwargs: dict[str, Any], folder: Path
) -> Any:
    """Run the library's save into `folder`, given in the form (text or path) in which the caller gave the target."""
    token = _raw.set(folder)
    try:
        return original(model, str(folder) if issubclass(kind, str) else folder, *args, **kwargs)
    finally:
        _raw.reset(token)


def _save_protected(
    model: Any, target: Path, settings: SaveSettings, arguments: dict[str, Any], write: Callable[[Path], Any]
) -> tuple[Any, frozenset[str]]:
    """Return what the library's save returned, and the files that were written; none by any process but the writer."""
    if target.is_file():
        raise HookError(f"The target {target} is a file; give the name of a folder.")
    from mergeguard_hub.checkpoint.target import check_target

    place = check_target(target, (), replace=True)  # resolved now: the current folder may be another one afterwards
    recipe = settings.resolved_recipe()
    if not _is_writer(model, arguments):
        with raw_folder(target, needed_bytes=weight_bytes(model)) as raw, shielded_configs(model):
            return write(raw), frozenset()
    with owners_key(target, settings) as key, raw_folder(target, needed_bytes=weight_bytes(model)) as raw:
        family = family_of(model)
        if family == "hub mixin" and (target / "README.md").is_file():
            shutil.copyfile(target / "README.md", raw / "README.md")  # huggingface_hub keeps a card that is there
        with shielded_configs(model):
            result = write(raw)
        name_upstream(raw, model)
        bring_record(raw, model, target)
        names = frozenset(path.relative_to(raw).as_posix() for path in raw.rglob("*") if path.is_file())
        from mergeguard_hub.release import protect_folder  # loads the machinery only when something is saved
        from mergeguard_hub.training.note import NOTE

        architecture = upstream_class(type(model)).__name__ if family == "transformers" else None
        report = protect_folder(
            raw,
            target,
            recipe=recipe,
            key=key,
            base=settings.base,
            replace=True,
            architecture=architecture,
            training={name: vars(part)[NOTE] for name, part in parts(model) if NOTE in vars(part)},
            proof=live_proof(model, raw, settings.example_inputs) if family == "hub mixin" else None,
        )
    remember(place)
    if is_trainer_checkpoint(target):
        _logger.warning(_CHECKPOINT, target)
    _logger.info("Saved %s protected (recipe %s, %s).", target, report.recipe, report.digest)
    return result, names


def _is_writer(model: Any, arguments: dict[str, Any]) -> bool:
    """Whether this process writes; the others take part in gathering the weights and write nothing to the target."""
    main = bool(arguments.get("is_main_process", True))
    decide = getattr(model, "should_save_on_this_rank", None)
    return bool(decide(main)) if callable(decide) else main


def _extended(signature: inspect.Signature) -> inspect.Signature:
    """Return a signature with our keyword arguments before its `**kwargs`."""
    listed = list(signature.parameters.values())
    own = [parameter for parameter in _OWN if parameter.name not in signature.parameters]
    rest = [listed.pop()] if listed and listed[-1].kind is inspect.Parameter.VAR_KEYWORD else []
    return signature.replace(parameters=[*listed, *own, *rest])
