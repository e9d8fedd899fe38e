"""Claims go into a config.json and come out again, and every other byte stays as its author left it."""

from __future__ import annotations

import json

import pytest

from mergeguard_hub.release.config_text import members, with_member, with_value, without_members

CLAIM = {"version": 1, "id": "0123456789abcdef", "digest": "sha256:00"}
TEXTS = [
    '{"model_type": "x"}',
    '{\n  "model_type": "x"\n}\n',
    '{\r\n\t"model_type" : "x"\r\n}',
    '\n\n  {   "model_type":"x","nested":{"mergeguard":{"a":{}}}   }   ',
    '{"text": "{ \\"mergeguard\\": {} } , \\u007b", "model_type": "x"}',
    '{"a": [1, {"b": "]}"}], "NaN": NaN, "big": 1e400, "model_type": "x"}',
    '{"ключ": "значение", "model_type": "x"}',
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_claim_goes_in_first_and_out_again(text: str) -> None:
    claimed = with_member(text, "mergeguard", CLAIM)
    assert next(iter(json.loads(claimed).items())) == ("mergeguard", CLAIM)
    assert without_members(claimed, {"mergeguard"}) == text


@pytest.mark.parametrize("text", TEXTS)
def test_a_claim_is_found_wherever_a_library_put_it(text: str) -> None:
    """Transformers sorts keys, so a claim that was loaded and saved again stands in the middle or at the end."""
    for name in ("aaa", "zzz"):
        both = {**json.loads(text), "mergeguard": CLAIM, name: 1}
        for config in (both, dict(sorted(both.items()))):
            plain = {key: value for key, value in config.items() if key != "mergeguard"}
            for indent in (None, 2):
                saved = json.dumps(config, indent=indent)
                assert without_members(saved, {"mergeguard"}) == json.dumps(plain, indent=indent)


def test_members_of_nested_objects_and_other_keys_stay() -> None:
    text = '{"inner": {"mergeguard": 1}, "mergeguards": 2, "_mergeguard": 3, "mergeguard": 4}'
    assert without_members(text, {"mergeguard", "_mergeguard"}) == '{"inner": {"mergeguard": 1}, "mergeguards": 2}'


def test_a_claim_alone_leaves_an_empty_object() -> None:
    assert without_members('{ "mergeguard": {} }', {"mergeguard"}) == "{  }"
    assert without_members("{}", {"mergeguard"}) == "{}"
    assert members(" { } ") == []


def test_a_value_is_replaced_where_its_key_stands() -> None:
    text = '{"note": "A", "architectures":\n ["A"], "inner": {"architectures": ["A"]}}'
    changed = '{"note": "A", "architectures":\n ["B"], "inner": {"architectures": ["A"]}}'
    assert with_value(text, "architectures", ["B"]) == changed
    assert with_value(text, "missing", ["B"]) == text
