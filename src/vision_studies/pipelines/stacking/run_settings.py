"""What a run of the `stacking` pipeline is: all that decides its numbers, besides its seed and its data.

Variants and opponents become runs of four kinds. None of them holds a setting that it does not use, so that a network which
two variants need is one run and is trained once.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from vision_studies.config.augmentation import AugmentationSettings
from vision_studies.config.training import TrainingSettings
from vision_studies.errors import ParameterError
from vision_studies.files import hash_file
from vision_studies.pipelines.stacking.settings import (
    EvaluationSettings,
    Inference,
    Initialisation,
    LossSettings,
    MetaLearnerSettings,
    NetworkSettings,
    Opponent,
    StackingRunSettings,
)
from vision_studies.settings_base import Settings


class LearnerSettings(NetworkSettings):
    """A network with its first weights."""

    initialisation: Initialisation | None = Field(description="rule for the first weights; null: the network's own")
    weights_hash: str | None = Field(description="SHA-256 of the weights_file")


class _TrainedRun(Settings):
    """What all runs that train networks have."""

    mock: bool = Field(description="learning curves are made up")
    loader: Literal["device", "ffcv"] = Field(description="where images come from")
    augmentation: AugmentationSettings = Field(description="what is done to training images")
    training: TrainingSettings = Field(description="how networks are trained")
    evaluation: EvaluationSettings = Field(description="how they are scored")


SHARED = tuple(_TrainedRun.model_fields)
"""Settings that a stack shares with its opponents."""


class NetworkRun(_TrainedRun):
    """One network alone."""

    method: Literal["network"] = Field(description="one network alone")
    learner: LearnerSettings = Field(description="the network")
    member: int = Field(ge=0, description="its number in an ensemble: with the seed, decides all that is random")


class JointRun(_TrainedRun):
    """Base learners and meta-learner trained at once."""

    method: Literal["joint"] = Field(description="base learners and meta-learner at once")
    base_learners: tuple[LearnerSettings, ...] = Field(min_length=1, description="the base learners")
    meta_learner: MetaLearnerSettings = Field(description="the network that decides")
    loss: LossSettings = Field(description="what is minimised")


class CrossValidatedRun(_TrainedRun):
    """Base learners by folds, then the meta-learner on what they say of held-out images."""

    method: Literal["cross_validated"] = Field(description="base learners by folds, then the meta-learner")
    base_learners: tuple[LearnerSettings, ...] = Field(min_length=1, description="the base learners")
    meta_learner: MetaLearnerSettings = Field(description="the network that decides")
    folds: int = Field(ge=2, description="parts of the training images")
    fold_seed: int = Field(ge=0, description="seed of the parts")
    inference: Inference = Field(description="what the meta-learner is given for a new image")
    meta_training: TrainingSettings = Field(description="how the meta-learner is trained")


class CombinationRun(Settings):
    """Independent networks, combined without any training but a choice on validation images."""

    method: Literal["combination"] = Field(description="independent networks, combined")
    mock: bool = Field(description="learning curves of its members are made up")
    rule: Opponent = Field(description="how they are combined")
    members: tuple[NetworkRun, ...] = Field(min_length=1, description="the networks")


Stack = JointRun | CrossValidatedRun
Trained = NetworkRun | Stack
AnyRun = NetworkRun | JointRun | CrossValidatedRun | CombinationRun
_ADAPTER: TypeAdapter[AnyRun] = TypeAdapter(Annotated[AnyRun, Field(discriminator="method")])


def read_run(configuration: dict[str, Any]) -> AnyRun:
    """A run's settings from its stored configuration."""
    return _ADAPTER.validate_python(configuration)


def stack_run(settings: StackingRunSettings, networks: dict[str, NetworkSettings]) -> Stack:
    """The run of a stack, whose base learners' names stand for `networks`.

    Raises:
        ParameterError: a file of weights is not there.
    """
    shared: dict[str, Any] = {name: getattr(settings, name) for name in SHARED if name != "mock"}
    shared |= {
        "mock": settings.trainer == "mock",
        "base_learners": learners(settings, networks),
        "meta_learner": settings.meta_learner,
    }
    if settings.mode == "joint":
        return JointRun(method="joint", loss=settings.loss, **shared)
    return CrossValidatedRun(
        method="cross_validated",
        folds=settings.folds.number,
        fold_seed=settings.folds.seed,
        inference=settings.folds.inference,
        meta_training=settings.level_one_training(),
        **shared,
    )


def learners(settings: StackingRunSettings, networks: dict[str, NetworkSettings]) -> tuple[LearnerSettings, ...]:
    """The base learners of a stack, in its order.

    Raises:
        ParameterError: a file of weights is not there.
    """
    found = []
    for name in settings.base_learners:
        network = networks[name]
        file = Path(network.weights_file) if network.weights_file is not None else None
        if file is not None and not file.is_file():
            raise ParameterError(
                f"stacking.networks.{name}.weights_file={network.weights_file} does not exist; put the file there, or set it "
                "to null."
            )
        initialisation, weights_hash = (settings.initialisation, None) if file is None else (None, hash_file(file))
        found.append(LearnerSettings(**network.model_dump(), initialisation=initialisation, weights_hash=weights_hash))
    return tuple(found)
