"""How networks are called, from the description of their architecture alone."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from vision_studies.config.models import ARCHITECTURES


def network_name(settings: Mapping[str, Any]) -> str:
    """Name of a network, from its settings as JSON; of an older version's network nothing but the kind is known."""
    kind = ARCHITECTURES.get(settings["name"])
    return str(settings[kind.named_by if kind else "name"])


def network_names(networks: Sequence[Mapping[str, Any]]) -> str:
    """Names of several networks, as in `3 × resnet9 + vit_compact`."""
    counts = Counter(network_name(settings) for settings in networks)
    return " + ".join(f"{number} × {name}" if number > 1 else name for name, number in counts.items())
