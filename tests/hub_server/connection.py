"""Point the clients of this process at a `LocalHub`, as the environment does for a new process."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import huggingface_hub.hf_api
import pytest
import transformers
from huggingface_hub import constants

from tests.hub_server.server import TOKEN, LocalHub

_WARNINGS = (
    "ignore:Use 'content=<...>':DeprecationWarning",  # the client hands open files to its HTTP library in the old way
    "ignore:The `local_dir_use_symlinks` argument:UserWarning",  # diffusers asks for what the client no longer knows
)
CLIENT_WARNS = [pytest.mark.filterwarnings(warning) for warning in _WARNINGS]


def connect(hub: LocalHub, monkeypatch: pytest.MonkeyPatch, home: Path, *, token: str | None = TOKEN) -> None:
    """Make every Hugging Face client of this process use the server, a cache below `home`, and a token.

    Their settings are read once, on import, so they are set here one by one; a retry waits no time.
    """
    settings = {
        "ENDPOINT": hub.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": hub.url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_TOKEN_PATH": str(home / "token"),
    }
    for name, value in settings.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    monkeypatch.setattr(huggingface_hub.hf_api.api, "endpoint", hub.url)
    monkeypatch.setattr(transformers.utils.hub, "_hf_api", None)
    monkeypatch.setattr(huggingface_hub.utils._http, "time", SimpleNamespace(sleep=lambda _: None))
    if token is None:
        monkeypatch.delenv("HF_TOKEN", raising=False)
    else:
        monkeypatch.setenv("HF_TOKEN", token)
