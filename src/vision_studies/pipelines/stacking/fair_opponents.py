"""What a stack of networks has to beat: single networks and combinations of the same cost."""

from functools import cache
from typing import Any, NamedTuple

from vision_studies.data.prepared import PreparedData
from vision_studies.errors import ParameterError
from vision_studies.models.architecture import Architecture
from vision_studies.models.stacked import StackedClassifier, base_dimension
from vision_studies.models.statistics import count_parameters, network_size, without_values
from vision_studies.pipelines.stacking.settings import (
    RECIPE_OPTIONS,
    SHARED,
    CombinationRun,
    EnsembleOptions,
    EnsembleRun,
    JointRun,
    LearnerSettings,
    MetaLearnerSettings,
    NetworkRun,
    NetworkSettings,
    OneTraining,
    Recipe,
    Stack,
)
from vision_studies.pipelines.stacking.stacked_networks import build_ensemble, build_image_features, build_meta_learner


def independent_members(stack: Stack) -> list[NetworkRun]:
    """The base learners of a stack, each trained alone."""
    return [
        NetworkRun(method="network", learner=learner, member=member, **_shared(stack))
        for member, learner in enumerate(stack.base_learners)
    ]


def combination(stack: Stack, rule: Any) -> CombinationRun | None:
    """The independent base learners, combined; None where they cannot be: a soup needs one architecture."""
    members = independent_members(stack)
    if rule == "soup" and len({member.learner.model_dump_json() for member in members}) > 1:
        return None
    return CombinationRun(method="combination", mock=stack.mock, rule=rule, members=tuple(members))


def same_parameters(stack: Stack, data: PreparedData) -> NetworkRun | None:
    """One network of as many parameters as the stack: its first base learner that can be, widened.

    None where no base learner has a width to change.
    """
    target = stack_cost(stack, data)["parameters"]
    for learner in stack.base_learners:
        wide = _widened(learner, target, data)
        if wide is not None:
            return NetworkRun(method="network", learner=wide, member=0, **_shared(stack))
    return None


def same_macs(stack: Stack, data: PreparedData) -> NetworkRun:
    """The first base learner, trained for so many epochs that its training takes as many operations as the stack's."""
    shared = _shared(stack) | {
        "training": _as_many_macs(stack, network_cost(stack.base_learners[0], data)["macs"], data)
    }
    return NetworkRun(method="network", learner=stack.base_learners[0], member=0, **shared)


def averaged_weights(stack: Stack, options: EnsembleOptions, equal: str, data: PreparedData) -> NetworkRun | None:
    """The opponent of as many operations or parameters, with the exponential moving average of its weights."""
    run = same_macs(stack, data) if equal == "operations" else same_parameters(stack, data)
    if run is None:
        return None
    average = {"ema_decay": options.ema_decay, "lookahead": None}
    return run.model_copy(update={"training": run.training.model_copy(update=average)})


def ensemble(
    kind: OneTraining, stack: Stack, options: EnsembleOptions, equal: str, data: PreparedData
) -> EnsembleRun | None:
    """An ensemble of one training that has as much as the stack of what is equal; None where no width can be changed for that.

    With equal operations its parameters are those of the first base learner, and it is trained for so many epochs that its
    training takes as many operations as the stack's. With equal parameters it has the stack's epochs. The parameters of members
    along a path that average probabilities count for each, those of the others once.

    Raises:
        ParameterError: a member along a path would not have an epoch, or the layers of the network cannot be shared.
    """
    members, learner, training = (
        options.members or max(2, len(stack.base_learners)),
        stack.base_learners[0],
        stack.training,
    )
    several = members if kind == "packed" or (kind == "snapshot" and equal == "parameters") else 1
    target = (stack_cost(stack, data) if equal == "parameters" else network_cost(learner, data))["parameters"]
    if several > 1 or equal == "parameters":
        changed = _widened(learner, target // several, data)
        if changed is None:
            return None
        learner = changed
    if equal == "operations":
        asked = members if kind == "packed" else 1  # networks that an image goes through in training
        training = _as_many_macs(stack, asked * network_cost(learner, data)["macs"], data)
    run = EnsembleRun(
        method="ensemble",
        learner=learner,
        member=0,
        recipe=Recipe(name=kind, members=members, **options.model_dump(include=RECIPE_OPTIONS.get(kind, set()))),
        **_shared(stack) | {"training": training},
    )
    if not run.along_a_path:
        ensemble_cost(run, data)  # refuses layers before anything is trained
    fewest = members + (kind in ("swa", "shared_soup"))
    if run.along_a_path and training.epochs < fewest:
        raise ParameterError(
            f"stacking.ensembles.members: {kind} of {members} members takes {fewest} epochs at least, and with equal {equal} "
            f"it has {training.epochs}; set fewer members, or stacking.run.training.epochs higher."
        )
    return run


def _as_many_macs(stack: Stack, macs: float, data: PreparedData) -> Any:
    """The stack's training with as many epochs as take its operations with so many for an image."""
    return stack.training.model_copy(update={"epochs": max(1, round(training_macs(stack, data) / macs))})


def _widened(learner: LearnerSettings, parameters: int, data: PreparedData) -> LearnerSettings | None:
    """A learner with about so many parameters, none of which come from a file; None where it has no width."""
    model = widened_to(learner.model, parameters, data)
    plain = {"weights_file": None, "frozen_blocks": 0, "weights_hash": None}
    return None if model is None else learner.model_copy(update={"model": model, **plain})


def ensemble_cost(run: EnsembleRun, data: PreparedData) -> dict[str, int]:
    """Parameters of what decides in an ensemble of one training, and its operations for one image. Raises ParameterError where
    the network's layers cannot be shared as the ensemble asks.
    """
    plain = run.model_copy(update={"learner": run.learner.with_any_weights})
    with without_values():
        network = build_ensemble(plain, data, seed=0)
        return network_size(network.members if network.decides is None else network.decides, data.image_shape)


def training_macs(stack: Stack, data: PreparedData) -> float:
    """Multiply-accumulate operations of a stack's training for each training image, forward passes only."""
    cost = stack_cost(stack, data)["macs"]
    if isinstance(stack, JointRun):
        return cost * stack.training.epochs
    base = sum(network_cost(learner, data)["macs"] for learner in stack.base_learners)
    rounds = stack.folds - 1 + (stack.inference == "refit")
    return base * rounds * stack.training.epochs + (cost - base) * stack.meta_training.epochs


def stack_cost(stack: Stack, data: PreparedData) -> dict[str, int]:
    """Parameters of one set of base learners with their meta-learner, and their operations for one image."""
    models = tuple(learner.model for learner in stack.base_learners)
    return dict(_size_of_stack(models, stack.meta_learner, _Sizes(**data.sizes)))


class _Sizes(NamedTuple):
    in_channels: int
    num_classes: int
    image_size: int

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.in_channels, self.image_size, self.image_size


@cache  # variants that differ in their training alone cost the same
def _size_of_stack(
    models: tuple[Architecture, ...], meta_learner: MetaLearnerSettings, sizes: _Sizes
) -> dict[str, int]:
    with without_values():
        learners = [model.build(**sizes._asdict()) for model in models]
        dimension = base_dimension(learners, meta_learner.inputs, sizes.num_classes)
        top = build_meta_learner(meta_learner, dimension, sizes.in_channels, sizes.num_classes, seed=0)
        stack = StackedClassifier(learners, top, inputs=meta_learner.inputs, detach=False)
        return network_size(stack, sizes.shape)


def stack_parts(stack: Stack, data: PreparedData) -> list[dict[str, Any]]:
    """The parts of a stack, one after the other: part, parameters and macs (for one image)."""
    parts: list[dict[str, Any]] = [
        {"part": learner.model.name, **network_cost(learner, data)} for learner in stack.base_learners
    ]
    whole = stack_cost(stack, data)
    features = _size_of_features(stack.meta_learner, _Sizes(**data.sizes))
    if features is not None:
        parts.append({"part": "image features", **features})
    rest = {name: total - sum(part[name] for part in parts) for name, total in whole.items()}
    return [*parts, {"part": "meta-learner", **rest}]


@cache
def _size_of_features(meta_learner: MetaLearnerSettings, sizes: _Sizes) -> dict[str, int] | None:
    with without_values():
        features = build_image_features(meta_learner, sizes.in_channels)
        return network_size(features, sizes.shape) if features is not None else None


def network_cost(network: NetworkSettings, data: PreparedData) -> dict[str, int]:
    """Parameters of a network and its operations for one image. Raises ParameterError where the network does not exist, or does
    not fit the images.
    """
    return dict(_size_of(network.model, _Sizes(**data.sizes)))


@cache  # a plan asks for the same few networks again and again, for every variant and opponent
def _size_of(model: Architecture, sizes: _Sizes) -> dict[str, int]:
    with without_values():
        return network_size(model.build(**sizes._asdict()), sizes.shape)


def widened_to(model: Architecture, parameters: int, data: PreparedData) -> Architecture | None:
    """The network with another width, whose number of parameters is the nearest that widths allow; None without a width."""
    return _widened_to(model, parameters, _Sizes(**data.sizes))


@cache
def _widened_to(model: Architecture, parameters: int, sizes: _Sizes) -> Architecture | None:
    def size(width: int) -> int:
        wide = model.widened(width)
        assert wide is not None  # noqa: S101 - looked at below, before the first call
        with without_values():
            return count_parameters(wide.build(**sizes._asdict()))

    if model.widened(1) is None:
        return None
    low, high = 1, 2
    while size(high) < parameters:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if size(middle) < parameters else (low, middle)
    return model.widened(min((low, high), key=lambda width: abs(size(width) - parameters)))


def _shared(stack: Stack) -> dict[str, Any]:
    return {name: getattr(stack, name) for name in SHARED}
