"""Classes that nothing is known about end in the right error."""

from __future__ import annotations

import pytest

from mergeguard_hub.architecture import Miniature
from mergeguard_hub.errors import ArchitectureError, UnknownArchitectureError


def test_an_unknown_model_type() -> None:
    with pytest.raises(UnknownArchitectureError, match=r"model_type 'no_such_type'.*Update transformers"):
        Miniature({"model_type": "no_such_type"})


def test_no_model_type_at_all() -> None:
    with pytest.raises(UnknownArchitectureError, match="names architectures None and model_type None"):
        Miniature({})


@pytest.mark.parametrize("kind", ["my_type", "llama"])  # code of one's own for a known kind may compute anything else
def test_custom_modeling_code(kind: str) -> None:
    config = {
        "model_type": kind,
        "architectures": ["MyTypeForCausalLM"],
        "auto_map": {"AutoModelForCausalLM": "modeling_my_type.MyTypeForCausalLM"},
    }
    with pytest.raises(
        UnknownArchitectureError, match=r"\['MyTypeForCausalLM'\].*custom modeling code cannot be proved"
    ):
        Miniature(config)


def test_a_diffusers_class_that_is_not_installed() -> None:
    with pytest.raises(UnknownArchitectureError, match=r"has no class NoSuchTransformer3DModel; update it"):
        Miniature({"_class_name": "NoSuchTransformer3DModel"})


def test_a_class_that_cannot_run_as_configured() -> None:
    with pytest.raises(ArchitectureError, match=r"ReformerModelWithLMHead cannot be scaled down and run.*is_decoder"):
        Miniature({"model_type": "reformer", "architectures": ["ReformerModelWithLMHead"]})


def test_an_installed_model_type_without_a_class_name_is_the_causal_language_model() -> None:
    assert Miniature({"model_type": "llama"}).cls.__name__ == "LlamaForCausalLM"


def test_code_that_only_a_tokenizer_brings_does_not_matter() -> None:
    config = {"model_type": "llama", "architectures": ["Mine"], "auto_map": {"AutoTokenizer": "mine.Mine"}}
    assert Miniature(config).cls.__name__ == "LlamaForCausalLM"
