"""Pushes to a real server by the real clients: what arrives, what goes, what is never sent, what a stranger gets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from huggingface_hub import HfApi
from transformers import AutoModelForCausalLM

from mergeguard_hub.hub import enable, push_folder
from mergeguard_hub.protection.key import Key
from mergeguard_hub.release import protect_folder, unlock_folder, verify_folder
from tests import tiny
from tests.hub import zoo
from tests.hub.pushing import leaked, push_raw, same_answers, titles, weight_files
from tests.hub_server import CLIENT_WARNS, LocalHub, connect

pytestmark = CLIENT_WARNS
KEY = Key(bytes(range(32)))
RECORD = "mergeguard.json"


OBJECTS: dict[str, tuple[Callable[[], Any], Callable[[str], Any]]] = {
    "transformers": (tiny.llama, AutoModelForCausalLM.from_pretrained),
    "class": (zoo.guarded_llama, AutoModelForCausalLM.from_pretrained),
    "diffusers": (tiny.unet, UNet2DConditionModel.from_pretrained),
}


@pytest.mark.parametrize("through", ["push_to_hub", "save_pretrained"])
@pytest.mark.parametrize("name", OBJECTS)
def test_a_push_is_one_commit_and_a_stranger_gets_the_same_answers(
    hub: LocalHub, name: str, through: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights, record, config and card; nothing raw was ever sent; nothing is left behind."""
    build, load = OBJECTS[name]
    model = build() if name == "class" else enable(build(), key=KEY)
    original = build()
    if through == "push_to_hub":
        model.push_to_hub("me/model", private=True, commit_message="Mine", key=KEY)
    else:
        model.save_pretrained(tmp_path / "model", push_to_hub=True, commit_message="Mine", private=True, key=KEY)
    assert titles(hub) == ["initial commit", "Mine"]
    assert hub.repositories["me/model"].private is True
    assert {"config.json", RECORD} <= hub.files("me/model").keys()
    assert len(weight_files(hub)) == 1
    assert leaked(hub, original) == []
    assert KEY.secret not in hub.bodies()
    assert KEY.secret.hex().encode() not in hub.bodies()
    connect(hub, monkeypatch, tmp_path / "another machine")
    assert same_answers(original, load("me/model").eval())


def test_hub_mixin(hub: LocalHub) -> None:
    """A module of the user's own class."""
    model = zoo.Classifier()
    inputs = {"x": torch.randn(2, 4)}
    enable(model, key=KEY, example_inputs=inputs).push_to_hub("me/model")
    loaded = zoo.Classifier.from_pretrained("me/model")
    assert torch.allclose(model(**inputs), loaded(**inputs), atol=1e-6)
    assert not torch.equal(model.rows.weight, loaded.rows.weight)
    assert leaked(hub, model) == []


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_compiled(hub: LocalHub) -> None:
    """`torch.compile` forwards to the model inside."""
    torch.compile(enable(tiny.llama(), key=KEY)).push_to_hub("me/model")
    assert RECORD in hub.files("me/model")
    assert leaked(hub, tiny.llama()) == []


def test_pipeline(hub: LocalHub, tmp_path: Path) -> None:
    """Every component, in one commit."""
    pipe = zoo.pipeline(tmp_path)
    expected = zoo.drawn(pipe)
    enable(pipe, key=KEY).push_to_hub("me/model")
    assert titles(hub) == ["initial commit", "Upload protected release " + _record(hub)["id"]]
    loaded = StableDiffusionPipeline.from_pretrained("me/model", safety_checker=None)
    loaded.set_progress_bar_config(disable=True)
    assert (zoo.drawn(loaded) - expected).abs().max() <= 1e-3 * expected.abs().max()
    assert leaked(hub, pipe.unet, below="unet/") == []
    assert leaked(hub, pipe.text_encoder, below="text_encoder/") == []


def test_a_save_that_pushes_uploads_what_it_saved(hub: LocalHub, tmp_path: Path) -> None:
    """Not what lay in the folder before; a pipeline's save as well."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes.txt").write_text("private")
    enable(tiny.llama(), key=KEY).save_pretrained(tmp_path / "out", push_to_hub=True, repo_id="me/model")
    assert "notes.txt" not in hub.files("me/model")
    assert (tmp_path / "out/mergeguard.json").is_file()
    pipe = enable(zoo.pipeline(tmp_path), key=KEY)
    pipe.save_pretrained(tmp_path / "pipe", push_to_hub=True, max_shard_size="100KB")
    assert {"model_index.json", "unet/config.json", "tokenizer/tokenizer_config.json"} <= hub.files("me/pipe").keys()
    assert b"private" not in hub.bodies()


def _record(hub: LocalHub, revision: str = "main") -> dict[str, Any]:
    return dict(json.loads(hub.files("me/model", revision)[RECORD]))


def test_the_record_lists_its_files_and_the_owner_unlocks_a_download(hub: LocalHub, tmp_path: Path) -> None:
    """The digests are those that the Hub shows; what was added to the record does not break its seal."""
    tiny.llama().save_pretrained(tmp_path / "raw")
    enable(tiny.llama(), key=KEY).push_to_hub("me/model")
    listed = HfApi().get_paths_info("me/model", "model.safetensors")[0]
    assert _record(hub)["files"] == {"model.safetensors": listed.lfs.sha256}  # type: ignore[union-attr]
    from huggingface_hub import snapshot_download

    folder = Path(snapshot_download("me/model"))
    assert verify_folder(folder).state == "protected"
    unlock_folder(folder, tmp_path / "unlocked", key=KEY)
    assert (tmp_path / "unlocked/model.safetensors").read_bytes() == (tmp_path / "raw/model.safetensors").read_bytes()


# What was there before


STALE = {
    "model.safetensors": b"\0raw",
    "pytorch_model.bin": b"\0raw bin",
    "model-00001-of-00002.safetensors": b"\0old shard",
    "model.safetensors.index.json": b"{}",
    "model.fp16.safetensors": b"\0variant",
    "optimizer.pt": b"\0moments",
    "last-checkpoint/trainer_state.json": b"{}",
    "gguf/model-q4.gguf": b"\0copy",
    "tf_model.h5": b"\0tf",
}
KEPT = {"notes.txt": b"mine", "tokenizer.model": b"\0spm", "images/plot.png": b"\0png"}


@pytest.mark.parametrize("shards", [None, "20KB"])
def test_stale_weights_of_every_layout_go_in_the_same_commit(
    hub: LocalHub, shards: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What is not weights stays; the history is told of with the command that removes it."""
    folder = tmp_path / "old"
    for name, data in {**STALE, **KEPT}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    push_raw("me/model", folder)
    raw_commit = hub.repositories["me/model"].resolve("main").oid
    enable(tiny.llama(), key=KEY).push_to_hub("me/model", **({"max_shard_size": shards} if shards else {}))
    files = hub.files("me/model")
    assert len(titles(hub)) == 3
    assert KEPT.items() <= files.items()
    assert not (STALE.keys() - {"model.safetensors", "model.safetensors.index.json"}) & files.keys()
    assert ("model.safetensors" in files) is (shards is None)
    assert ("model.safetensors.index.json" in files) is (shards is not None)
    assert same_answers(tiny.llama(), AutoModelForCausalLM.from_pretrained("me/model").eval())
    warning = next(record.getMessage() for record in caplog.records if "earlier commit" in record.getMessage())
    assert f"the newest {raw_commit[:8]}, still hand out weights" in warning
    assert """python -c 'from huggingface_hub import HfApi; HfApi().super_squash_history("me/model")'""" in warning
    HfApi().super_squash_history("me/model")
    caplog.clear()
    enable(tiny.llama(), key=KEY).push_to_hub("me/model", **({"max_shard_size": shards} if shards else {}))
    assert "earlier commit" not in caplog.text
    assert len(titles(hub)) == 1


def test_the_layout_can_change_both_ways(hub: LocalHub) -> None:
    """Sharded after single and back, the next push wins."""
    model = enable(tiny.llama(), key=KEY)
    for shards in (None, "20KB", None):
        model.push_to_hub("me/model", **({"max_shard_size": shards} if shards else {}))
        assert (len(weight_files(hub)) > 1) is (shards is not None)
        assert same_answers(model, AutoModelForCausalLM.from_pretrained("me/model").eval())


def test_an_unchanged_model_makes_no_commit(hub: LocalHub, caplog: pytest.LogCaptureFixture) -> None:
    """Nor a warning about its own earlier release, when it does change."""
    model = enable(tiny.llama(), key=KEY)
    first = model.push_to_hub("me/model")
    sent = len([exchange for exchange in hub.log if exchange.method == "PUT"])
    second = model.push_to_hub("me/model")
    assert first.oid == second.oid
    assert len(titles(hub)) == 2
    assert len([exchange for exchange in hub.log if exchange.method == "PUT"]) == sent
    with torch.no_grad():
        model.lm_head.weight.mul_(1.5)
    model.push_to_hub("me/model")
    assert len(titles(hub)) == 3
    assert "earlier commit" not in caplog.text


def test_a_release_is_pushed_again_from_where_it_was_loaded(hub: LocalHub) -> None:
    """The record is fetched from the Hub; the same weights make no commit."""
    enable(tiny.llama(), key=KEY).push_to_hub("me/model")
    loaded = AutoModelForCausalLM.from_pretrained("me/model")
    enable(loaded, key=KEY).push_to_hub("me/model")
    assert len(titles(hub)) == 2


# As the user gave it


def test_revision_pull_request_tags_and_subfolder(hub: LocalHub) -> None:
    """Each goes where it was sent, and main stays as it is."""
    model = enable(tiny.llama(), key=KEY)
    model.push_to_hub("me/model", revision="next", commit_message="One", commit_description="Two")
    assert weight_files(hub) == set()
    assert weight_files(hub, revision="next") == {"model.safetensors"}
    pull = model.push_to_hub("me/model", create_pr=True)
    assert pull.pr_revision == "refs/pr/1"
    assert weight_files(hub) == set()
    assert weight_files(hub, revision="refs/pr/1") == {"model.safetensors"}
    enable(tiny.unet(), key=KEY).push_to_hub("me/model", subfolder="unet")
    files = hub.files("me/model")
    assert {"unet/config.json", "unet/mergeguard.json"} <= files.keys()
    assert same_answers(tiny.unet(), UNet2DConditionModel.from_pretrained("me/model", subfolder="unet").eval())


# Folders


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A protected folder with what a Trainer leaves beside it."""
    tiny.llama().save_pretrained(tmp_path / "raw")
    protect_folder(tmp_path / "raw", tmp_path / "release", key=KEY)
    for name in (
        "optimizer.pt",
        "scheduler.pt",
        "rng_state.pth",
        "training_args.bin",
        "checkpoint-3/model.safetensors",
    ):
        (tmp_path / "release" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "release" / name).write_bytes(b"\0private " + name.encode())
    return tmp_path / "release"


def test_push_folder(hub: LocalHub, release: Path) -> None:
    """The release, and none of the Trainer's state."""
    done = push_folder(release, "model", tags=["tiny"])
    assert done.repo_id == "me/model"
    assert done.unchanged is False
    assert weight_files(hub) == {"model.safetensors"}
    assert b"private" not in hub.bodies()
    again = push_folder(release, "me/model")
    assert again.unchanged is True
    assert again.commit.oid == done.commit.oid
