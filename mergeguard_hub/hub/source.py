"""Where a model comes from: a folder on this machine, or a model repository on the Hub."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from mergeguard_hub.errors import DownloadSizeError, MissingFileError

OTHER_WEIGHTS = (
    "*.bin",
    "*.ckpt",
    "*.gguf",
    "*.h5",
    "*.msgpack",
    "*.onnx",
    "*.onnx_data",
    "*.ot",
    "*.pt",
    "*.pth",
    "*.tflite",
    "consolidated*.safetensors",
)  # copies of the weights in forms that are never read here; they can double a download


def local_folder(
    source: str | Path,
    *,
    revision: str | None = None,
    token: str | Literal[False] | None = None,
    quiet: bool = False,
    only: Sequence[str] | None = None,
    ignore: Sequence[str] = (),
    most_bytes: int | None = None,
) -> Path:
    """Return a folder on this machine that holds `source`, downloading it from the Hub if it is a model id.

    A path that exists always wins over a model of the same name. A download goes to the Hub cache, where a second call
    finds it again; weights in other formats than safetensors (`OTHER_WEIGHTS`) are left on the Hub.

    Args:
        source: a path, or a Hub id such as "gpt2" or "org/model".
        revision: branch, tag or commit on the Hub; the main branch by default.
        token: access token for private and gated models; by default the one that `hf auth login` stored. False: none.
        quiet: show no download bars, unless HF_HUB_DISABLE_PROGRESS_BARS says otherwise.
        only: `fnmatch` patterns of the files to fetch; by default all but `OTHER_WEIGHTS`, which are never fetched.
        ignore: patterns of files to leave on the Hub besides.
        most_bytes: size of these files above which nothing is fetched; by default there is no limit.

    Raises:
        MissingFileError: there is no such path, and no such model that can be fetched.
        DownloadSizeError: the model is larger than `most_bytes`.
    """
    if not str(source):
        raise MissingFileError("The source is empty. Give a folder or a model id; was a shell variable unset?")
    path = Path(source).expanduser()
    if path.exists():
        return path
    # Imported late: the command line answers --help without it.
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # public, but not marked so

    try:
        validate_repo_id(str(source))
    except HFValidationError:
        raise MissingFileError(
            f"There is no folder {path}, and {str(source)!r} cannot be a model on the Hub either (those are named "
            "'model' or 'owner/model'); check the path for a typing error."
        ) from None
    with transfer_bars(hidden=quiet):
        wanted = {"allow_patterns": only, "ignore_patterns": [*OTHER_WEIGHTS, *ignore]}
        return _fetch(str(source), revision, most_bytes, {"token": token, **wanted})


def _fetch(repo_id: str, revision: str | None, most_bytes: int | None, settings: dict[str, Any]) -> Path:
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    wanted = f"{repo_id!r} at revision {revision!r}" if revision else repr(repo_id)
    try:
        if most_bytes is not None:
            _check_size(repo_id, most_bytes, revision=revision, **settings)
        return Path(snapshot_download(repo_id, revision=revision, **settings))
    except GatedRepoError:
        reason = "is gated; ask for access on its page, then log in with `hf auth login`"
    except RepositoryNotFoundError:
        reason = "is not there, or private; check the name, or log in with `hf auth login`"
    except RevisionNotFoundError:
        reason = "is not there; check the revision"
    except LocalEntryNotFoundError:
        reason = (
            "could not be fetched because the Hub cannot be reached from here, and it is not in the cache; "
            "check the connection and HF_HUB_OFFLINE"
        )
    except HfHubHTTPError as error:
        reason = f"could not be fetched (HTTP status {error.response.status_code}); try again later"
    raise MissingFileError(
        f"There is no folder {repo_id!r} here, and the model {wanted} on {constants.ENDPOINT} {reason}."
    )


def _check_size(repo_id: str, most_bytes: int, **settings: Any) -> None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import DryRunError

    try:
        size = sum(file.file_size for file in snapshot_download(repo_id, dry_run=True, **settings))
    except DryRunError:  # nothing can be listed, nor fetched; the download itself tells why
        return
    if size > most_bytes:
        raise DownloadSizeError(
            f"The model {repo_id!r} has {size:,} bytes, and at most {most_bytes:,} are fetched here; choose a smaller "
            "one."
        )


@contextmanager
def transfer_bars(*, hidden: bool) -> Iterator[None]:
    """Hide the bars of downloads and uploads, unless the environment has decided on them.

    Args:
        hidden: whether to hide them at all.
    """
    from huggingface_hub import constants
    from huggingface_hub import utils as hub  # its switches are public, but not marked as exported

    decided = constants.HF_HUB_DISABLE_PROGRESS_BARS is not None  # by the environment, which has priority
    if not hidden or decided or hub.are_progress_bars_disabled():  # type: ignore[attr-defined]
        yield
        return
    hub.disable_progress_bars()  # type: ignore[attr-defined]
    try:
        yield
    finally:
        hub.enable_progress_bars()  # type: ignore[attr-defined]
