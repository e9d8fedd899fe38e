"""The card and badge of a push: made, merged into what is there, and told the truth by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import HfApi, ModelCard
from transformers import AutoModelForCausalLM

from mergeguard_hub.audit.model_folder import ModelFolder, weights_digest
from mergeguard_hub.errors import AuditError, CardError
from mergeguard_hub.hub import enable, push_folder
from mergeguard_hub.hub.measured import Estimate, from_audit, read_measured
from mergeguard_hub.protection.key import Key
from mergeguard_hub.release import protect_folder
from tests import tiny
from tests.hub import zoo
from tests.hub.cards import USERS
from tests.hub.schema import problems, record_schema
from tests.hub_server import CLIENT_WARNS, LocalHub

pytestmark = CLIENT_WARNS
KEY = Key(bytes(range(32)))


def readme(hub: LocalHub) -> str:
    """Return the card of the repository."""
    return hub.files("me/model")["README.md"].decode()


def upload_readme(text: str) -> None:
    """Put a card on the Hub, as a person does."""
    api = HfApi()
    api.create_repo("me/model", exist_ok=True)
    api.upload_file(path_or_fileobj=text.encode(), path_in_repo="README.md", repo_id="me/model")


def test_a_new_card(hub: LocalHub) -> None:
    """With tags, the library's name, the base model that it was loaded from, and its badge."""
    tiny.llama().push_to_hub("org/base")
    model = AutoModelForCausalLM.from_pretrained("org/base")
    with torch.no_grad():
        model.lm_head.weight.mul_(1.1)
    enable(model, key=KEY).push_to_hub("me/model", tags=["tiny"])
    data = ModelCard(readme(hub)).data.to_dict()
    assert data["tags"] == ["mergeguard", "merge-protected", "tiny"]
    assert (data["library_name"], data["base_model"]) == ("transformers", "org/base")
    record = json.loads(hub.files("me/model")["mergeguard.json"])
    head = hub.repositories["org/base"].resolve("main").oid
    assert record["base_model"] == {"id": "org/base", "revision": head}
    assert 'LlamaForCausalLM.from_pretrained("me/model")' in readme(hub)
    assert "[More Information Needed]" not in readme(hub)
    assert "merge-protected: exact</title>" in hub.files("me/model")["mergeguard-badge.svg"].decode()


@pytest.mark.parametrize("build", [tiny.llama, tiny.unet, zoo.Classifier], ids=lambda build: build.__name__)
def test_a_users_card_on_the_hub_is_kept(hub: LocalHub, build: Any) -> None:
    """Also where the library would write one of its own."""
    upload_readme(USERS)
    enable(build(), key=KEY, example_inputs={"x": torch.randn(2, 4)}).push_to_hub("me/model")
    assert "I trained this *myself*." in readme(hub)
    assert readme(hub).count("## Merge protection") == 1
    upload_readme(readme(hub).replace("*myself*", "at home"))
    enable(build(), key=KEY, example_inputs={"x": torch.randn(2, 4)}).push_to_hub("me/model")
    assert "I trained this at home." in readme(hub)
    assert readme(hub).count("## Merge protection") == 1


def test_a_broken_card_stops_the_push(hub: LocalHub) -> None:
    """Before anything changes; a branch that was made for it goes."""
    upload_readme("# fine\n")
    hub.repositories["me/model"].record("main", "broken", {**hub.repositories["me/model"].resolve("main").files}, None)
    files = hub.repositories["me/model"].resolve("main").files
    files["README.md"] = type(files["README.md"])(b"---\ntags: [\n---\n", False)
    before = hub.files("me/model")
    with pytest.raises(CardError, match="front matter is no valid YAML in line"):
        enable(tiny.llama(), key=KEY).push_to_hub("me/model", revision="next")
    assert hub.files("me/model") == before
    assert hub.repositories["me/model"].refs.keys() == {"main"}


# Measured


@pytest.mark.parametrize(
    ("text", "error", "message"), [("{", AuditError, "cannot be read"), ('{"schema": 1}', CardError, "no whole audit")]
)
def test_a_damaged_audit_stops_the_push(hub: LocalHub, text: str, error: Any, message: str, tmp_path: Path) -> None:
    """Rather than publishing a card that does not tell of it."""
    enable(tiny.llama(), key=KEY).save_pretrained(tmp_path / "release")
    (tmp_path / "release/audit.json").write_text(text)
    with pytest.raises(error, match=message):
        push_folder(tmp_path / "release", "me/model")
    assert hub.log == []


def _audit(digest: str) -> dict[str, Any]:
    """Return the parts of an audit.json that a card is made from."""

    def cell(defender: str, attack: str, *values: float) -> dict[str, Any]:
        points = [{"joint": {"value": value, "standard_error": 0.01}} for value in values]
        return {"defender": defender, "attack": attack, "method": "ties", "partner": "sums", "points": points}

    return {
        "schema": 1,
        "models": {"protected": {"digest": digest}},
        "settings": {"methods": {"ties": {"title": "TIES"}}, "merge_attacks": {}, "attacks": {"aga": {"title": "AGA"}}},
        "cells": [
            cell("original", "", 0.6, 0.8),
            cell("original", "aga", 0.9),
            cell("protected", "", -0.1, 0.02),
            cell("protected", "aga", 0.3),
            cell("protected", "pruning", 0.1),
            {**cell("protected", "", 0.99), "partner": "other"},
        ],
        "headlines": [
            {"partner": "sums", "worst": {"joint": {"value": 0.3, "standard_error": 0.01}}, "advantage": 0.12}
        ],
    }


def test_an_audit_becomes_rows() -> None:
    """The best of each kind, for the partner that got most."""
    measured = from_audit(_audit("any"), "sha256:x")
    assert measured is not None
    (row,) = measured.rows
    assert (row.method, row.attack) == ("TIES", "AGA")
    assert (row.control, row.protected, row.attacked) == (
        Estimate(0.8, 0.01),
        Estimate(0.02, 0.01),
        Estimate(0.3, 0.01),
    )
    assert (measured.worst, measured.advantage, measured.digest) == (Estimate(0.3, 0.01), 0.12, "sha256:x")
    assert from_audit({**_audit("any"), "headlines": []}, "x") is None
    with pytest.raises(CardError, match="The audit is incomplete"):
        from_audit({**_audit("any"), "complete": False}, "x")


def test_methods_of_the_same_title_are_told_apart() -> None:
    audit = _audit("any")
    methods = {name: {"title": "Task arithmetic"} for name in ("task_arithmetic", "task_arithmetic_0.6")}
    cells = [{**cell, "method": name} for name in methods for cell in audit["cells"]]
    measured = from_audit({**audit, "cells": cells, "settings": {**audit["settings"], "methods": methods}}, "x")
    assert measured is not None
    assert [row.method for row in measured.rows] == [
        "Task arithmetic",
        "Task arithmetic (0.6)",
    ]


@pytest.mark.parametrize("own", [True, False], ids=["of these weights", "of others"])
def test_an_audit_in_the_folder_is_told_of_if_it_is_of_these_weights(hub: LocalHub, own: bool, tmp_path: Path) -> None:
    """Card, badge, model-index and record agree."""
    tiny.llama().save_pretrained(tmp_path / "raw")
    protect_folder(tmp_path / "raw", tmp_path / "release", key=KEY)
    digest = weights_digest(ModelFolder(tmp_path / "release").tensors()) if own else "sha256:other"
    (tmp_path / "release/audit.json").write_text(json.dumps(_audit(digest)))
    push_folder(tmp_path / "release", "me/model")
    record = json.loads(hub.files("me/model")["mergeguard.json"])
    assert ("audit" in record) is own
    assert problems(record, record_schema(), record_schema()) == []
    assert ("| TIES | 0.80 ± 0.01 | 0.02 ± 0.01 | 0.30 ± 0.01 | AGA |" in readme(hub)) is own
    assert ("No merge with this release was measured" in readme(hub)) is not own
    badge = hub.files("me/model")["mergeguard-badge.svg"].decode()
    assert ("measured: worst transfer 0.30 after attacks" in badge) is own
    assert ("model-index" in readme(hub)) is own
    assert read_measured(tmp_path, "sha256:x") is None
