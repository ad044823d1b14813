"""Networks of the stacking method, with the first weights that a run's seed gives them."""

import torch
from torch import nn

from vision_studies.data.prepared import PreparedData
from vision_studies.models.ensembles import (
    BatchEnsemble,
    Ensemble,
    MonteCarloDropout,
    PackedMembers,
    SeparateMembers,
)
from vision_studies.models.initialisation import freeze_blocks, initialise, load_pretrained
from vision_studies.models.stacked import ImageFeatures, MetaLearner, StackedClassifier, base_dimension
from vision_studies.pipelines.stacking.settings import (
    EnsembleRun,
    JointRun,
    LearnerSettings,
    MetaLearnerSettings,
    Stack,
)
from vision_studies.project_folders import in_project
from vision_studies.training.network_run import show_images
from vision_studies.training.runtime import derived_seed

_META_LEARNER = 1_000_000
"""Number that stands for the meta-learner where others have the number of a base learner."""


_MEMBERS = 2_000_000
"""Likewise for what members have beside a shared network: signs of a BatchEnsemble, what passes drop."""


def order_seed(seed: int, member: int = 0) -> int:
    """Seed of the order of images, their augmentation and dropout; a stack has that of its first learner."""
    return derived_seed(seed, 1, member)


def build_learner(settings: LearnerSettings, data: PreparedData, *, seed: int, member: int) -> nn.Module:
    """A network as it is before training: the same for one seed and member (its number), in a stack or alone.

    Raises:
        ParameterError: the network does not fit the images.
        CheckpointError: its file of weights does not fit the network.
    """
    torch.manual_seed(derived_seed(seed, 0, member))
    network = settings.model.build(**data.sizes)
    if settings.initialisation is not None:
        initialise(network, settings.initialisation)
    if settings.first_layer is not None:
        show_images(network, settings.model, data)
    if settings.weights_file is not None:
        load_pretrained(network, in_project(settings.weights_file))
    return freeze_blocks(network, settings.model.freezable_blocks(network), settings.frozen_blocks)


def build_meta_learner(
    settings: MetaLearnerSettings, dimension: int, in_channels: int, num_classes: int, *, seed: int
) -> MetaLearner:
    """The network that decides, as it is before training: `dimension` numbers of base learners come in for an image."""
    torch.manual_seed(derived_seed(seed, 0, _META_LEARNER))
    return MetaLearner(
        base_dimension=dimension,
        image_features=build_image_features(settings, in_channels),
        hidden=settings.hidden,
        dropout=settings.dropout,
        num_classes=num_classes,
    )


def build_image_features(settings: MetaLearnerSettings, in_channels: int) -> ImageFeatures | None:
    """The network through which a meta-learner sees images; None where it sees none."""
    features = settings.image_features
    if features is None:
        return None
    return ImageFeatures(in_channels=in_channels, widths=features.widths, dimension=features.dimension)


def build_learners(run: Stack, data: PreparedData, *, seed: int) -> list[nn.Module]:
    """The base learners of a stack; see `build_learner`."""
    return [build_learner(learner, data, seed=seed, member=member) for member, learner in enumerate(run.base_learners)]


def build_stack(run: JointRun, data: PreparedData, *, seed: int) -> StackedClassifier:
    """A stack as it is before joint training."""
    base_learners = build_learners(run, data, seed=seed)
    meta = run.meta_learner
    dimension = base_dimension(base_learners, meta.inputs, data.num_classes)
    meta_learner = build_meta_learner(meta, dimension, data.in_channels, data.num_classes, seed=seed)
    return StackedClassifier(base_learners, meta_learner, inputs=meta.inputs, detach=meta.detach)


def build_ensemble(run: EnsembleRun, data: PreparedData, *, seed: int) -> Ensemble:
    """An ensemble of one training as it is before that; of members along a path, with a place for the weights of each. Raises
    ParameterError where the network's layers cannot be shared in the way that is asked for.
    """
    recipe = run.recipe
    together = recipe.name in ("packed", "snapshot", "swa", "shared_soup")
    networks = [
        build_learner(run.learner, data, seed=seed, member=member)
        for member in range(recipe.members if together else 1)
    ]
    torch.manual_seed(derived_seed(seed, 0, _MEMBERS))
    match recipe.name:
        case "packed":
            return Ensemble(PackedMembers(networks))
        case "batch_ensemble":
            return Ensemble(BatchEnsemble(networks[0], recipe.members))
        case "mc_dropout":
            return Ensemble(MonteCarloDropout(networks[0], recipe.members, recipe.dropout))
        case "snapshot":
            return Ensemble(SeparateMembers(networks))
        case "swa" | "shared_soup":
            return Ensemble(SeparateMembers(networks), build_learner(run.learner, data, seed=seed, member=0))
