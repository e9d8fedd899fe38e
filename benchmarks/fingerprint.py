"""What a free-rider can do against a fingerprint: `python -m benchmarks.fingerprint [--quick]`.

Releases of the zoo are compared with their originals, their relatives and models trained independently on the same
data. Then a release is changed in every way that we could think of, and both the verdict and what is left of the skill
are measured. Writes benchmarks/results/fingerprint-zoo.md and fingerprint-evasion.md. Takes about a quarter of an hour
on one core, half of it training; `--quick` leaves that out and writes nothing.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers.utils.logging import disable_progress_bar

from mergeguard_hub.fingerprint import Fingerprint, compare, fingerprint_folder, lineage
from mergeguard_hub.fingerprint.probes import TOKENS
from mergeguard_hub.fingerprint.signs import chosen
from mergeguard_hub.protection import PRESETS, Key
from mergeguard_hub.release import protect_folder
from space.zoo.vision import train
from space.zoo.vision.family import classification, load_model, model_of

ROOT = Path(__file__).resolve().parent.parent
ZOO, RESULTS = ROOT / "space" / "zoo", ROOT / "benchmarks" / "results"
FAMILIES = ("language", "gemma", "vision", "images")
PARTS = ("vae", "scorer")  # of the images, no models of their own
KEY = Key(bytes(range(32)))
OWN, OTHER = "scenes", "vehicles"  # the released skill, and what a free-rider trains
BASES = (1, 2)  # seeds of bases that are trained anew on the same pictures
STRANGER_STEPS = 400  # instead of 900: long enough to do every task
Weights = dict[str, Tensor]


def models(family: str) -> dict[str, Path]:
    """Return the folders of a family's models."""
    folders = sorted(path for path in (ZOO / family / "weights").iterdir() if path.is_dir())
    return {path.name: path for path in folders if path.name not in PARTS}


def zoo_rows(work: Path) -> Iterator[str]:
    """Yield a row for every family and preset: the release's distance to its original and to all others."""
    for family in FAMILIES:
        folders = models(family)
        known = {name: fingerprint_folder(path) for name, path in folders.items()}
        pairs = [(one, two) for one in known for two in known if one < two]
        between = [compare(known[one], known[two]) for one, two in pairs]
        tuned = [(one, two) for one, two in pairs if "base" not in (one, two)]
        cosines = [lineage(known[a], of=known[b], base=known["base"]).cosine or 0.0 for a, b in tuned]
        for preset in PRESETS:
            own, hits, wrong, tried = [], 0, 0, 0
            for name, path in folders.items():
                target = work / "zoo"
                protect_folder(path, target, recipe=preset, key=KEY, base=folders["base"])
                released = fingerprint_folder(target)
                shutil.rmtree(target)
                found = {other: compare(released, fingerprint) for other, fingerprint in known.items()}
                own.append(found[name].distance)
                hits += found[name].kinship == "same"
                others = [found[other].kinship == "same" for other in known if other != name]
                wrong, tried = wrong + sum(others), tried + len(others)
            cells = [family, preset, f"{hits} of {len(own)}", f"{max(own):.1e}", f"{wrong} of {tried}"]
            cells += [
                f"{min(s.distance for s in between):.2f}",
                f"{min(s.score for s in between):.2f}",
                f"{max(cosines):.2f}",
            ]
            yield "| " + " | ".join(cells) + " |"


ZOO_HEAD = (
    "| family | preset | releases recognised | distance to the original, most | taken for another model | "
    "distance of two models, least | score of two models, least | cosine of two fine-tunes, most |\n"
    "|---|---|---:|---:|---:|---:|---:|---:|"
)


def strangers(work: Path, cache: Path) -> str:
    """Return how alike bases are that were trained on the same pictures from other random weights."""
    known = {"the zoo's base": fingerprint_folder(models("vision")["base"])}
    for seed in BASES:
        place = work / f"vision-{seed}"
        if not place.exists():
            train.BASE = replace(train.BASE, steps=STRANGER_STEPS)
            train.start_base(seed=seed, cache=cache).finish(work / "base.pt").to(torch.bfloat16).save_pretrained(place)
        known[f"seed {seed}"] = fingerprint_folder(place)
    pairs = [(one, two) for i, one in enumerate(known) for two in list(known)[i + 1 :]]
    found = [(one, two, compare(known[one], known[two])) for one, two in pairs]
    said = "; ".join(f"{a} and {b}: score {s.score:.2f}, {s.kinship}" for a, b, s in found)
    return f"Bases of the vision family, trained on the same pictures from other random weights: {said}."


@dataclass(frozen=True)
class Evasion:
    """One thing that a free-rider does to a release's weights.

    Attributes:
        title: as shown.
        change: gets the weights in float32 and returns others.
    """

    title: str
    change: Callable[[Weights], Weights]


def matrices(change: Callable[[Tensor], Tensor]) -> Callable[[Weights], Weights]:
    """Return a change of every matrix of the layers."""
    return lambda weights: {
        name: change(tensor.flatten(1)).reshape(tensor.shape) if tensor.ndim > 1 and "layer." in name else tensor
        for name, tensor in weights.items()
    }


def noisy(tensor: Tensor, share: float) -> Tensor:
    """Add normal noise of a share of the tensor's standard deviation."""
    generator = torch.Generator().manual_seed(0)
    return tensor + share * tensor.std() * torch.randn(tensor.shape, generator=generator)


def low_rank(tensor: Tensor, share: float) -> Tensor:
    """Keep the largest singular values, a share of them."""
    left, values, right = torch.linalg.svd(tensor, full_matrices=False)
    kept = max(1, round(share * len(values)))
    return (left[:, :kept] * values[:kept]) @ right[:kept]


def pruned(tensor: Tensor, share: float) -> Tensor:
    """Set a share of the entries, the smallest, to zero."""
    return torch.where(tensor.abs() > tensor.abs().flatten().quantile(share), tensor, 0.0)


def rounded(tensor: Tensor, bits: int) -> Tensor:
    """Round every row to that many bits."""
    step = tensor.abs().amax(1, keepdim=True).clamp_min(1e-12) / (2 ** (bits - 1) - 1)
    return (tensor / step).round() * step


EVASIONS = (
    Evasion("nothing", lambda weights: weights),
    *(
        Evasion(f"noise of {100 * s:g} % on every weight", matrices(lambda t, s=s: noisy(t, s)))
        for s in (0.01, 0.03, 0.1)
    ),
    *(Evasion(f"{100 * s:g} % of the singular values", matrices(lambda t, s=s: low_rank(t, s))) for s in (0.75, 0.5)),
    *(Evasion(f"smallest {100 * s:g} % set to zero", matrices(lambda t, s=s: pruned(t, s))) for s in (0.5, 0.8)),
    *(Evasion(f"rounded to {b} bits", matrices(lambda t, b=b: rounded(t, b))) for b in (8, 4)),
)
# How both are trained on another task: steps, and the learning rate; those of the zoo's own fine-tunes.
TRAINED = ((450, 8e-4),)


def evasion_rows(work: Path, cache: Path, *, quick: bool) -> Iterator[str]:
    """Yield a row for every evasion: what is left of the skill, what the fingerprint says, and both of the original."""
    release, original = work / "release", models("vision")[OWN]
    shutil.rmtree(release, ignore_errors=True)
    protect_folder(original, release, recipe="exact", key=KEY)
    for evasion in EVASIONS:
        cells = []
        for source in (release, original):
            changed = work / "changed"
            rewrite(source, changed, evasion.change)
            cells.append(vision_cells(changed))
            shutil.rmtree(changed)
        yield row(evasion.title, *cells)
    for steps, rate in () if quick else TRAINED:
        cells = [vision_cells(trained(source, steps, rate, work, cache)) for source in (release, original)]
        yield row(f"trained on {OTHER}, {steps} steps at {rate:g}", *cells)
    yield from language_rows(work)


def trained(source: Path, steps: int, rate: float, work: Path, cache: Path) -> Path:
    """Return a folder with the model trained on another task, as the zoo's fine-tunes are."""
    place = work / f"trained-{source.name}-{rate:g}"
    if not place.exists():
        recipe = train.FINE_TUNES[OTHER]
        train.FINE_TUNES[OTHER] = replace(recipe, schedule=replace(recipe.schedule, steps=steps, learning_rate=rate))
        run = train.start_fine_tune(OTHER, load_model(source), cache=cache)
        run.finish(work / "trained.pt").to(torch.bfloat16).save_pretrained(place)
    return place


def vision_cells(folder: Path) -> list[str]:
    """Return accuracy and verdict of a changed model of the vision family."""
    skill = f"{100 * classification(OWN).score(model_of(dict(load_model(folder).state_dict()))).value:.1f} %"
    folders = models("vision")
    return [skill, *verdict(fingerprint_folder(folder), *(fingerprint_folder(folders[n]) for n in (OWN, "base")))]


def verdict(ours: Fingerprint, original: Fingerprint, base: Fingerprint) -> list[str]:
    """Return what the fingerprint says of a changed model."""
    found = lineage(ours, of=original, base=base)
    score, sizes, cosine = f"{found.similarity.score:.3f}", f"{found.similarity.sizes:.3f}", f"{found.cosine:.2f}"
    return [score, sizes, cosine, found.relation]


def row(title: str, release: list[str], original: list[str]) -> str:
    """Return one row of the table."""
    return "| " + " | ".join([title, *release, *original]) + " |"


EVASION_HEAD = (
    "| what was done | release: accuracy | score | sizes | cosine | said "
    "| original: accuracy | score | sizes | cosine | said |\n|---|---:|---:|---:|---:|---|---:|---:|---:|---:|---|"
)


def language_rows(work: Path) -> Iterator[str]:
    """Yield what becomes of the tokens that probes are made of: renumbered with their tokeniser, or spoiled."""
    folders, release = models("language"), work / "language"
    shutil.rmtree(release, ignore_errors=True)
    protect_folder(folders["math"], release, recipe="exact", key=KEY)
    name = "model.embed_tokens.weight"
    vocabulary, width = load_file(release / "model.safetensors")[name].shape
    among = 1 << (vocabulary.bit_length() - 1)

    def renumbered(weights: Weights) -> Weights:
        order = torch.randperm(vocabulary, generator=torch.Generator().manual_seed(0))
        return {**weights, name: weights[name][order]}

    def spoiled(weights: Weights) -> Weights:
        at = torch.from_numpy(chosen(f"tokens {among}", min(TOKENS, width // 2), among))
        rows = weights[name].clone()
        rows[at] = noisy(rows[at], 3.0)
        return {**weights, name: rows}

    ways = {
        "tokens renumbered, tokeniser too": (renumbered, None),
        "tokens of the public probes spoiled": (spoiled, None),
        "the same, fingerprint taken with a secret": (spoiled, "correct horse battery staple"),
    }
    for title, (change, secret) in ways.items():
        cells = []
        for source in (release, folders["math"]):
            rewrite(source, work / "changed", change)
            sides = (work / "changed", folders["math"], folders["base"])
            cells.append(["", *verdict(*(fingerprint_folder(side, secret=secret) for side in sides))])
            shutil.rmtree(work / "changed")
        yield row(f"language: {title}", *cells)


def rewrite(source: Path, target: Path, change: Callable[[Weights], Mapping[str, Tensor]]) -> None:
    """Write a copy of a model folder with other weights, in the dtypes of the old ones."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("mergeguard.json"))
    old = load_file(source / "model.safetensors")
    new = change({name: tensor.float() for name, tensor in old.items()})
    stored = {name: tensor.to(old[name].dtype).contiguous() for name, tensor in new.items()}
    save_file(stored, target / "model.safetensors", metadata={"format": "pt"})


def main() -> None:
    """Measure, print and write down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("zoo", "evasion"), help="one of the two tables")
    parser.add_argument("--quick", action="store_true", help="train nothing, and write nothing down")
    parser.add_argument("--cache", type=Path, default=ZOO / "vision" / "cache", help="folder that keeps the pictures")
    parser.add_argument("--work", type=Path, help="folder that keeps what was trained")
    options = parser.parse_args()
    disable_progress_bar()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="mergeguard-fingerprint-") as folder:
        work = options.work or Path(folder)
        if options.only != "zoo":
            table = [EVASION_HEAD, *evasion_rows(work, options.cache, quick=options.quick)]
            tell("fingerprint-evasion", table, write=not options.quick)
        if options.only != "evasion":
            table = [ZOO_HEAD, *zoo_rows(work)]
            table += [] if options.quick else ["", strangers(work, options.cache)]
            tell("fingerprint-zoo", table, write=not options.quick)


def tell(name: str, lines: list[str], *, write: bool) -> None:
    """Print a table, and write it down."""
    text = "\n".join(lines)
    print(text, flush=True)
    if write:
        (RESULTS / f"{name}.md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
