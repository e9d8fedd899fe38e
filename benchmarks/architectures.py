"""Prove every causal language model of the installed transformers: `python -m benchmarks.architectures`.

Each model type is scaled down from its default configuration and proved in a process of its own, forked from one that
has imported everything, with limits on time and memory. What was found is cached, so an interrupted run goes on where
it stopped. Writes benchmarks/results/architectures.md and architectures-summary.md.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import multiprocessing
import resource
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path

import scipy.optimize
import torch
import transformers
import transformers.modeling_utils
import transformers.models.llama.modeling_llama
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

import mergeguard_hub.architecture
from benchmarks.architecture_tables import Row, summary, table
from mergeguard_hub.architecture import Layout, Miniature, Names, coverage, lay_out, prove
from mergeguard_hub.errors import ArchitectureError
from mergeguard_hub.protection import Recipe
from mergeguard_hub.protection.recipe import targets

RESULTS = Path(__file__).resolve().parent / "results"
LIMIT_S = 60.0
LIMIT_BYTES = 12 << 30  # address space of one proof, libraries included; a miniature needs a fraction of it
BLOCKS = frozenset({"query_key", "value_output", "heads", "units"})
PRELOADED = (scipy.optimize, transformers.modeling_utils, transformers.models.llama.modeling_llama)


def model_types() -> dict[str, str]:
    """Return model type -> class of every causal language model, in the order transformers lists them."""
    mapping = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    return {kind: names if isinstance(names, str) else names[0] for kind, names in mapping.items()}


def examine(kind: str, cls: str) -> Row:
    """Scale one model type down and prove it."""
    try:
        config = transformers.CONFIG_MAPPING[kind]().to_dict() | {"architectures": [cls], "model_type": kind}
    except Exception as error:  # noqa: BLE001 - a default configuration may be invalid in any way
        return Row(kind, cls, "not instantiable", why=f"its default configuration is invalid: {last_line(error)}")
    try:
        miniature = Miniature(config)
    except ArchitectureError as error:
        return Row(kind, cls, "not instantiable", why=last_line(error).rpartition("proved: ")[2])
    proof = prove(miniature)
    names = Names({name: tuple(tensor.shape) for name, tensor in miniature.state.items()}, miniature.config)
    layout = lay_out(names, proof)
    blocks = [proved for (_, group), proved in proof.proved.items() if group in BLOCKS]
    return Row(
        kind=kind,
        cls=cls,
        status="proved" if blocks else "refused",
        dtype=proof.dtype,
        covered=covered(names, layout),
        error=max((proved.error for proved in proof.proved.values()), default=0.0),
        proved=tuple(f"{place[0]} {place[1]}: {found.reading}" for place, found in proof.proved.items()),
        refused=tuple((place[1], place[0], why) for place, why in proof.refused.items()),
    )


def covered(names: Names, layout: Layout) -> float:
    """Return the fraction of attention and MLP weights that the preset "exact" moves."""
    spaces = [space for stage in Recipe.preset("exact").stages for space in targets(stage, layout.spaces)]
    return coverage(names, frozenset(name for space in spaces for name in space.tensors))[0]


def last_line(error: Exception) -> str:
    """Return the last line of an error's message, shortened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[-1][:160]


def isolated(kind: str, cls: str) -> Row:
    """Examine one model type in a forked process that cannot hang or take the run down."""
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(kind, cls, send), daemon=True)
    process.start()
    send.close()
    try:
        found = receive.recv() if receive.poll(LIMIT_S) else f"no result within {LIMIT_S:.0f} s"
    except EOFError:
        found = f"more than {LIMIT_BYTES >> 30} GB of memory, or a crash"
    process.kill()
    process.join()
    return found if isinstance(found, Row) else Row(kind, cls, "not instantiable", why=found)


def _child(kind: str, cls: str, send: Connection) -> None:
    with contextlib.suppress(ValueError):  # some systems do not let a process limit itself
        resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
    torch.set_num_threads(1)
    with contextlib.redirect_stderr(io.StringIO()):
        try:
            send.send(examine(kind, cls))
        except Exception as error:  # noqa: BLE001 - one class must not end the run
            send.send(f"{type(error).__name__}: {last_line(error)}")


def cache_file() -> Path:
    """Return the file of finished types: another one for every version of transformers and of our own code."""
    state = hashlib.sha256(transformers.__version__.encode() + torch.__version__.encode())
    for source in sorted(Path(mergeguard_hub.architecture.__file__).parent.glob("*.py")):
        state.update(source.read_bytes())
    return Path(tempfile.gettempdir()) / f"mergeguard-architectures-{state.hexdigest()[:16]}.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Examine every type, or the named ones, and write both tables."""
    parser = argparse.ArgumentParser(description="Prove every causal language model that transformers lists.")
    parser.add_argument("types", nargs="*", help="only these model types, in detail; writes no table")
    parser.add_argument("--again", action="store_true", help="ignore what an earlier run found")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    kinds, cache = model_types(), cache_file()
    if chosen.types:
        for kind in chosen.types:
            print(json.dumps(asdict(isolated(kind, kinds[kind])), indent=2))
        return 0
    rows = {} if chosen.again or not cache.is_file() else json.loads(cache.read_text(encoding="utf-8"))
    for number, (kind, cls) in enumerate(kinds.items(), 1):
        if kind not in rows:
            rows[kind] = asdict(isolated(kind, cls))
            cache.write_text(json.dumps(rows), encoding="utf-8")
        print(f"{number:3d}/{len(kinds)} {kind}: {rows[kind]['status']}", flush=True)
    found = [Row.of(rows[kind]) for kind in kinds]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "architectures.md").write_text(table(found), encoding="utf-8")
    (RESULTS / "architectures-summary.md").write_text(summary(found, transformers.__version__), encoding="utf-8")
    print(summary(found, transformers.__version__))
    return 0


if __name__ == "__main__":
    sys.exit(main())
