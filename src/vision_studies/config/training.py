"""How one network is trained, and many as one: parameters of `training.fit` and of `training.ensemble`."""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from vision_studies.settings_base import Settings

ValidationMetric = Literal["validation_accuracy", "validation_loss"]
"""A metric that training may steer by; accuracy is to rise, loss is to fall."""

LearningRate = Annotated[
    float, Field(gt=0, description="highest learning rate; the schedule moves it below this value")
]
Momentum = Annotated[
    float, Field(ge=0, lt=1, description="share of the last update that is kept; highest value of a cycle")
]
Warmup = Annotated[float, Field(ge=0, description="epochs of linear rise from 0; 0 for none")]
Precision = Annotated[
    Literal["auto", "fp32", "bf16"],
    Field(
        description="bf16: bfloat16 autocast with float32 weights; auto: bf16 where the device is fast at it, else fp32"
    ),
]
Selection = Annotated[
    ValidationMetric, Field(description="which epoch's weights are kept: the first with the best value")
]


class OptimisationSettings(Settings):
    """What every way of training says, whatever it trains: for how long. Epochs of some are no passes over all images."""

    epochs: int = Field(ge=1, description="passes over the training images")


class SgdSettings(Settings):
    """Stochastic gradient descent with momentum."""

    name: Literal["sgd"] = Field(description="stochastic gradient descent")
    learning_rate: LearningRate
    momentum: Momentum
    nesterov: bool = Field(description="look ahead along the momentum before the gradient is applied")
    weight_decay: float = Field(ge=0, description="L2 penalty on every parameter, biases and norms included")

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> "SgdSettings":
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0; set momentum, or nesterov: false")
        return self


class AdamWSettings(Settings):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

    name: Literal["adamw"] = Field(description="Adam with decoupled weight decay")
    learning_rate: LearningRate
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = Field(
        description="decay of the running mean of gradients and of their squares"
    )
    eps: float = Field(gt=0, description="added to the denominator")
    weight_decay: float = Field(ge=0, description="decoupled decay of every parameter, biases and norms included")


class MuonSettings(Settings):
    """Momentum whose matrix-shaped updates are orthogonalised (Jordan et al. 2024), beside another optimiser."""

    name: Literal["muon"] = Field(description="orthogonalised momentum for the hidden weights")
    learning_rate: float = Field(gt=0, description="highest learning rate of the hidden weights")
    momentum: Momentum
    nesterov: bool = Field(description="look ahead along the momentum before the update is orthogonalised")
    weight_decay: float = Field(ge=0, description="decoupled decay of the hidden weights")
    unit_weights: bool = Field(
        description="scale each hidden weight, before every step, to a root mean square of 1 over its rows' norms"
    )
    iterations: int = Field(ge=1, le=20, description="Newton-Schulz iterations an update")
    rest: Annotated[SgdSettings | AdamWSettings, Field(discriminator="name")] = Field(
        description="optimiser of first layer, last layer, biases and norms"
    )


OptimizerSettings = Annotated[SgdSettings | AdamWSettings | MuonSettings, Field(discriminator="name")]


class OneCycleSettings(Settings):
    """Up to the optimiser's learning rate and down again, along cosines, step by step (Smith and Topin 2018)."""

    name: Literal["onecycle"] = Field(description="one cycle over the whole training")
    pct_start: float = Field(gt=0, lt=1, description="share of all steps that the way up takes")
    div_factor: float = Field(ge=1, description="highest learning rate divided by the first")
    final_div_factor: float = Field(ge=1, description="first learning rate divided by the last")
    base_momentum: float | None = Field(
        ge=0,
        lt=1,
        description="momentum (beta 1 of AdamW) at the highest rate: it falls from the optimiser's own value while the "
        "rate rises, and climbs back; null leaves it alone",
    )


class CosineSettings(Settings):
    """Down from the optimiser's learning rate along half a cosine (Loshchilov and Hutter 2017)."""

    name: Literal["cosine"] = Field(description="half a cosine over the whole training")
    eta_min: float = Field(ge=0, description="learning rate at the end")
    interval: Literal["step", "epoch"] = Field(description="when the rate moves: after every step or every epoch")
    warmup_epochs: float = Field(ge=0, description="epochs of linear rise from 0 before the cosine; 0 for none")


class TriangularSettings(Settings):
    """Straight up to the optimiser's learning rate and straight down, step by step."""

    name: Literal["triangular"] = Field(description="a triangle over the whole training")
    pct_start: float = Field(gt=0, lt=1, description="share of all steps that the way up takes")
    initial_fraction: float = Field(ge=0, le=1, description="first learning rate as a share of the highest")
    final_fraction: float = Field(ge=0, le=1, description="last learning rate as a share of the highest")


class PlateauSettings(Settings):
    """Lower the learning rate whenever a validation metric stops improving."""

    name: Literal["plateau"] = Field(description="lower the rate when validation stalls")
    metric: ValidationMetric = Field(description="what has to improve")
    factor: float = Field(gt=0, lt=1, description="what the rate is multiplied by when validation stalls")
    patience: int = Field(ge=0, description="validations without improvement that are tolerated")
    min_delta: float = Field(ge=0, description="smallest change that counts as improvement")
    min_learning_rate: float = Field(ge=0, description="the rate never falls below this")
    warmup_epochs: Warmup


class ConstantSettings(Settings):
    """The optimiser's learning rate throughout."""

    name: Literal["constant"] = Field(description="a learning rate that does not move")
    warmup_epochs: Warmup


ScheduleSettings = Annotated[
    OneCycleSettings | CosineSettings | TriangularSettings | PlateauSettings | ConstantSettings,
    Field(discriminator="name"),
]


class LookaheadSettings(Settings):
    """Slow weights that follow the fast ones every few steps (Zhang et al. 2019)."""

    steps: int = Field(ge=1, description="steps of the optimiser between two steps of the slow weights")
    step_size: float = Field(gt=0, le=1, description="share of the way to the fast weights that a slow step goes")


class EarlyStoppingSettings(Settings):
    """When to stop before the last epoch."""

    metric: ValidationMetric = Field(description="what has to improve")
    patience: int = Field(ge=1, description="validations without improvement after which training stops")
    min_delta: float = Field(ge=0, description="smallest change that counts as improvement")


class MixingSettings(Settings):
    """Mixing each training batch with a shuffled copy of itself."""

    name: Literal["cutmix", "mixup"] = Field(
        description="cutmix: paste a box of another image (Yun et al. 2019); mixup: blend two images (Zhang et al. 2018)"
    )
    alpha: float = Field(gt=0, description="both parameters of the Beta distribution of the mixing weight")
    probability: float = Field(ge=0, le=1, description="chance that a batch is mixed")


class TrainingSettings(OptimisationSettings):
    """All that decides how one network is trained."""

    batch_size: int = Field(ge=1, description="training images a step")
    optimizer: OptimizerSettings = Field(description="what turns gradients into steps")
    schedule: ScheduleSettings = Field(description="how the learning rate moves")
    label_smoothing: float = Field(
        ge=0, lt=1, description="probability spread evenly over all classes in the training loss (not in validation)"
    )
    gradient_clip: float | None = Field(gt=0, description="largest norm of all gradients together; null for no limit")
    precision: Precision
    channels_last: bool = Field(description="keep the channels of a pixel side by side; convolutions are faster so")
    compile: bool = Field(description="compile the training step: about a minute first, faster steps afterwards")
    ema_decay: float | None = Field(
        gt=0, lt=1, description="validate and keep an exponential moving average of the weights; null for none"
    )
    lookahead: LookaheadSettings | None = Field(description="slow weights, validated and kept; null for none")
    image_scales: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        min_length=1,
        description="sizes of training images in equal shares of the epochs, as parts of their own size; [1] leaves them",
    )
    mixing: MixingSettings | None = Field(description="cutmix or mixup; null for none")
    selection: Selection
    early_stopping: EarlyStoppingSettings | None = Field(description="null trains all epochs")
    validate_every: int = Field(
        ge=1, description="epochs from one validation to the next; the last is always validated"
    )
    checkpoint_every: int = Field(ge=1, description="epochs from one checkpoint to the next")
    keep_last: int = Field(ge=1, description="numbered checkpoints that are kept")

    @model_validator(mode="after")
    def _one_average(self) -> "TrainingSettings":
        if self.ema_decay is not None and self.lookahead is not None:
            raise ValueError("ema_decay and lookahead both name the weights to validate; set one of them to null")
        return self

    @model_validator(mode="after")
    def _warmup_fits(self) -> "TrainingSettings":
        warmup = getattr(self.schedule, "warmup_epochs", 0)
        if warmup >= self.epochs and warmup > 0:
            raise ValueError(f"schedule.warmup_epochs ({warmup}) must be below epochs ({self.epochs})")
        return self


class StackSettings(Settings):
    """How networks share a stack; changes how fast the numbers come, and nothing else but their last digits."""

    memory_mb: int = Field(ge=1, description="memory that a stack may take beside the images, in millions of bytes")
    checkpoint_seconds: float = Field(ge=0, description="time from one checkpoint of a stack to the next")
    deterministic: bool = Field(description="on a GPU, only algorithms that give the same numbers every time")


class ValidationStage(Settings):
    """How often the first or the following epochs are validated."""

    until_epoch: int | None = Field(ge=1, description="last epoch of the stage; null for all that follow")
    interval: int = Field(ge=1, description="epochs from one validation to the next")


class EnsembleSettings(OptimisationSettings):
    """All that the members of a stack share; optimiser, seed and data subset are each member's own."""

    epochs: int = Field(ge=1, description="most passes over the training images")
    steps_per_epoch: int | None = Field(
        ge=1,
        description="steps of an epoch, whatever the number of images: one pass follows another, and an epoch may end within "
        "one; null: an epoch is one pass",
    )
    batch_size: int = Field(
        ge=1,
        description="training images a step, or all where there are fewer; the last batch of a pass may be smaller",
    )
    validation_schedule: tuple[ValidationStage, ...] = Field(
        min_length=1, description="stages in order; the last epoch is always validated"
    )
    selection: Selection
    restore: Literal["best", "best_if_stopped"] = Field(
        description="weights in the end. best: of the selected epoch. best_if_stopped: of the selected epoch after an early "
        "stop, else of the last epoch"
    )
    early_stopping: EarlyStoppingSettings | None = Field(description="null trains all epochs")
    precision: Precision

    @model_validator(mode="after")
    def _stages_in_order(self) -> "EnsembleSettings":
        ends = [stage.until_epoch for stage in self.validation_schedule]
        if None in ends[:-1]:
            raise ValueError("validation_schedule has a stage after the one with until_epoch null; make it the last")
        given = [end for end in ends if end is not None]
        if any(later <= earlier for earlier, later in pairwise(given)):
            raise ValueError(f"validation_schedule must name later epochs stage by stage, not {given}")
        return self

    def validates(self, epoch: int) -> bool:
        """Whether `epoch` (from 1) is validated."""
        stages = self.validation_schedule
        stage = next((stage for stage in stages if stage.until_epoch is None or epoch <= stage.until_epoch), stages[-1])
        return epoch % stage.interval == 0 or epoch == self.epochs
