"""How networks are trained on few images: numbers alone, which a run's configuration holds."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FineTuning:
    """How a pretrained network is trained; see `training.fine_tuning.FineTuner`.

    Attributes:
        share: of the network's layers, from the last one, that learn; as `models.cut_network` takes it.
        epochs: passes over the training images.
        learning_rate: of the classifier, at its highest.
        batch_size: images a step.
        body_rate: learning rate of the layer before the classifier, as a part of the classifier's.
        decay: learning rate of the first layer as a part of that; those between fall from one to the other geometrically.
        weight_decay: of AdamW.
        label_smoothing: probability spread evenly over all classes in the training loss.
    """

    share: float = 0.05
    epochs: int = 8
    learning_rate: float = 3e-4
    batch_size: int = 32
    body_rate: float = 1.0
    decay: float = 0.1
    weight_decay: float = 0.02
    label_smoothing: float = 0.1


@dataclass(frozen=True)
class FromNothing:
    """How a network is trained from random weights; see `training.fine_tuning.TrainerFromNothing`.

    Attributes:
        pixels: height and width that images are brought to.
        heavy: images are changed much more than moved and mirrored: RandAugment, and a blank square.
        epochs: passes over the training images.
        learning_rate: of AdamW, at its highest.
        batch_size: images a step.
        weight_decay: of AdamW.
        label_smoothing: probability spread evenly over all classes in the training loss.
    """

    pixels: int
    heavy: bool = False
    epochs: int = 40
    learning_rate: float = 3e-3
    batch_size: int = 32
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
