"""What every test runs under: no network, one thread, no key of the user's, the same random numbers."""

from __future__ import annotations

import os
import tempfile

# Before anything imports a Hugging Face library: they read these once, on import.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="mergeguard-tests-")
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MERGEGUARD_PROOF_CACHE"] = "off"  # every test proves what it uses

import atexit
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

atexit.register(shutil.rmtree, os.environ["HF_HOME"], ignore_errors=True)
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def key_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keys made without a path go to a folder of this test, never to the user's."""
    folder = tmp_path_factory.mktemp("keys")
    monkeypatch.setenv("MERGEGUARD_KEY_DIR", str(folder))
    return folder


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Give each test the same start of every global generator, whatever ran before it."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
