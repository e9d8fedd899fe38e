"""Attacks: what a free-rider does to a release before, while and after merging it.

`ATTACKS` turn a release into a model that merges; `MERGE_ATTACKS` yield merges of their own; `recover` and `grad_erase`
train a merge, `distil` trains without one. None of them sees the recipe or the key.
"""

from __future__ import annotations

from mergeguard_hub.attacks.activations import activations_on
from mergeguard_hub.attacks.aga import Aga
from mergeguard_hub.attacks.alignment import Alignment
from mergeguard_hub.attacks.attack import Attack, Knowledge
from mergeguard_hub.attacks.candidates import Candidate, MergeAttack, Unlabelled, Workshop
from mergeguard_hub.attacks.canonical import Canonicalisation
from mergeguard_hub.attacks.coefficients import LayerSearch, PlaneSearch, Rebasing
from mergeguard_hub.attacks.distillation import distil, lessons
from mergeguard_hub.attacks.folder import attack_folder, layout_of
from mergeguard_hub.attacks.frankenmerge import Frankenmerge
from mergeguard_hub.attacks.grad_erase import grad_erase
from mergeguard_hub.attacks.partial import ActivationMatching, NormRatio, Procrustes, WeightMatching
from mergeguard_hub.attacks.pruning import MaskReadout, Pruning, Rounding, SpectralClipping
from mergeguard_hub.attacks.recovery import CostPoint, recover
from mergeguard_hub.attacks.unmask import Unmask
from mergeguard_hub.attacks.upcycling import Upcycling

ATTACKS: dict[str, type[Attack]] = {
    "alignment": Alignment,
    "aga": Aga,
    "norm_ratio": NormRatio,
    "procrustes": Procrustes,
    "canonicalisation": Canonicalisation,
    "weight_matching": WeightMatching,
    "activation_matching": ActivationMatching,
    "mask_readout": MaskReadout,
    "spectral_clipping": SpectralClipping,
    "pruning": Pruning,
    "rounding": Rounding,
}
MERGE_ATTACKS: dict[str, type[MergeAttack]] = {
    "rebasing": Rebasing,
    "plane_search": PlaneSearch,
    "layer_search": LayerSearch,
    "unmask": Unmask,
    "frankenmerge": Frankenmerge,
    "upcycling": Upcycling,
}

__all__ = [
    "ATTACKS",
    "MERGE_ATTACKS",
    "ActivationMatching",
    "Aga",
    "Alignment",
    "Attack",
    "Candidate",
    "Canonicalisation",
    "CostPoint",
    "Frankenmerge",
    "Knowledge",
    "LayerSearch",
    "MaskReadout",
    "MergeAttack",
    "NormRatio",
    "PlaneSearch",
    "Procrustes",
    "Pruning",
    "Rebasing",
    "Rounding",
    "SpectralClipping",
    "Unlabelled",
    "Unmask",
    "Upcycling",
    "WeightMatching",
    "Workshop",
    "activations_on",
    "attack_folder",
    "distil",
    "grad_erase",
    "layout_of",
    "lessons",
    "recover",
]
