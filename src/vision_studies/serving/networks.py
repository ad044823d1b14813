"""Networks of every method: how they are called, whether they can be used, and how they were trained."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision_studies.config.registry import METHODS
from vision_studies.studies.method import Networks, NoNetworks, StoredNetwork, load_method

if TYPE_CHECKING:
    from vision_studies.data.prepared import PreparedData
    from vision_studies.training.rebuilt import Rebuilt

_UNKNOWN = NoNetworks("they keep no network", lambda _: "")


def network_title(pipeline: str, configuration: Mapping[str, Any]) -> str:
    """Name of the network that a run trained; empty where it is part of one alone.

    Args:
        pipeline: whose run it is.
        configuration: of the run.
    """
    return _networks(pipeline).title(configuration)


def why_unusable(description: Mapping[str, Any], folder: Path) -> str | None:
    """Why no classifier of images can be made of a run, in words that follow "cannot be used: "; None where one can.

    Args:
        description: content of the run's `run.json`.
        folder: of the run.
    """
    networks = _networks(description["pipeline"])
    if isinstance(networks, NoNetworks):
        return networks.reason
    return networks.unusable(description["configuration"], folder)


def rebuild(
    description: Mapping[str, Any], folder: Path, data: "PreparedData", checkpoint: Path | None = None
) -> "Rebuilt":
    """The network of a run.

    Args:
        description: content of the run's `run.json`; `why_unusable` finds nothing against it.
        folder: of the run.
        data: images and splits that the run was trained on.
        checkpoint: a numbered one, instead of the selected weights; of networks that are trained as one alone.

    Raises:
        CheckpointError: the weights do not fit the network that the run describes, or those of another run, which it needs,
            are gone.
    """
    networks = _networks(description["pipeline"])
    assert isinstance(networks, Networks)  # noqa: S101 - `why_unusable` has been asked
    return networks.rebuild(StoredNetwork(folder, description, checkpoint), data)


def _networks(pipeline: str) -> Networks | NoNetworks:
    return load_method(pipeline).networks if pipeline in METHODS else _UNKNOWN
