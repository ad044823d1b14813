"""Networks, their options and their names: those that `models.architectures` has."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

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


def network_name(settings: Mapping[str, Any]) -> str:
    """Name of a network, from its settings as JSON; of an older version's network nothing but the kind is known."""
    kind = ARCHITECTURES.get(settings["name"])
    return str(settings[kind.named_by if kind else "name"])


def network_names(networks: Sequence[Mapping[str, Any]]) -> str:
    """Names of several networks, as in `3 × resnet9 + vit_compact`."""
    counts = Counter(network_name(settings) for settings in networks)
    return " + ".join(f"{number} × {name}" if number > 1 else name for name, number in counts.items())
