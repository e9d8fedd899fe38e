"""What a configuration claims: the one key in config.json by which a release is known as one.

The claim of a folder is about the weights beside it, so a component taken out of a pipeline can still be checked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mergeguard_hub.checkpoint import Checkpoint, combine_digests
from mergeguard_hub.errors import MergeGuardError, ModifiedReleaseError
from mergeguard_hub.release.meter import Meter
from mergeguard_hub.release.sidecar import SIDECAR, VERSION, read_sidecar

CONFIG_KEY = "mergeguard"
DIFFUSERS_CONFIG_KEY = "_mergeguard"  # diffusers warns about unknown keys unless they start with an underscore
CLAIM_KEYS = frozenset({CONFIG_KEY, DIFFUSERS_CONFIG_KEY})
_SAMPLED_BYTES = 4096  # of each tensor, our choice
_made: dict[str, Path] = {}  # sample -> target, of every release that this process has written


def claim_key(config: Mapping[str, Any]) -> str | None:
    """Return the key under which a configuration may carry a claim; None where its loader would not keep it quiet.

    Args:
        config: parsed config.json.
    """
    if "_class_name" in config:
        return DIFFUSERS_CONFIG_KEY
    return CONFIG_KEY if "model_type" in config else None


def claim_of(digest: str, release: str) -> dict[str, Any]:
    """Return the claim for a config.json.

    Args:
        digest: of the weights beside it.
        release: digest of the whole release, the same for a plain model folder.
    """
    return {"version": VERSION, "id": release_id(release), "digest": digest}


def claims_in(components: Mapping[str, Checkpoint]) -> dict[str, dict[str, Any]]:
    """Return component name -> claim, of the components whose configuration carries one.

    Args:
        components: an opened folder.
    """
    found = {}
    for name, checkpoint in components.items():
        key = claim_key(checkpoint.config)
        claim = checkpoint.config.get(key) if key else None
        if isinstance(claim, dict) and isinstance(claim.get("digest"), str):
            found[name] = claim
    return found


def digests_of(components: Mapping[str, Checkpoint], executor: Executor | None, meter: Meter) -> dict[str, str]:
    """Return component name -> digest of its weights.

    Args:
        components: an opened folder.
        executor: where tensors are hashed; None for this thread.
        meter: told of every tensor, as the phase "digest".
    """
    meter.begin("digest", sum(checkpoint.nbytes for checkpoint in components.values()))
    return {
        name: checkpoint.digest(executor=executor, progress=lambda entry: meter.advance(entry.nbytes, entry.name))
        for name, checkpoint in components.items()
    }


def whole_digest(digests: Mapping[str, str]) -> str:
    """Return the digest of a folder: the component's own where there is one, else over all of them.

    Args:
        digests: component name -> digest.
    """
    return digests[""] if set(digests) == {""} else combine_digests(digests)


def claimed_digest(claims: Mapping[str, Mapping[str, Any]], digests: Mapping[str, str]) -> str:
    """Return the digest that a folder would have if every claim in it held.

    Args:
        claims: component name -> claim.
        digests: component name -> actual digest.
    """
    return whole_digest({name: claims[name]["digest"] if name in claims else digests[name] for name in digests})


def release_id(digest: str) -> str:
    """Return the short name of a release: the first 16 hex digits of its digest.

    Args:
        digest: of the whole release.
    """
    return digest.removeprefix("sha256:")[:16]


@dataclass(frozen=True)
class Earlier:
    """The release that weights come from.

    Attributes:
        digest: its digest.
        record: its record and the file that holds it, if the weights are still its own.
    """

    digest: str
    record: tuple[dict[str, Any], Path] | None


def earlier_release(
    source: Path, target: Path, components: Mapping[str, Checkpoint], executor: Executor | None, meter: Meter
) -> Earlier | None:
    """Find the release that a folder was loaded from, or is; None if nothing speaks of one.

    The libraries carry the claim in config.json from a load to a save, and leave the record behind; some, and whoever
    loads only the tensors, leave the claim behind too. So records are looked for in the source, in the target that is
    about to be replaced and where this process has saved weights that look the same, and those of the same digest count
    whatever the claims say.

    Args:
        source: the folder.
        target: where its next release goes.
        components: the folder, opened.
        executor: where tensors are hashed; None for this thread.
        meter: told of every tensor.

    Raises:
        ModifiedReleaseError: the weights are still those of a release whose record is missing.
        InvalidCheckpointError: the source has a damaged record.
    """
    claims = claims_in(components)
    named = {str(claim.get("id")) for claim in claims.values()}
    own, saved = read_sidecar(source), _made.get(_sample(components))
    places = [(own, source), (_read_other(target), target), *([(_read_other(saved), saved)] if saved else [])]
    records = [(record, place) for record, place in places if record is not None]
    if not records and not claims:
        return None
    digests = digests_of(components, executor, meter)
    actual = whole_digest(digests)
    for record, place in records:
        if record["digest"] == actual:
            return Earlier(actual, (record, place / SIDECAR))
    for record, _ in records:
        if record["id"] in named or (not claims and record is own):
            return Earlier(record["digest"], None)
    if not claims:
        return None
    claimed = claimed_digest(claims, digests)
    if actual == claimed:
        raise ModifiedReleaseError(
            f"the weights in {source} are those of the protected release {', '.join(sorted(named))}, unchanged, and "
            f"its {SIDECAR} is not beside them. Copy that file into the source, or give the original model instead of "
            "its release."
        )
    return Earlier(claimed, None)


def parent_in(target: Path, key_id: str, digest: str) -> str | None:
    """Return the digest of the release that a target holds, if it is of the same key: the one trained on, or replaced.

    Args:
        target: where the next release goes.
        key_id: of the owner's key.
        digest: of the next release; where the target holds the same already, its parent stays.
    """
    record = _read_other(target)
    if record is None or record["key_id"] != key_id:
        return None
    found: str | None = record.get("parent") if record["digest"] == digest else record["digest"]
    return found


def remember_release(components: Mapping[str, Checkpoint], target: Path) -> None:
    """Note where this process writes a release, to know its weights again.

    Args:
        components: the release, opened.
        target: where it will be, links resolved.
    """
    _made[_sample(components)] = target


def _sample(components: Mapping[str, Checkpoint]) -> str:
    """Return a hash of the first bytes of every tensor; training moves all of them."""
    state = hashlib.sha256()
    for component, checkpoint in components.items():
        for name, entry in checkpoint.entries.items():
            state.update(f"{component}\0{name}\0{entry.dtype}\0{entry.shape}\0".encode())
            state.update(checkpoint.raw(name)[:_SAMPLED_BYTES])
    return state.hexdigest()


def _read_other(target: Path) -> dict[str, Any] | None:
    """Return the record in the target, unless it is somebody else's file of that name."""
    try:
        return read_sidecar(target)
    except MergeGuardError:
        return None
