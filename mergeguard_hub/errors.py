"""Every exception that mergeguard_hub raises on purpose, in one place.

A message says what is wrong (with the tensor's or file's name and both values), the likely cause, and what to do.
"""

from __future__ import annotations


class MergeGuardError(Exception):
    """Base of every error that this package raises on purpose."""


# Checkpoint folders


class CheckpointError(MergeGuardError):
    """A checkpoint folder cannot be read or written."""


class MissingFileError(CheckpointError):
    """A folder, a shard or a tensor that should be there is not."""


class DownloadSizeError(CheckpointError):
    """A model on the Hub is larger than what its caller wants to fetch."""


class InvalidCheckpointError(CheckpointError):
    """A safetensors header or an index is truncated, contradicts itself, or does not fit its file."""


class UnsafePathError(CheckpointError):
    """An index or a pipeline file names something outside its own folder."""


class UnsupportedFormatError(CheckpointError):
    """The weights are in a form that cannot be protected: pickles, packed quantisation, extra copies."""


class NonFiniteWeightsError(CheckpointError):
    """A weight is NaN or infinite."""


class TargetError(CheckpointError):
    """The target exists and is not empty, lies inside the source, or its disk is full."""


# Architectures


class ArchitectureError(MergeGuardError):
    """Nothing is known about this architecture that could be used to protect it."""


class UnknownArchitectureError(ArchitectureError):
    """The configuration names no class that the installed transformers or diffusers has."""


class UnprovedLayoutError(ArchitectureError):
    """No stage of the recipe could be proved on a scaled-down instance of this architecture."""


# Protection


class ProtectionError(MergeGuardError):
    """A recipe or a stage cannot be applied as asked."""


class RecipeError(ProtectionError):
    """A recipe is empty, names an unknown preset, or a stage has a setting outside its range."""


class BaseModelError(ProtectionError):
    """The base model is missing, or its tensors have other names or shapes than the fine-tuned model's."""


class VerificationError(ProtectionError):
    """The protected weights do not compute what the original weights compute."""


# Training


class TrainingError(MergeGuardError):
    """Training cannot protect this model as asked: a setting is impossible, or the model does not allow it."""


class DivergedError(TrainingError):
    """A loss has become infinite or NaN, or the model alone has become worse than guessing."""


# Keys


class KeyFileError(MergeGuardError):
    """A key file is missing, unreadable, not a key, open to others, or lies where it would be published."""


class PassphraseError(KeyFileError):
    """A passphrase is needed, wrong, or cannot be used because `cryptography` is not installed."""


class WrongKeyError(MergeGuardError):
    """The key is valid, but this release was not protected with it."""


# Releases


class ReleaseError(MergeGuardError):
    """A protected release cannot be used as asked."""


class NotProtectedError(ReleaseError):
    """The folder carries no protection to verify or to undo."""


class ModifiedReleaseError(ReleaseError):
    """The weights are not the ones that the release's digest was taken of."""


class HookError(MergeGuardError):
    """This object cannot be saved protected, or was asked to be in a way that would publish raw weights."""


class PushError(MergeGuardError):
    """A release did not get to the Hub: no token, no rights, no connection, another push; the remote is as it was."""


class CardError(MergeGuardError):
    """A model card cannot be extended: its front matter is no YAML, or our block in it is not closed."""


# Merging


class MergeError(MergeGuardError):
    """Models cannot be merged: their tensors differ in name, shape or kind, or a setting is outside its range."""


class EngineError(MergeError):
    """Another merge tool is not installed, refuses or fails, or loses tensors."""


# Audit


class AuditError(MergeGuardError):
    """A protection cannot be measured as asked."""


class TaskError(AuditError):
    """A task has no items or an impossible setting, needs what is not installed, or does not fit the model."""


# Attacks


class AttackError(MergeGuardError):
    """An attack cannot be carried out: the tensors do not fit, it lacks what it needs, or a setting is impossible."""


# Fingerprints


class FingerprintError(MergeGuardError):
    """A fingerprint cannot be taken, read or compared: no weights that it looks at, other shapes, too few models."""
