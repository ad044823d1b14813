"""Networks as they were trained, and loading weights into them."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from vision_studies.data.loaders import Normalisation
from vision_studies.errors import CheckpointError
from vision_studies.training.checkpoints import load_state, load_weights
from vision_studies.training.precision import HasPrecision

_BATCH = 256  # images at a time, where a run's settings do not say


@dataclass(frozen=True)
class Rebuilt:
    """A network as it was trained.

    Attributes:
        network: normalised images [N, C, H, W] -> logits [N, classes].
        class_names: one name a logit.
        normalisation: that it was trained with.
        training: its number format.
        batch_size: images at a time when it was scored.
        padding: of test-time crops in pixels; None where the run's settings do not say.
        seed: of test-time crops.
    """

    network: nn.Module
    class_names: tuple[str, ...]
    normalisation: Normalisation
    training: HasPrecision
    batch_size: int = _BATCH
    padding: int | None = None
    seed: int = 0


def load_selected(network: nn.Module, file: Path) -> nn.Module:
    """Load weights, or those of a numbered checkpoint, into `network`.

    Raises:
        CheckpointError: the file is damaged or belongs to another network.
    """
    state = load_state(file)
    if not isinstance(state, dict) or "optimizers" not in state:
        return load_weights(network, file)
    try:
        network.load_state_dict(state["model"])
    except RuntimeError as error:
        raise CheckpointError(
            f"{file} is a checkpoint of another network than its run describes; it was moved or changed."
        ) from error
    return network
