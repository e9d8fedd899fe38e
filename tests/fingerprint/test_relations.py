"""What fingerprints say of models whose relation is known because it was made."""

from __future__ import annotations

import numpy as np
import pytest

from mergeguard_hub.errors import FingerprintError
from mergeguard_hub.fingerprint import (
    Fingerprint,
    attribute,
    compare,
    compare_layers,
    lineage,
    nearest_base,
    plot_layers,
    plot_tree,
)
from mergeguard_hub.fingerprint.agreement import agreement
from mergeguard_hub.fingerprint.compare import STRANGERS
from mergeguard_hub.protection import Recipe
from tests.fingerprint.scenes import Tensors, mixed, protected, scene, taken, weights

FAMILIES = ("llama", "gpt2", "vit")  # rotary and gated, fused and tied, patches
families = pytest.mark.parametrize("family", FAMILIES)


def _base(family: str) -> Tensors:
    return scene(family).tensors


def _task(family: str, seed: int) -> Tensors:
    return weights(family, seed=seed, step=0.1)


@families
def test_a_release_is_the_same_model_and_nothing_else_is(family: str) -> None:
    original = _task(family, 1)
    release, _ = protected(scene(family).layout, original, Recipe.preset("mergelock"))
    ours = taken(family, original)
    found = compare(taken(family, release), ours)
    assert (found.kinship, found.distance < 2e-5, found.sizes < 1e-5) == ("same", True, True)
    for other in (_base(family), _task(family, 2)):
        related = compare(taken(family, other), ours)
        assert (related.kinship, related.p_value < 1e-6) == ("related", True)
        assert 0.9 < related.score < 1
    stranger = compare(taken(family, weights(family, seed=7)), ours)
    assert (stranger.kinship, stranger.related, abs(stranger.score) < 0.2) == ("unrelated", False, True)
    assert stranger.distance == pytest.approx(2**0.5, abs=0.15)
    assert stranger.p_value > 0.05


@families
def test_lineage_names_every_relation(family: str) -> None:
    base, one, two = _base(family), _task(family, 1), _task(family, 2)
    known = {name: taken(family, model, name=name) for name, model in (("base", base), ("one", one), ("two", two))}
    further = mixed(base, {1.0: one, 0.5: two})
    merge = mixed(base, {0.5: one, 0.4: two})
    cases = {
        "same model": one,
        "fine-tune of it": further,
        "merge that contains it": merge,
        "fine-tune of the same base": two,
        "its base": base,
        "unrelated": weights(family, seed=7),
    }
    for relation, model in cases.items():
        found = lineage(taken(family, model), of=known["one"], base=known["base"])
        assert found.relation == relation
        assert found.contains == (relation in ("same model", "fine-tune of it", "merge that contains it"))
    alone = lineage(taken(family, merge), of=known["one"])
    assert (alone.relation, alone.weight, alone.contains) == ("related", None, False)


@families
def test_weights_of_a_merge_are_found_again(family: str) -> None:
    base, parts = _base(family), {0.5: _task(family, 1), 0.2: _task(family, 2), 0.3: _task(family, 3)}
    known = {str(weight): taken(family, part) for weight, part in parts.items()}
    known["absent"] = taken(family, _task(family, 4))
    found = attribute(taken(family, mixed(base, parts)), taken(family, base), known)
    assert found.weights is not None
    assert found.weights == pytest.approx({"0.5": 0.5, "0.2": 0.2, "0.3": 0.3, "absent": 0.0}, abs=0.08)
    assert found.unexplained < 0.1
    missing = attribute(taken(family, mixed(base, parts)), taken(family, base), {"0.5": known["0.5"]})
    assert missing.weights is not None
    assert missing.weights["0.5"] == pytest.approx(0.5, abs=0.1)
    assert missing.unexplained > 0.2


def test_a_merge_of_a_little_is_found_beside_the_other_fine_tunes() -> None:
    base, one, two = _base("llama"), _task("llama", 1), _task("llama", 2)
    of, others = taken("llama", one), {"two": taken("llama", two)}
    merge = taken("llama", mixed(base, {0.2: one, 0.8: two}))
    found = lineage(merge, of=of, base=taken("llama", base), others=others)
    assert found.relation == "merge that contains it"
    assert found.weight == pytest.approx(0.2, abs=0.05)
    assert found.weights is not None
    assert found.weights["two"] == pytest.approx(0.8, abs=0.05)


def test_weights_are_not_given_where_the_fine_tunes_do_not_explain_the_merge() -> None:
    """A merge with an `exact` release is ruined; the same merge with the original is the control."""
    base, one, two = _base("llama"), _task("llama", 1), _task("llama", 2)
    release, _ = protected(scene("llama").layout, one, Recipe.preset("exact"))
    before, of, others = taken("llama", base), taken("llama", one, name="one"), {"two": taken("llama", two)}
    for part, explained in ((one, True), (release, False)):
        merge = taken("llama", mixed(base, {0.4: part, 0.6: two}))
        found = attribute(merge, before, {"one": of, **others})
        assert (found.weights is not None, found.unexplained <= 0.5) == (explained, explained)
        said = lineage(merge, of=of, base=before, others=others)
        assert (said.weight is not None, said.weights is not None, said.contains) == (explained,) * 3
        assert said.unexplained == found.unexplained


def test_a_weight_that_is_not_explained_decides_nothing() -> None:
    """Of fourteen equal parts two are known: the weight is not given, and the cosine is too small to name the part."""
    base, one, *rest = _base("llama"), *(_task("llama", seed) for seed in range(1, 15))
    merge = taken("llama", mixed(base, {0.15 + i / 1000: part for i, part in enumerate([one, *rest])}))
    of, others = taken("llama", one, name="one"), {"two": taken("llama", rest[0])}
    found = lineage(merge, of=of, base=taken("llama", base), others=others)
    assert (found.weight, found.relation) == (None, "fine-tune of the same base")
    assert found.cosine is not None
    assert found.cosine < 0.3
    assert found.p_value < 1e-3


def test_the_nearest_base_is_the_one_it_descends_from() -> None:
    bases = {str(seed): taken("llama", weights("llama", seed=seed)) for seed in (5, 6, 7)}
    bases |= {"own": taken("llama", _base("llama")), "other architecture": taken("gpt2", _base("gpt2"))}
    found = nearest_base(taken("llama", _task("llama", 1)), bases)
    assert (found.name, found.descends, len(found.similarities)) == ("own", True, 4)
    del bases["own"]
    assert not nearest_base(taken("llama", _task("llama", 1)), bases).descends
    assert nearest_base(taken("llama", _base("llama")), {"gpt2": bases["other architecture"]}).name is None
    with pytest.raises(FingerprintError, match="no base models"):
        nearest_base(taken("llama", _base("llama")), {})


def test_chance_is_judged_right() -> None:
    """Independent numbers: p-values of strangers lie where those of a test must, and the score near zero."""
    draws = np.random.default_rng(0)

    def one() -> float:
        pairs = [("units", draws.normal(size=(12, 12)), draws.normal(size=(12, 12))) for _ in range(6)]
        gates = [("gate", draws.normal(size=(12, 12)), draws.normal(size=(12, 12))) for _ in range(6)]
        return agreement([*pairs, *gates]).p_value

    found = np.array([one() for _ in range(300)])
    assert 0.4 < found.mean() < 0.6
    assert (found <= 0.05).mean() < 0.1
    assert (found <= 0.01).mean() < 0.035


@pytest.mark.parametrize("likeness", [0.2, 0.1, 0.05])
def test_models_as_alike_as_strangers_are_not_significant(likeness: float) -> None:
    """Tested against a likeness of 0.2, p-values lie where they must, or higher; against none, they do not."""
    draws = np.random.default_rng(1)

    def pair(kind: str, shared: float) -> tuple[str, np.ndarray, np.ndarray]:
        ours, own = draws.normal(size=(2, 12, 12))
        return kind, ours, shared * ours + (1 - shared**2) ** 0.5 * own

    def drawn(shared: float) -> list[tuple[str, np.ndarray, np.ndarray]]:
        return [pair(kind, shared) for kind in ("units", "gate") for _ in range(6)]

    models = [drawn(likeness) for _ in range(200)]
    found, independent = (np.array([agreement(m, likeness=null).p_value for m in models]) for null in (STRANGERS, 0.0))
    assert (found <= 0.05).mean() < 0.1
    assert (found <= 0.01).mean() < 0.035
    assert (independent <= 0.05).mean() > 0.2
    assert (found > independent).all()
    assert agreement(drawn(0.8), likeness=STRANGERS).p_value < 1e-6
    assert agreement(models[0], likeness=STRANGERS).score == pytest.approx(agreement(models[0]).score)


def test_diagonals_which_are_of_one_sign_in_every_model_say_nothing() -> None:
    same = np.diag(np.arange(1.0, 13.0))
    assert agreement([("units", same, same)]).p_value == 1.0


def test_a_stacked_model_shows_its_layers() -> None:
    found = compare_layers(taken("llama", _base("llama")), taken("llama", _base("llama")))
    assert (found.ours, found.theirs) == (("layers.0", "layers.1"),) * 2
    assert np.allclose(np.diag(found.scores), 1)
    assert abs(found.scores[0, 1]) < 0.3


def test_a_bare_model_is_compared_with_its_wrapped_one() -> None:
    """A causal language model and the body inside it have other names for the same tensors."""
    whole = taken("llama", _base("llama"))
    bare = Fingerprint(
        "bare",
        whole.components,
        tuple(type(form)("", form.place.removeprefix("model."), form.kind, form.values) for form in whole.forms),
    )
    assert compare(whole, bare).kinship == "same"


def test_what_cannot_be_compared_is_refused() -> None:
    llama, base = taken("llama", _task("llama", 1)), taken("llama", _base("llama"))
    with pytest.raises(FingerprintError, match="no place in common"):
        compare(llama, taken("gpt2", _base("gpt2")))
    with pytest.raises(FingerprintError, match="different probes"):
        compare(llama, taken("llama", _task("llama", 1), secret="s"))
    with pytest.raises(FingerprintError, match="same weights as the base"):
        attribute(llama, base, {"base again": base})
    with pytest.raises(FingerprintError, match="no fine-tunes"):
        attribute(llama, base, {})
    with pytest.raises(FingerprintError, match="give the base too"):
        lineage(llama, of=base, others={"x": llama})
    with pytest.raises(FingerprintError, match="at least two"):
        plot_tree({"one": llama}, "tree.png")


def test_secret_probes_see_the_same_relations_in_other_numbers() -> None:
    base, one = _base("llama"), _task("llama", 1)
    found = compare(taken("llama", one, secret="s"), taken("llama", base, secret="s"))
    assert found.kinship == "related"
    open_, hidden = taken("llama", base).forms, taken("llama", base, secret="s").forms
    assert all(np.abs(a.values - b.values).max() > 1e-3 for a, b in zip(open_, hidden, strict=True))


def test_plots_are_written(tmp_path) -> None:  # type: ignore[no-untyped-def]
    one, base = taken("llama", _task("llama", 1), name="one"), taken("llama", _base("llama"), name="base")
    plot_layers(one, base, tmp_path / "layers.png")
    plot_tree({"one": one, "base": base, "gpt2": taken("gpt2", _base("gpt2"))}, tmp_path / "tree.png")
    for name in ("layers.png", "tree.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
