"""Verifying a release wherever it is: a folder here, or a repository with everything else that it holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mergeguard_hub.hub.source import local_folder
from mergeguard_hub.hub.stale import is_weight_file

if TYPE_CHECKING:
    from mergeguard_hub.release.report import ProgressCallback, Verification


@dataclass(frozen=True)
class Checked:
    """What `verify` found.

    Attributes:
        verification: of the weights that were downloaded, or lie in the folder.
        beside: other weight files of the repository, which a loader may take instead; empty for a folder, where other
            weights are an error.
    """

    verification: Verification
    beside: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the claim holds, the outputs agree where an original was given, and nothing else can be loaded."""
        return self.verification.ok and not self.beside

    @property
    def exit_code(self) -> int:
        """0 protected and intact, 3 modified or with other weights beside, 4 not protected, 1 other outputs."""
        if self.verification.state == "not protected":
            return 4
        if self.verification.state == "modified" or self.beside:
            return 3
        return 0 if self.ok else 1


def verify(
    source: str | Path,
    *,
    revision: str | None = None,
    token: str | None = None,
    against: str | Path | None = None,
    progress: ProgressCallback | None = None,
) -> Checked:
    """Check that a folder, or a model on the Hub, is the release that it claims to be.

    A repository is downloaded first, and the files that were not downloaded are looked at by name: other weights beside
    the release are what a loader may prefer. It does not tell who made the claim.

    Args:
        source: a path, or a Hub id such as "org/model"; a path that exists wins.
        revision: branch, tag or commit on the Hub.
        token: access token for private and gated models.
        against: the original model, a path or a Hub id, to compare the outputs with.
        progress: called with `Progress` records.

    Raises:
        MissingFileError: there is no such folder, and no such model that can be fetched.
        CheckpointError: the weights cannot be read.
    """
    from mergeguard_hub.release import verify_folder

    folder = local_folder(source, revision=revision, token=token)
    original = None if against is None else local_folder(against, token=token)
    found = verify_folder(folder, against=original, progress=progress)
    return Checked(found, other_weights(source, folder, revision=revision, token=token))


def other_weights(
    source: str | Path, folder: Path, *, revision: str | None = None, token: str | None = None
) -> tuple[str, ...]:
    """Return the weight files of a repository that were not downloaded, sorted; nothing where it cannot be asked.

    Args:
        source: as it was given: a path, or a Hub id.
        folder: where it lies here.
        revision: branch, tag or commit on the Hub.
        token: access token.
    """
    if Path(source).expanduser().exists():
        return ()
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        names = HfApi(token=token).list_repo_files(str(source), revision=revision or folder.name)
    except (OSError, HfHubHTTPError):
        return ()  # offline, from the cache
    except Exception as error:
        if type(error).__module__.split(".")[0] not in ("httpx", "httpx2", "httpcore"):
            raise
        return ()
    return tuple(sorted(name for name in names if is_weight_file(name) and not (folder / name).exists()))
