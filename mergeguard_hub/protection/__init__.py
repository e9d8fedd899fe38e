"""Protections: stages that draw symmetry actions from the owner's key, and the recipes they make up."""

from __future__ import annotations

from mergeguard_hub.protection.channel_permutation import ChannelPermutation
from mergeguard_hub.protection.expert_permutation import ExpertPermutation
from mergeguard_hub.protection.head_mix import HeadMix
from mergeguard_hub.protection.head_permutation import HeadPermutation
from mergeguard_hub.protection.head_scaling import HeadScaling
from mergeguard_hub.protection.key import Key
from mergeguard_hub.protection.norm_absorption import NormAbsorption
from mergeguard_hub.protection.recipe import PRESETS, STAGES, Recipe
from mergeguard_hub.protection.residual_shuffle import ResidualShuffle
from mergeguard_hub.protection.stage import Facts, Stage
from mergeguard_hub.protection.unit_rearrangement import UnitRearrangement
from mergeguard_hub.protection.unit_scaling import UnitScaling

__all__ = [
    "PRESETS",
    "STAGES",
    "ChannelPermutation",
    "ExpertPermutation",
    "Facts",
    "HeadMix",
    "HeadPermutation",
    "HeadScaling",
    "Key",
    "NormAbsorption",
    "Recipe",
    "ResidualShuffle",
    "Stage",
    "UnitRearrangement",
    "UnitScaling",
]
