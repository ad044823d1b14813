"""Parameters of the `stacking` pipeline, as a user writes them, and what a run of it is: all that decides its numbers.

Variants and opponents become runs of four kinds. None of them holds a setting that it does not use, so that a network which
two variants need is one run and is trained once. Seed and data are no settings of a run.
"""

import difflib
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, model_serializer, model_validator

from vision_studies.config.augmentation import AugmentationSettings
from vision_studies.config.merge import nested
from vision_studies.config.models import ModelSettings
from vision_studies.config.search import SharedSearchSettings
from vision_studies.config.study import UntilSettings, VariantSettings
from vision_studies.config.training import TrainingSettings
from vision_studies.config.validation import with_changes
from vision_studies.errors import ParameterError
from vision_studies.files import hash_file
from vision_studies.project_folders import in_project
from vision_studies.settings_base import Settings, without_defaults

Initialisation = Literal["kaiming_fan_out", "kaiming_fan_in", "orthogonal", "xavier_uniform", "xavier_normal"]
Inference = Literal["all_folds", "best_fold", "weighted", "refit"]
Combined = Literal["best_learner", "average", "weighted_average", "greedy", "soup"]
OneTraining = Literal["snapshot", "swa", "shared_soup", "packed", "batch_ensemble", "mc_dropout"]
"""Ensembles that one training gives, where the base learners of a stack are several."""
Opponent = Literal["alone", Combined, OneTraining, "ema", "same_parameters", "same_macs"]
Width = Annotated[int, Field(ge=1)]


class NetworkSettings(Settings):
    """A network that base learners can be."""

    model: ModelSettings = Field(description="network and its options")
    weights_file: str | None = Field(
        description="file with its first weights (safetensors, or of torch with tensors only); null draws them"
    )
    frozen_blocks: int = Field(ge=0, description="first blocks of a vision transformer that do not learn")


class ImageFeaturesSettings(Settings):
    """A small convolutional network through which the meta-learner sees the image itself."""

    dimension: int = Field(ge=1, description="features that the meta-learner gets")
    widths: tuple[Width, ...] = Field(min_length=1, description="channels of the convolutions")


class MetaLearnerSettings(Settings):
    """The network that decides by what the base learners say."""

    inputs: Literal["logits", "probabilities", "features", "none"] = Field(
        description="what it is told of every base learner; features: the input of the last linear layer"
    )
    image_features: ImageFeaturesSettings | None = Field(description="what it sees of the image; null for nothing")
    hidden: tuple[Width, ...] = Field(description="units of the hidden layers; none makes it linear")
    dropout: float = Field(ge=0, lt=1, description="share of hidden units zeroed in training")
    detach: bool = Field(description="keep its gradient out of the base learners")

    @model_validator(mode="after")
    def _sees_something(self) -> "MetaLearnerSettings":
        if self.inputs == "none" and self.image_features is None:
            raise ValueError("it sees nothing: inputs is none and image_features is null; set one of them")
        return self


class LossSettings(Settings):
    """The loss of joint training: that of the meta-learner and those of the base learners."""

    form: Literal["sum", "mean", "interpolation"] = Field(
        description="meta + alpha * sum of base losses (as published); meta + alpha * their mean; "
        "(1 - alpha) * meta + alpha * their mean"
    )
    alpha: float = Field(ge=0, description="weight of the base learners' losses")

    @model_validator(mode="after")
    def _alpha_is_a_share(self) -> "LossSettings":
        if self.form == "interpolation" and self.alpha > 1:
            raise ValueError(f"alpha ({self.alpha:g}) must lie between 0 and 1 with form: interpolation")
        return self


class FoldSettings(Settings):
    """Two-stage stacking: the meta-learner learns from predictions for images that no base learner was trained on."""

    number: int = Field(ge=2, description="parts of the training images, stratified by class")
    seed: int = Field(ge=0, description="seed of the parts; with it, all studies on one data set share them")
    inference: Inference = Field(
        description="what the meta-learner is given for a new image: each fold's learners in turn, its decisions averaged "
        "(all_folds) or weighted by the accuracy on held-out images (weighted); each learner's best fold (best_fold); or "
        "learners trained again on all training images (refit)"
    )
    meta_training: dict[str, Any] = Field(description="what is different from `training` when the meta-learner learns")


class ViewSettings(Settings):
    """Test images in several views: the image, its mirror image, then shifted crops, mirrored every other time."""

    numbers: tuple[Annotated[int, Field(ge=2)], ...] = Field(
        min_length=1,
        description="numbers of views whose probabilities are averaged, each reported beside the plain image",
    )
    padding: int = Field(ge=0, description="pixels that a crop may shift by, to each side")
    seed: int = Field(ge=0, description="seed of the crops")


class EvaluationSettings(Settings):
    """How networks are asked for predictions."""

    batch_size: int = Field(ge=1, description="images scored at a time")
    views: ViewSettings | None = Field(
        description="test-time views; null scores plain images alone. Validation is always plain"
    )


class StackingRunSettings(Settings):
    """A stack: who is in it and how it learns."""

    mode: Literal["joint", "cross_validated"] = Field(
        description="joint: all at once, from one loss; cross_validated: base learners first, by folds"
    )
    trainer: Literal["network", "mock"] = Field(
        description="mock: made-up learning curves, to rehearse a study's logic; marked as mock wherever they are shown"
    )
    base_learners: tuple[str, ...] = Field(min_length=1, description="names from `networks`; one may come repeatedly")
    initialisation: Initialisation | None = Field(
        description="rule for the first weights of convolutions and linear layers of base learners without a "
        "weights_file; null leaves each network its own"
    )
    meta_learner: MetaLearnerSettings = Field(description="the network that decides")
    loss: LossSettings = Field(description="of mode joint")
    folds: FoldSettings = Field(description="of mode cross_validated")
    loader: Literal["device", "ffcv"] = Field(
        description="device: all images in the memory of the device; ffcv: read from memory-mapped .beton files"
    )
    augmentation: AugmentationSettings = Field(description="what is done to training images, in order")
    training: TrainingSettings = Field(description="optimiser, schedule and length of training")
    evaluation: EvaluationSettings = Field(description="how validation and test images are scored")

    @model_validator(mode="after")
    def _parts_fit(self) -> "StackingRunSettings":
        if self.mode == "joint" and self.loss.alpha == 0 and self.meta_learner.detach:
            raise ValueError("loss.alpha is 0 and meta_learner.detach is true, so no base learner would learn; set one")
        if self.mode == "cross_validated" and self.meta_learner.inputs == "features":
            raise ValueError(
                "meta_learner.inputs=features does not fit mode cross_validated: features of one fold's network mean "
                "nothing in another's; choose logits or probabilities"
            )
        self.level_one_training()
        return self

    def level_one_training(self) -> TrainingSettings:
        """How the meta-learner of a cross-validated stack is trained. Raises ValueError where `folds.meta_training` does not
        fit.
        """
        level_one = with_changes(self.training, self.folds.meta_training, title="folds.meta_training")
        if self.mode == "cross_validated" and level_one.mixing is not None:
            raise ValueError(
                "folds.meta_training.mixing must be null: predictions for a mixture of two images are not there"
            )
        return level_one


class EnsembleOptions(Settings):
    """The opponents that are an ensemble of one training, or an average of weights along it."""

    members: int | None = Field(
        ge=2,
        description="how many they have; of mc_dropout passes; null: as many as the stack has base learners, at least 2",
    )
    equal: tuple[Literal["operations", "parameters"], ...] = Field(
        min_length=1,
        description="what they share with the stack. operations: of training, with the parameters of one base learner; "
        "parameters: of the stack, with its epochs. Both: each opponent twice",
    )
    shared: float = Field(gt=0, lt=1, description="of swa and shared_soup: share of the epochs before members part")
    rate: float = Field(gt=0, le=1, description="of swa and shared_soup: learning rate after that, of the highest")
    dropout: float = Field(gt=0, lt=1, description="of mc_dropout: share of the channels zeroed before every layer")
    ema_decay: float = Field(gt=0, lt=1, description="of ema: share of the average that a step keeps")


class StackingVariantSettings(VariantSettings):
    """One of the things that a study compares."""

    space: str | None = Field(description="of a search: name from `search.spaces`; null for its first one")


class StackingSettings(Settings):
    """Parameters of the `stacking` pipeline: networks, a base run, its variants, their opponents and their seeds."""

    seeds: tuple[int, ...] = Field(min_length=1, description="every variant and opponent is trained with each of these")
    until: UntilSettings | None = Field(
        default=None,  # records of commands of earlier versions have none
        description="add seeds until differences between variants are known well enough, such as "
        "{half_width: 0.5, of: difference, at_most: 12}; null: `seeds` alone",
    )
    networks: dict[str, NetworkSettings] = Field(
        min_length=1, description="name -> a network that can be a base learner"
    )
    variants: tuple[StackingVariantSettings, ...] = Field(
        min_length=1, description="what is compared; the first is what the others are compared with"
    )
    opponents: tuple[Opponent, ...] = Field(
        description="what each stack has to beat: each base learner alone, the best of them, averages of independent "
        "networks, one network of as many parameters, one trained with as many operations, ensembles of one training"
    )
    ensembles: EnsembleOptions = Field(description="of the opponents snapshot to ema")
    search: SharedSearchSettings | None = Field(description="null trains the variants as they are")
    run: StackingRunSettings = Field(description="the run that all variants start from")

    @model_validator(mode="after")
    def _lists_are_sets(self) -> "StackingSettings":
        names = [variant.name for variant in self.variants]
        for what, values in (
            ("variants", names),
            ("seeds", self.seeds),
            ("opponents", self.opponents),
            ("ensembles.equal", self.ensembles.equal),
        ):
            if len(set(values)) < len(values):
                raise ValueError(f"{what} has an entry twice: {', '.join(map(str, values))}")
        if self.search is not None and self.search.seed in self.seeds:
            raise ValueError(
                f"seeds has {self.search.seed}, which is search.seed: its runs chose the hyperparameters and may not judge "
                "them; choose other seeds"
            )
        if self.until is not None:
            self.until.require(self.seeds, self.variants)
        return self

    @property
    def possible_seeds(self) -> tuple[int, ...]:
        """Those of every run that there may be, in their order."""
        taken = () if self.search is None else (self.search.seed,)
        return self.seeds if self.until is None else self.until.seeds(self.seeds, taken)

    @model_validator(mode="after")
    def _variants_are_whole(self) -> "StackingSettings":
        dumped: dict[str, list[str]] = {}
        for variant in self.variants:
            configured = self.configured(variant)
            unknown = [name for name in configured.base_learners if name not in self.networks]
            if unknown:
                close = difflib.get_close_matches(unknown[0], self.networks, n=1)
                guess = f" (did you mean '{close[0]}'?)" if close else ""
                raise ValueError(
                    f"variant '{variant.name}': base_learners names '{unknown[0]}', which is none of networks{guess}; "
                    f"there are {', '.join(self.networks)}"
                )
            if self.search is not None and variant.space is not None and variant.space not in self.search.spaces:
                raise ValueError(
                    f"variant '{variant.name}': space '{variant.space}' is none of search.spaces; there are "
                    f"{', '.join(self.search.spaces)}"
                )
            key = configured.model_dump_json() + str(variant.space if self.search else None)
            dumped.setdefault(key, []).append(variant.name)
        same = next((names for names in dumped.values() if len(names) > 1), None)
        if same is not None:
            raise ValueError(
                f"variants '{same[0]}' and '{same[1]}' are one configuration; let one of them change something"
            )
        return self

    def configured(self, variant: StackingVariantSettings, draws: dict[str, Any] | None = None) -> StackingRunSettings:
        """The run of a variant, with the `draws` of a search (dotted path in `run` -> value) laid over it. Raises ValueError
        where its changes do not fit.
        """
        changes = (nested(path, value) for path, value in (draws or {}).items())
        return with_changes(self.run, variant.changes, *changes, title=f"variant '{variant.name}'")


def only_variant(settings: StackingSettings, name: str, run: StackingRunSettings) -> StackingSettings:
    """A study of one configuration, without a search."""
    variant = StackingVariantSettings(name=name, changes={}, space=None)
    return settings.model_copy(update={"variants": (variant,), "search": None, "run": run})


class LearnerSettings(NetworkSettings):
    """A network with its first weights."""

    initialisation: Initialisation | None = Field(description="rule for the first weights; null: the network's own")
    weights_hash: str | None = Field(description="SHA-256 of the weights_file")
    first_layer: Literal["images"] | None = Field(
        default=None,  # runs of earlier versions left to chance what a network wants to be set
        description="images: set from training images, of a network that wants it so; null: as its first weights are drawn",
    )

    @model_serializer(mode="wrap")
    def _as_before(self, write: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return without_defaults(self, write(self), "first_layer")

    @property
    def with_any_weights(self) -> "LearnerSettings":
        """The same network without what its first weights come from."""
        drawn = dict.fromkeys(("weights_file", "weights_hash", "initialisation", "first_layer"))
        return self.model_copy(update=drawn)


class RunEvaluationSettings(EvaluationSettings):
    """How the networks of a run are asked for predictions."""

    views: ViewSettings | None = Field(default=None, description="test-time views; null where there are none")

    @model_serializer(mode="wrap")
    def _as_before(self, write: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return without_defaults(self, write(self), "views")


class _TrainedRun(Settings):
    """What all runs that train networks have."""

    mock: bool = Field(description="learning curves are made up")
    loader: Literal["device", "ffcv"] = Field(description="where images come from")
    augmentation: AugmentationSettings = Field(description="what is done to training images")
    training: TrainingSettings = Field(description="how networks are trained")
    evaluation: RunEvaluationSettings = Field(description="how they are scored")


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
    rule: Combined = Field(description="how they are combined")
    members: tuple[NetworkRun, ...] = Field(min_length=1, description="the networks")


RECIPE_OPTIONS = {"swa": {"shared", "rate"}, "shared_soup": {"shared", "rate"}, "mc_dropout": {"dropout"}}
"""Ensemble of one training -> options that decide its numbers, all of which its recipe has; those of others have none."""


class Recipe(Settings):
    """How the members of an ensemble of one training come about; options of other ensembles are 0, and not written out."""

    name: OneTraining = Field(
        description="snapshot: ends of equal cycles, each with the whole schedule (Huang et al. 2017); swa: points of one path "
        "at a constant rate, averaged (Izmailov et al. 2018); shared_soup: paths from one beginning, averaged while validation "
        "accuracy does not fall (Wortsman et al. 2022); packed: groups of one network (Laurent et al. 2023); batch_ensemble: "
        "shared weights times a matrix of rank one each (Wen et al. 2020); mc_dropout: passes, each with other channels "
        "dropped (Gal and Ghahramani 2016)"
    )
    members: int = Field(ge=2, description="how many there are")
    shared: float = Field(
        default=0.0, ge=0, lt=1, description="share of the epochs before they part, of swa and shared_soup"
    )
    rate: float = Field(default=0.0, ge=0, le=1, description="learning rate after that, of the highest")
    dropout: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="of mc_dropout: share of the channels zeroed before every layer but the first",
    )

    @model_validator(mode="after")
    def _has_its_options(self) -> "Recipe":
        needed = RECIPE_OPTIONS.get(self.name, set())
        given = {option for option in ("shared", "rate", "dropout") if getattr(self, option)}
        if given != needed:
            raise ValueError(
                f"{self.name} has the options {sorted(needed)}, above 0, and no others; not {sorted(given)}"
            )
        return self

    @model_serializer(mode="wrap")
    def _as_before(self, write: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return without_defaults(self, write(self), "shared", "rate", "dropout")


class EnsembleRun(_TrainedRun):
    """An ensemble of one training."""

    method: Literal["ensemble"] = Field(description="an ensemble of one training")
    learner: LearnerSettings = Field(description="the network of a member")
    member: Literal[0] = Field(description="first weights and order of images are those of the first base learner")
    recipe: Recipe = Field(description="how members come about")

    @property
    def along_a_path(self) -> bool:
        """Whether members are several states of one network rather than parts of it."""
        return self.recipe.name in ("snapshot", "swa", "shared_soup")


Stack = JointRun | CrossValidatedRun
Trained = NetworkRun | EnsembleRun | Stack
AnyRun = NetworkRun | JointRun | CrossValidatedRun | CombinationRun | EnsembleRun
_ADAPTER: TypeAdapter[AnyRun] = TypeAdapter(Annotated[AnyRun, Field(discriminator="method")])


def with_any_weights(run: NetworkRun | JointRun | EnsembleRun) -> NetworkRun | JointRun | EnsembleRun:
    """The same networks without what their first weights come from, for where others take their place, or none matter."""
    if isinstance(run, JointRun):
        learners = tuple(learner.with_any_weights for learner in run.base_learners)
        return run.model_copy(update={"base_learners": learners})
    return run.model_copy(update={"learner": run.learner.with_any_weights})


def read_run(configuration: dict[str, Any]) -> AnyRun:
    """A run's settings from its stored configuration."""
    return _ADAPTER.validate_python(configuration)


def stack_run(settings: StackingRunSettings, networks: dict[str, NetworkSettings]) -> Stack:
    """The run of a stack, whose base learners' names stand for `networks`. Raises ParameterError where a file of weights is not
    there.
    """
    shared: dict[str, Any] = {name: getattr(settings, name) for name in SHARED if name != "mock"}
    shared |= {
        "mock": settings.trainer == "mock",
        "evaluation": RunEvaluationSettings(**dict(settings.evaluation)),
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
    """The base learners of a stack, in its order. Raises ParameterError where a file of weights is not there."""
    members = []
    for name in settings.base_learners:
        network = networks[name]
        file = in_project(network.weights_file) if network.weights_file is not None else None
        if file is not None and not file.is_file():
            raise ParameterError(
                f"stacking.networks.{name}.weights_file={network.weights_file} does not exist; put the file there, or set it "
                "to null."
            )
        rule, weights_hash = (settings.initialisation, None) if file is None else (None, hash_file(file))
        weights = {"initialisation": rule, "weights_hash": weights_hash}
        shown = {"first_layer": "images"} if network.model.images_at_first and file is None else {}
        members.append(LearnerSettings.model_validate(network.model_dump() | weights | shown))
    return tuple(members)
