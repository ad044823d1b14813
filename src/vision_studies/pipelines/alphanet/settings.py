"""Parameters of the `alphanet` pipeline, and of the classifiers on fixed features that it starts from."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from vision_studies.config.data_prep import LongTailSettings
from vision_studies.config.losses import Loss, LossSettings
from vision_studies.config.losses import SamplerName as Sampling
from vision_studies.config.network_run import RunSettings
from vision_studies.config.pretrained import PretrainedSettings
from vision_studies.config.training import OptimisationSettings
from vision_studies.settings_base import Settings, refuse_repeated, without_defaults

SamplerName = Literal[
    "all_few",
    "all_medium",
    "all_many",
    "all_base",
    "uniform_medium_image",
    "uniform_many_image",
    "uniform_base_image",
    "class_balanced_medium",
    "class_balanced_many",
    "class_balanced_base",
    "uniform_medium_class",
    "uniform_many_class",
    "uniform_base_class",
]
DistanceName = Literal["euclidean", "cosine", "random"]

RHO: Literal["rho"] = "rho"
"""In place of a sampler's ratio: each of the study's rhos in turn."""

SIMPLE_OPTIMIZERS = (
    "SGD",
    "Adam",
    "AdamW",
    "NAdam",
    "RAdam",
    "Adamax",
    "Adagrad",
    "Adadelta",
    "RMSprop",
    "Rprop",
    "ASGD",
)
"""Optimisers of torch.optim that treat every number by itself, so that networks can share one."""

SCHEDULERS = (
    "StepLR",
    "MultiStepLR",
    "ConstantLR",
    "LinearLR",
    "ExponentialLR",
    "PolynomialLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "OneCycleLR",
)
"""Schedulers of torch.optim.lr_scheduler that need neither a function, nor other schedulers, nor a metric."""


class ImportSettings(Settings):
    """Features and a classifier in the files of the project "alphanet" instead of images."""

    registry: Path = Field(description="datasets.toml that describes the data sets")
    data_set: str = Field(min_length=1, description="its table in that file")


class ClassSplitSettings(Settings):
    """Which classes are few, medium and many."""

    few_below: int = Field(ge=1, description="classes with fewer training images are few")
    many_above: int = Field(ge=1, description="classes with more training images are many")
    folder: Path | None = Field(
        description="few.txt, medium.txt and many.txt with labels, instead of the two thresholds"
    )

    @model_validator(mode="after")
    def _in_order(self) -> "ClassSplitSettings":
        if self.many_above < self.few_below:
            raise ValueError(
                f"many_above ({self.many_above}) must not be below few_below ({self.few_below}); a class cannot be both"
            )
        return self


class BackboneSettings(Settings):
    """Networks that are trained on the long-tailed images; what their last layer takes are the features."""

    seeds: tuple[int, ...] = Field(min_length=1, description="one for all repeats, or one for each")
    experts: int = Field(ge=1, description="networks of every seed, whose features stand side by side")
    run: RunSettings = Field(description="network and training")

    @model_validator(mode="after")
    def _seeds_differ(self) -> "BackboneSettings":
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds has a seed twice: {list(self.seeds)}")
        return self


class OwnSettings(Settings):
    """The classifier that the backbone was trained with."""

    name: Literal["own"] = Field(description="the backbone's own classifier, as it is")


class _BalancedTrainingSettings(OptimisationSettings):
    """Stochastic gradient descent on images of all classes alike, along half a cosine."""

    epochs: int = Field(ge=1, description="times that as many images are drawn as there are training images")
    batch_size: int = Field(ge=1, description="training images a step")
    learning_rate: float = Field(gt=0, description="of the first step; it falls to 0 along half a cosine")
    momentum: float = Field(ge=0, lt=1, description="share of the last update that is kept")
    weight_decay: float = Field(ge=0, description="L2 penalty on all that is learnt")


class CrtSettings(_BalancedTrainingSettings):
    """A new classifier, trained on images of all classes alike (cRT, Kang et al. 2020)."""

    name: Literal["crt"] = Field(description="a new classifier, trained with class-balanced sampling")


class LwsSettings(_BalancedTrainingSettings):
    """A learnt factor for each class's scores (LWS, Kang et al. 2020)."""

    name: Literal["lws"] = Field(
        description="the backbone's classifier, each class's scores scaled by a factor learnt with class-balanced sampling"
    )


SelectionMetric = Literal["balanced_accuracy", "macro_f1", "worst_group", "accuracy"]
"""What chooses on validation images, whose classes count alike in expectation but for the last: the mean accuracy of classes;
the mean F1 of classes; the lowest mean accuracy of few, medium and many classes; the share of images, as rare as they are."""


class _TunedSettings(Settings):
    """A method with one knob, whose value is chosen by validation images."""

    values: tuple[float, ...] = Field(
        min_length=1, description="of the knob; the best on the validation split is taken, a single one needs none"
    )
    selection: SelectionMetric = Field(
        description="balanced_accuracy: mean over classes; macro_f1; worst_group: lowest of few, medium and many; accuracy: "
        "over images"
    )

    @model_validator(mode="after")
    def _values_differ(self) -> "_TunedSettings":
        refuse_repeated({"values": self.values})
        return self


class AdjustedSettings(_TunedSettings):
    """Logits less tau times the logarithm of the classes' shares (logit adjustment afterwards, Menon et al. 2021)."""

    name: Literal["adjusted"] = Field(description="the backbone's classifier, its logits adjusted by tau, the knob")


class RetrainedSettings(_BalancedTrainingSettings, _TunedSettings):
    """What is learnt on fixed features by a loss, from images that a sampler draws; all values of the knob at once."""

    name: Literal["retrained"] = Field(description="a classifier that is trained on the features")
    head: Literal["linear", "cosine", "scales", "aligned"] = Field(
        description="linear: weights and biases; cosine: of features and weights of length 1, times the loss's scale (LDAM); "
        "scales: a factor for each class's scores (LWS); aligned: a factor and a shift for each class, as much of them as the "
        "image asks for (DisAlign, Zhang et al. 2021)"
    )
    start: Literal["new", "own"] = Field(description="new: random weights; own: the backbone's classifier")
    loss: LossSettings = Field(description="what is minimised")
    sampler: Sampling = Field(description="how images are drawn")
    max_norm: float | None = Field(
        ge=0,
        le=1,
        description="after every step, weights of a class are shortened to at most this far between the shortest and the "
        "longest of the backbone's (MaxNorm, Alshammari et al. 2022); null: never",
    )
    knob: Literal["loss", "weight_decay"] = Field(description="what `values` are of: the loss's knob, or weight_decay")

    @model_validator(mode="after")
    def _possible(self) -> "RetrainedSettings":
        if self.head in ("scales", "aligned") and self.start != "own":
            raise ValueError(f"head={self.head} changes the scores of the backbone's classifier; set start: own")
        if self.max_norm is not None and self.head != "linear":
            raise ValueError("max_norm shortens the weights of a linear head; set head: linear, or max_norm: null")
        if self.knob == "loss" and self.loss.knob is None:
            raise ValueError(f"loss={self.loss.name} has no knob; set knob: weight_decay, or choose another loss")
        for value in self.values:
            self.at(value)
        return self

    def at(self, value: float) -> tuple[Loss, float]:
        """Loss and weight decay with this value of the knob."""
        if self.knob == "loss":
            loss: Loss = type(self.loss).model_validate(self.loss.model_dump() | {str(self.loss.knob): value})
            return loss, self.weight_decay
        if value < 0:
            raise ValueError(f"values has {value:g}, but a weight decay is not below 0")
        return self.loss, value


class TauSettings(Settings):
    """Weights divided by a power of their norm (tau-normalised, Kang et al. 2020)."""

    name: Literal["tau"] = Field(
        description="the backbone's classifier, each class's weights divided by their norm to the power of tau"
    )
    values: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        min_length=1, description="taus of which the best on the validation split is taken; a single one needs none"
    )
    selection: SelectionMetric = Field(default="balanced_accuracy", description="what is best; as of other methods")

    @model_serializer(mode="wrap")
    def _write(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without_defaults(self, write(self), "selection")


class NcmSettings(Settings):
    """The class whose mean feature is nearest (NCM, Kang et al. 2020)."""

    name: Literal["ncm"] = Field(description="nearest class mean")
    metric: Literal["cosine", "euclidean"] = Field(description="what is near")


class MultiExpertSettings(Settings):
    """The mean of several experts' scores (RIDE, Wang et al. 2021)."""

    name: Literal["multi_expert"] = Field(description="mean of the scores of several backbones' classifiers")
    of: Literal["own", "crt"] = Field(description="classifier of each expert: its own, or a new one as crt trains it")
    crt: CrtSettings | None = Field(description="how new classifiers are trained; null where of is own")

    @model_validator(mode="after")
    def _crt_is_there_where_it_is_read(self) -> "MultiExpertSettings":
        if self.of == "crt" and self.crt is None:
            raise ValueError(
                "of=crt needs crt, which says how the experts' classifiers are trained; set it, or of: own"
            )
        if self.of == "own" and self.crt is not None:
            raise ValueError("of=own trains no classifier, so that crt is not read; set crt: null, or of: crt")
        return self


ClassifierSettings = Annotated[
    OwnSettings
    | CrtSettings
    | LwsSettings
    | TauSettings
    | NcmSettings
    | MultiExpertSettings
    | AdjustedSettings
    | RetrainedSettings,
    Field(discriminator="name"),
]
"""A classifier on fixed features; `name` says which."""


def gives_logits(method: Mapping[str, Any]) -> bool:
    """Whether the scores of a classifier, as settings are written out, are logits; distances and bare cosines are not."""
    return method["name"] != "ncm" and method.get("head") != "cosine"


class LabelledClassifier(Settings):
    """A classifier on fixed features and what it is called."""

    label: str = Field(pattern=r"^\w[\w -]*$", description="in tables and figures")
    method: ClassifierSettings = Field(description="how it comes about")


class SamplerSettings(Settings):
    """One part of the images of an epoch."""

    name: SamplerName = Field(description="which images; see the documentation of the samplers")
    ratio: float | Literal["rho"] | None = Field(
        description="images (of *_class: classes) drawn per image (class) of the few; rho: each of `rhos`; null for all_*"
    )

    @model_validator(mode="after")
    def _ratio_where_drawn(self) -> "SamplerSettings":
        if self.name.startswith("all_") != (self.ratio is None):
            raise ValueError(f"{self.name} takes {'no ratio' if self.ratio is not None else 'a ratio'}")
        if isinstance(self.ratio, float) and self.ratio <= 0:
            raise ValueError(f"the ratio of {self.name} is {self.ratio}; it must be above 0")
        if self.name.endswith("_class") and isinstance(self.ratio, float) and self.ratio > 1:
            raise ValueError(
                f"the ratio of {self.name} is {self.ratio}; each class is as large as one few class, so 1 at most"
            )
        return self


class AlphaNetworkSettings(Settings):
    """The network that finds coefficients."""

    hidden: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=1, description="widths of the hidden layers")
    activation: str = Field(description="between the layers; a function of torch.nn.functional of one argument")


class TorchSettings(Settings):
    """A class of torch by its name, and its arguments."""

    name: str = Field(min_length=1, description="name of the class")
    parameters: dict[str, Any] = Field(description="its arguments by name")


class SelectionSettings(Settings):
    """Which epoch's network is kept."""

    policy: Literal["best", "first_eligible", "last"] = Field(
        description="best: the first with the best validation; first_eligible: epoch `minimum_epochs`, which the published "
        "code keeps in fact; last: the last, as without validation"
    )
    metric: SelectionMetric = Field(
        description="balanced_accuracy: mean over classes, as validation is long-tailed, too; macro_f1; worst_group: lowest "
        "of few, medium and many; accuracy: over images"
    )


class CombinationTrainingSettings(OptimisationSettings):
    """How the network learns."""

    epochs: int = Field(ge=1, description="passes over what the samplers draw anew for each")
    minimum_epochs: int = Field(ge=1, description="first epoch that may be kept")
    batch_size: int = Field(ge=1, description="images a step; the last batch of an epoch may be smaller")
    evaluation_batch_size: int = Field(ge=1, description="images scored at a time")
    optimizer: TorchSettings = Field(description=f"of torch.optim: {', '.join(SIMPLE_OPTIMIZERS)}")
    scheduler: TorchSettings | None = Field(
        description=f"of torch.optim.lr_scheduler, moved after every epoch: {', '.join(SCHEDULERS)}; null for none"
    )
    samplers: tuple[SamplerSettings, ...] = Field(min_length=1, description="what an epoch is made of")
    prediction_scale: float = Field(gt=0, description="what all scores are multiplied by")
    selection: SelectionSettings = Field(description="which epoch's network is kept")

    @model_validator(mode="after")
    def _possible(self) -> "CombinationTrainingSettings":
        if self.minimum_epochs > self.epochs:
            raise ValueError(f"minimum_epochs ({self.minimum_epochs}) must not be above epochs ({self.epochs})")
        if self.optimizer.name not in SIMPLE_OPTIMIZERS:
            raise ValueError(f"optimizer '{self.optimizer.name}' is none of {', '.join(SIMPLE_OPTIMIZERS)}")
        if self.scheduler is not None and self.scheduler.name not in SCHEDULERS:
            raise ValueError(f"scheduler '{self.scheduler.name}' is none of {', '.join(SCHEDULERS)}")
        return self


class CombinationRunSettings(Settings):
    """All that decides the numbers of one AlphaNet, besides its seed, its features and its classifier."""

    neighbours: int = Field(ge=2, description="nearest base classes that a few class borrows from")
    distance: DistanceName = Field(description="between the mean features of classes")
    network: AlphaNetworkSettings = Field(description="what finds coefficients")
    training: CombinationTrainingSettings = Field(description="how it learns")


class AlphanetSettings(Settings):
    """Parameters of the `alphanet` pipeline: features, classifiers on them, and the experiments."""

    imported: ImportSettings | None = Field(description="features from files instead of from images; null: from images")
    long_tail: LongTailSettings | None = Field(
        description="keep fewer and fewer images of the classes in this study alone; null leaves the data as data_prep made it"
    )
    tails: Literal["one", "each_repeat"] = Field(
        default="one",
        description="one: all repeats have one tail, as published protocols do; each_repeat: in every repeat other images are "
        "kept and other classes are rare, so that intervals cover the choice of the tail; wants long_tail",
    )
    splits: ClassSplitSettings = Field(description="few, medium and many; imported data has its own")
    validation: Literal["carved", "none"] = Field(
        description="carved: the validation split of the data; none: its images are trained on, too, and the last epoch counts"
    )
    backbone: BackboneSettings = Field(
        description="networks that give features; unused where they are imported, or those of a pretrained network"
    )
    pretrained: PretrainedSettings | None = Field(
        default=None,
        description="a pretrained network whose features are taken as they are, in the place of networks that are trained; "
        "null: networks are trained",
    )
    classifiers: tuple[LabelledClassifier, ...] = Field(
        min_length=1, description="baselines, in the order of the tables"
    )
    improved: tuple[str, ...] = Field(min_length=1, description="labels of the classifiers that AlphaNet works on")
    rhos: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        min_length=1, description="base images per image of the few classes, tried each"
    )
    neighbours: tuple[int, ...] = Field(min_length=1, description="numbers of neighbours, tried each")
    distances: tuple[DistanceName, ...] = Field(min_length=1, description="between classes, tried each")
    repeats: int = Field(ge=1, description="seeds of every experiment")
    network: AlphaNetworkSettings = Field(description="what finds coefficients")
    training: CombinationTrainingSettings = Field(description="how it learns")
    checkpoints: int = Field(ge=1, description="epochs whose state is kept while a run is not finished")
    tensorboard: bool = Field(description="write the logs of every run for TensorBoard, too")
    semantic: Path | None = Field(
        description="labels_full.txt with a line `nXXXXXXXX name` a class: neighbours by WordNet, where it is installed"
    )
    semantic_level: int = Field(
        ge=1, description="steps in WordNet between a class and its farthest neighbour by meaning"
    )

    @model_validator(mode="after")
    def _whole(self) -> "AlphanetSettings":
        labels = [classifier.label for classifier in self.classifiers]
        for key in ("classifiers", "improved", "rhos", "neighbours", "distances"):
            values = labels if key == "classifiers" else getattr(self, key)
            if len(set(values)) < len(values):
                raise ValueError(f"{key} has an entry twice: {list(values)}")
        if self.backbone.run.loader != "device":
            raise ValueError("backbone.run.loader must be device: .beton files hold images that a long tail leaves out")
        if self.backbone.run.randomness.split != "prepared":
            raise ValueError("backbone.run.randomness.split must be prepared: classifiers learn from the same images")
        unknown = [label for label in self.improved if label not in labels]
        if unknown:
            raise ValueError(f"improved names '{unknown[0]}', which is none of the classifiers ({', '.join(labels)})")
        if self.tails == "each_repeat":
            self._check_tails()
        aligned = [each.label for each in self.classifiers if getattr(each.method, "head", None) == "aligned"]
        if set(aligned) & set(self.improved):
            raise ValueError(
                f"improved names '{aligned[0]}', whose scores are not linear in the features, so that AlphaNet cannot combine "
                "its classes; leave it out"
            )
        several = [classifier.label for classifier in self.classifiers if classifier.method.name == "multi_expert"]
        self._check_networks(several)
        few = next((number for number in self.neighbours if number < 2), None)
        if few is not None:
            raise ValueError(
                f"neighbours has {few}: coefficients are divided by the sum of their sizes, so that a single one is 1 or -1 "
                "and nothing can be learnt; give 2 or more"
            )
        if RHO not in [sampler.ratio for sampler in self.training.samplers] and len(self.rhos) > 1:
            raise ValueError("rhos are several, but no sampler has `ratio: rho`; give one of them that ratio")
        return self

    def _check_networks(self, several: Sequence[str]) -> None:
        """Refuse what does not fit where features come from; `several` are classifiers that average experts."""
        if self.imported is not None and self.pretrained is not None:
            raise ValueError(
                "imported and pretrained are both set, and features come from one of them; set one to null"
            )
        if several and self.pretrained is not None:
            raise ValueError(f"classifier '{several[0]}' averages experts, and pretrained is one network; leave it out")
        if several and self.backbone.experts < 2 and self.imported is None:
            raise ValueError(f"classifier '{several[0]}' averages experts; set backbone.experts to 2 or more")
        if self.trains_backbones and len(self.backbone.seeds) not in (1, self.repeats):
            raise ValueError(
                f"backbone.seeds are {len(self.backbone.seeds)} and repeats {self.repeats}; give one seed or one a repeat"
            )

    def _check_tails(self) -> None:
        if self.long_tail is None or self.imported is not None:
            raise ValueError("tails=each_repeat cuts tails from images; set long_tail, or tails: one")
        if self.trains_backbones and len(self.backbone.seeds) != self.repeats:
            raise ValueError(
                f"tails=each_repeat needs a network of its own for every repeat, but backbone.seeds are "
                f"{len(self.backbone.seeds)} and repeats {self.repeats}; give as many seeds"
            )
        if self.splits.folder is not None:
            raise ValueError("tails=each_repeat has other few classes in every repeat; set splits.folder: null")

    @property
    def trains_backbones(self) -> bool:
        """Whether features come from networks that the study trains."""
        return self.imported is None and self.pretrained is None

    @property
    def feature_sets(self) -> int:
        """How many sets of features there are: one a network, or a tail."""
        if self.trains_backbones:
            return len(self.backbone.seeds)
        return self.repeats if self.tails == "each_repeat" else 1

    def tail(self, repeat: int) -> LongTailSettings | None:
        """The tail that this study cuts of the images for a repeat; None where the images stay as they are."""
        if self.long_tail is None or self.tails == "one":
            return self.long_tail
        return self.long_tail.model_copy(
            update={"seed": self.long_tail.seed + repeat, "ranks": "drawn", "reverse": False}
        )

    def experiment(self, neighbours: int, distance: DistanceName, rho: float) -> CombinationRunSettings:
        """Settings of an AlphaNet with this many neighbours, by this distance, with this share of base images."""
        samplers = [
            sampler.model_dump() | ({"ratio": rho} if sampler.ratio == RHO else {})
            for sampler in self.training.samplers
        ]
        training = self.training.model_dump() | {"samplers": samplers}
        if self.validation == "none":
            training["selection"]["policy"] = "last"
        return CombinationRunSettings.model_validate(
            {"neighbours": neighbours, "distance": distance, "network": self.network.model_dump(), "training": training}
        )
