"""Attack a release on disk."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from mergeguard_hub.architecture import Layout, Names, lay_out, prove_config, proved_as_named
from mergeguard_hub.attacks.alignment import Alignment
from mergeguard_hub.attacks.attack import Attack, Knowledge, check_same_tensors
from mergeguard_hub.checkpoint import SIDECAR, Checkpoint, CheckpointTensors, StagedFolder, tensor_bytes

CONFIG = "config.json"
CLAIMS = ("mergeguard", "_mergeguard")  # what a release's configuration says of itself, gone for the same reason


def layout_of(checkpoint: Checkpoint) -> Layout:
    """Prove what may be done to a checkpoint's architecture, as anybody can who has its configuration.

    Raises:
        ArchitectureError: its class cannot be built and run.
    """
    shapes = {name: entry.shape for name, entry in checkpoint.entries.items() if entry.is_floating}
    proof, config = proved_as_named(partial(prove_config, checkpoint.config), shapes)
    return lay_out(Names(shapes, config), proof)


def attack_folder(
    attack: Attack, protected: str | Path, base: str | Path, target: str | Path, *, knowledge: Knowledge | None = None
) -> None:
    """Write the attacked copy of a model folder; the release and the base are only read.

    `Alignment` streams: it reads a block at a time and writes tensor by tensor. Other attacks hold the attacked model
    in memory once. Pipelines are attacked component by component, by calling this on each.

    Args:
        attack: what to do.
        protected: folder of the release.
        base: folder of the public base model.
        target: folder to write; must not exist or be empty.
        knowledge: what else the free-rider has; the layout is proved here if it is not given.

    Raises:
        CheckpointError: a folder cannot be read or written.
        AttackError: see `Attack.apply`.
    """
    release = Checkpoint.open(Path(protected), exclude=(SIDECAR,))
    weights, reference = CheckpointTensors(release), CheckpointTensors(Checkpoint.open(Path(base), exclude=(SIDECAR,)))
    known = knowledge or Knowledge()
    if known.layout is None and "architecture" in attack.needs:
        known = Knowledge(layout_of(release), known.partner, known.activations)
    with StagedFolder(Path(target), sources=(Path(protected), Path(base))) as staged:
        staged.allocate(release)
        if isinstance(attack, Alignment) and known.layout is not None:
            check_same_tensors(weights, reference)
            view = attack.solve(weights, base=reference, layout=known.layout)
            for name, entry in release.entries.items():
                staged.write(entry, tensor_bytes(view.stored_one(name)))
        else:
            for name, tensor in attack.apply(weights, base=reference, knowledge=known).items():
                staged.write(release.entries[name], tensor_bytes(tensor.contiguous()))
        for file in release.side_files:
            if file != CONFIG:
                staged.copy_file(release.root / file, file)
        if release.config:
            config = {key: value for key, value in release.config.items() if key not in CLAIMS}
            staged.write_text(CONFIG, json.dumps(config, indent=2) + "\n")
