"""Checkpoint folders: safetensors opened lazily and checked, digests, and writing all or nothing.

What a tensor means is not known here. Reading maps files into memory and copies nothing; writing reserves each file
with its old header and puts every tensor at its old offset.
"""

from __future__ import annotations

from mergeguard_hub.checkpoint.digest import TensorDigest, combine_digests, stored_digest, tensor_digest
from mergeguard_hub.checkpoint.entry import TensorEntry
from mergeguard_hub.checkpoint.finite import has_nonfinite
from mergeguard_hub.checkpoint.folder import Checkpoint
from mergeguard_hub.checkpoint.inventory import patterns_of
from mergeguard_hub.checkpoint.naming import naming_advice
from mergeguard_hub.checkpoint.pipeline import open_folder, pipeline_files
from mergeguard_hub.checkpoint.sidecar import LEFT_OUT, SIDECAR
from mergeguard_hub.checkpoint.slot import Slot
from mergeguard_hub.checkpoint.staged import StagedFolder
from mergeguard_hub.checkpoint.tensor_bytes import tensor_bytes
from mergeguard_hub.checkpoint.tensors import CheckpointTensors
from mergeguard_hub.checkpoint.variant import refuse_other_variant, variant_in

__all__ = [
    "LEFT_OUT",
    "SIDECAR",
    "Checkpoint",
    "CheckpointTensors",
    "Slot",
    "StagedFolder",
    "TensorDigest",
    "TensorEntry",
    "combine_digests",
    "has_nonfinite",
    "naming_advice",
    "open_folder",
    "patterns_of",
    "pipeline_files",
    "refuse_other_variant",
    "stored_digest",
    "tensor_bytes",
    "tensor_digest",
    "variant_in",
]
