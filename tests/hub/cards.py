"""A release record and measured merges with round numbers, for the tests of cards and badges."""

from __future__ import annotations

from typing import Any

from mergeguard_hub.hub.card import Facts
from mergeguard_hub.hub.measured import Estimate, MeasuredMerges, MergeRow

DIGEST = "sha256:" + "ab" * 32
RECORD: dict[str, Any] = {
    "digest": DIGEST,
    "id": "abababababababab",
    "exact": True,
    "recipe": {
        "name": "exact",
        "stages": [{"stage": "UnitRearrangement"}, {"stage": "HeadPermutation"}, {"stage": "HeadMix"}],
    },
    "stages": [
        {"stage": "UnitRearrangement", "status": "proved"},
        {"stage": "HeadPermutation", "status": "proved"},
        {"stage": "HeadMix", "status": "refused"},
    ],
    "components": {
        "": {
            "name": "",
            "architecture": "LlamaForCausalLM",
            "moved": 0.96,
            "block_drift": 2.1e-07,
            "model_drift": None,
        }
    },
    "tools": {"mergeguard-hub": "0.1.0", "torch": "2.13.0"},
}
CONFIG = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
MEASURED = MeasuredMerges(
    DIGEST,
    (
        MergeRow("TIES", Estimate(0.81, 0.02), Estimate(0.01, 0.01), Estimate(0.07, 0.02), "alignment"),
        MergeRow("Weight averaging", Estimate(0.75, 0.02), Estimate(-0.02, 0.01)),
    ),
    Estimate(0.07, 0.02),
    -0.11,
    "partner-sums",
)
FACTS = Facts("me/model", RECORD, CONFIG)
USERS = """---
# my comment
license: apache-2.0
tags: [llama, mine]
language:
- en   # and another
base_model: org/base
model-index:
- name: mine
  results:
  - task: {type: text-generation}
    dataset: {type: lambada, name: LAMBADA}
    metrics:
    - {type: accuracy, value: 0.5}
---

```sh
# not a title
```

# My model

I trained this *myself*.

| a | b |
|---|---|
"""
