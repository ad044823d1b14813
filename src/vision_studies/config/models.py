"""Networks and their options: those that `models.architectures` has."""

from typing import TYPE_CHECKING, TypeAlias

from vision_studies.models.architecture import Architecture
from vision_studies.models.architectures import FIRST
from vision_studies.settings_base import one_of, read_kinds

_KINDS = read_kinds(Architecture, "vision_studies.models.architectures", FIRST)  # type: ignore[type-abstract]

ARCHITECTURES = {name: kind for kind in _KINDS for name in kind.names()}
"""What a network's options are called -> their kind."""

PRESETS = {name: dict(options) for kind in _KINDS for name, options in kind.presets.items()}
"""Name of a network -> its options."""

if TYPE_CHECKING:
    ModelSettings: TypeAlias = Architecture
else:
    ModelSettings = one_of(_KINDS)
