"""The Hub's side: saving protected through the libraries' own `save_pretrained`."""

from mergeguard_hub.hub.enable import disable, enable
from mergeguard_hub.hub.mixin import MergeGuardMixin
from mergeguard_hub.hub.settings import SaveSettings

__all__ = ["MergeGuardMixin", "SaveSettings", "disable", "enable"]
