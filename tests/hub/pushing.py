"""What the tests of pushing look at: the files and commits of a repository, and what was sent to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from huggingface_hub import HfApi
from safetensors.torch import load

from tests import tiny
from tests.hub_server import LocalHub


def weight_files(hub: LocalHub, repo_id: str = "me/model", revision: str = "main") -> set[str]:
    """Return the weight files of a repository."""
    return {name for name in hub.files(repo_id, revision) if name.endswith((".safetensors", ".bin", ".pt"))}


def titles(hub: LocalHub, repo_id: str = "me/model") -> list[str]:
    """Return the titles of the commits of the main branch, oldest first."""
    return [commit.title for commit in reversed(hub.repositories[repo_id].history("main"))]


def leaked(hub: LocalHub, model: torch.nn.Module, *, below: str = "", moved_only: bool = True) -> list[str]:
    """Return which matrices of a model were ever sent as they are, in whole or one half of them.

    Those that the release leaves where they are (some convolutions, for one) are left out; they are the lesser part.
    """
    sent = hub.bodies()
    released = {
        tensor: data.numpy().tobytes()
        for name, file in hub.files("me/model").items()
        if name.startswith(below) and name.endswith(".safetensors")
        for tensor, data in load(file).items()
    }
    matrices = {name: tensor.numpy().tobytes() for name, tensor in model.state_dict().items() if tensor.ndim > 1}
    moved = [name for name, data in matrices.items() if not moved_only or data not in released.values()]
    assert len(moved) > len(matrices) / 2
    halves = {name: (data[: len(data) // 2], data[len(data) // 2 :]) for name, data in matrices.items()}
    return [name for name in moved if any(half in sent for half in halves[name])]


def same_answers(first: Any, second: Any) -> bool:
    """Whether two models answer alike, up to rounding."""
    inputs = tiny.example_inputs(first)
    expected, got = tiny.outputs(first, inputs), tiny.outputs(second, inputs)
    return all((expected[key] - got[key]).abs().max() <= 1e-4 * expected[key].abs().max() for key in expected)


def push_raw(repo_id: str, folder: Path) -> None:
    """Publish a raw model as people do today."""
    api = HfApi()
    api.create_repo(repo_id, exist_ok=True)
    api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message="raw")
