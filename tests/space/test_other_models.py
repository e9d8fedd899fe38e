"""Models of the Hub on the page: fetched without code or pickles, protected and merged as the zoo's are."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import space.other_models
from mergeguard_hub.audit.model_folder import ModelFolder
from mergeguard_hub.errors import DownloadSizeError, MissingFileError
from mergeguard_hub.merging import WeightAveraging
from space.choice import ChoiceError
from space.five import COLUMNS
from space.other_models import PIPELINE_FILES, OtherModels, checked_id, other_models
from space.pages.images import from_hub
from space.release import release
from space.shelf import SHELVES
from tests.hub_server import LocalHub, connect

FOLDERS = {who: SHELVES["images"].folder(name) for who, name in (("defender", "neon"), ("partner", "papercut"))}
FOLDERS["base"] = SHELVES["images"].folder("base")
IDS = {who: f"somebody/{who}" for who in FOLDERS}
PICKLE = b"\x80\x04 not to be opened"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHub]:
    with LocalHub() as server:
        for who, folder in FOLDERS.items():
            copy = tmp_path_factory.mktemp("published") / who
            shutil.copytree(folder, copy)
            (copy / "pipeline.py").write_text("raise SystemExit('code of the model')")
            (copy / "v1-5-pruned.safetensors").write_bytes(b"a copy of everything, and broken")
            (copy / "unet" / "diffusion_pytorch_model.bin").write_bytes(PICKLE)
            (copy / "unet" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"a copy in 16 bit, and broken")
            server.add(IDS[who], copy)
        with_code = tmp_path_factory.mktemp("code")
        (with_code / "config.json").write_text(json.dumps({"auto_map": {"AutoModel": "own.Model"}}))
        server.add("somebody/code", with_code)
        server.add("somebody/gated", with_code, gated=True)
        yield server


@pytest.fixture(autouse=True)
def connected(hub: LocalHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    connect(hub, monkeypatch, tmp_path)
    monkeypatch.setattr(space.other_models, "other_models_welcome", lambda: True)


def opened(ids: dict[str, str], protection: str = "exact") -> OtherModels:
    with other_models(ids, protection=protection, method=WeightAveraging(), files=PIPELINE_FILES) as five:
        return five


def test_models_of_the_hub_are_protected_and_merged_as_the_zoos_are() -> None:
    with other_models(IDS, protection="exact", method=WeightAveraging(), files=PIPELINE_FILES) as five:
        merged, ready = ModelFolder(five.folder("merged")), five.load("merged")
        published = ModelFolder(release("neon", family="images")).tensors()
        assert all(torch.equal(published[k], v) for k, v in ModelFolder(five.folder("protected")).tensors().items())
        other = ModelFolder(FOLDERS["partner"]).tensors()
        name = "unet/conv_in.weight"
        expected = (published[name].float() + other[name].float()) / 2
        assert torch.equal(merged.tensors()[name], expected.half())
        base = ModelFolder(FOLDERS["base"]).tensors("vae")
        assert all(torch.equal(tensor, base[name]) for name, tensor in merged.tensors("vae").items())
        assert torch.equal(ready.unet.conv_in.weight, expected.half().float())
        fetched = {file.name for folder in IDS for file in five.folder(folder).rglob("*")}
    assert not fetched & {"pipeline.py", "v1-5-pruned.safetensors"}
    assert not any(name.endswith(".bin") or ".fp16." in name for name in fetched)
    assert not five.place.exists()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers and numpy 2
def test_the_tab_of_images_draws_with_models_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(from_hub, "STEPS", 2)
    models = [IDS[who] for who in ("defender", "partner", "base")]
    *_, (status, result) = from_hub.images_of_the_hub(*models, "exact", "TIES", 1.0, "a red cat by day", 3)
    assert "Computed just now" in status
    assert [f"{column.title}: a red cat by day" in result for column in COLUMNS] == [True] * 5


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "space/zoo", "a/b/c", "a/..", "-x/y\n", "http://host/a", "owner", "é/b"]
)
def test_only_ids_of_the_hub_are_taken(name: str) -> None:
    with pytest.raises(ChoiceError, match="is not the id of a model on the Hub: those read owner/name"):
        checked_id(name, "base")


def test_what_cannot_be_used_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ChoiceError, match="needs code of its own"):
        opened({**IDS, "partner": "somebody/code"})
    with pytest.raises(MissingFileError, match="is not there, or private"):
        opened({**IDS, "partner": "somebody/nothing"})
    with pytest.raises(MissingFileError, match="is gated"):  # for visitors, whatever the page itself may read
        opened({**IDS, "partner": "somebody/gated"})
    with pytest.raises(ChoiceError, match="The id of the partner is empty"):
        opened({**IDS, "partner": " "})
    with pytest.raises(ChoiceError, match="two of them have the same id"):
        opened({**IDS, "partner": IDS["base"]})
    with pytest.raises(ChoiceError, match="Only exact, mergelock and params"):
        opened(IDS, "hardened")
    monkeypatch.setattr(space.other_models, "LARGEST_BYTES", 1000)
    with pytest.raises(DownloadSizeError, match=r"has [\d,]+ bytes, and at most 1,000 are fetched here"):
        opened(IDS)
    monkeypatch.setattr(space.other_models, "other_models_welcome", lambda: False)
    with pytest.raises(ChoiceError, match="Other models need a GPU and the network"):
        opened(IDS)
