"""Parameters of the `mlp_transfer` pipeline."""

import math
from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Discriminator, Field, Tag, model_serializer, model_validator

from vision_studies.config.search import ChoiceSettings, PrunerSettings, RangeSettings
from vision_studies.config.training import AdamWSettings, EnsembleSettings, StackSettings
from vision_studies.models.parametrisation import Parametrisation, TensorScale, tensor_scales
from vision_studies.settings_base import Settings, refuse_repeated, without_defaults

Width = Annotated[int, Field(ge=1)]


def _kind(value: Any) -> str:
    has_choices = "choices" in value if isinstance(value, dict) else isinstance(value, ChoiceSettings)
    return "choices" if has_choices else "range"


Domain = Annotated[
    Annotated[RangeSettings, Tag("range")] | Annotated[ChoiceSettings, Tag("choices")], Discriminator(_kind)
]

_LIMITS = {"lr": float("inf"), "eps": float("inf"), "weight_decay": float("inf")}
"""Exclusive upper ends of what makes sense; 1 for all others. The lower end is 0."""

_ABOVE_ZERO = ("lr", "eps")


class SearchSpaceSettings(Settings):
    """Where each hyperparameter is looked for: a range, or a list of choices."""

    lr: Domain = Field(description="learning rate of AdamW")
    beta1: Domain = Field(description="decay of AdamW's running mean of gradients")
    beta2: Domain = Field(description="decay of AdamW's running mean of squared gradients")
    eps: Domain = Field(description="added to AdamW's denominator")
    weight_decay: Domain = Field(description="decoupled weight decay of AdamW, on every parameter")
    dropout: Domain = Field(description="share of hidden units zeroed in training")
    leaky_relu_alpha: Domain = Field(description="slope of the rectifier below zero")

    @model_validator(mode="after")
    def _within_limits(self) -> "SearchSpaceSettings":
        for name, domain in self:
            (low, high), limit = domain.ends, _LIMITS.get(name, 1.0)
            if low < 0 or high >= limit or (name in _ABOVE_ZERO and low <= 0):
                above = "above" if name in _ABOVE_ZERO else "at or above"
                raise ValueError(f"{name} must stay {above} 0 and below {limit:g}, not {low:g} to {high:g}")
        return self


HYPERPARAMETERS = tuple(SearchSpaceSettings.model_fields)
"""The hyperparameters in the order in which they are drawn."""


class SharedSamplerSettings(Settings):
    """The published search: configurations are drawn once, and every architecture tries the same ones."""

    name: Literal["shared"] = Field(description="drawn once for all architectures")


class GridSamplerSettings(Settings):
    """Every combination, the same in every architecture: curves over a hyperparameter that can be laid side by side.

    One hyperparameter may have a range, which is cut into equal steps (equal factors on a log scale).
    """

    name: Literal["grid"] = Field(description="every combination of the choices and of equal steps through one range")


class RandomSamplerSettings(Settings):
    """Every architecture draws configurations of its own."""

    name: Literal["random"] = Field(description="drawn for each architecture")


class TpeSamplerSettings(Settings):
    """A tree-structured Parzen estimator for each architecture (Bergstra et al. 2011), asked for several trials at a time."""

    name: Literal["tpe"] = Field(description="drawn near what has done well")
    startup_trials: int = Field(ge=1, description="trials drawn at random first")


SamplerSettings = Annotated[
    SharedSamplerSettings | GridSamplerSettings | RandomSamplerSettings | TpeSamplerSettings,
    Field(discriminator="name"),
]


class SearchSettings(Settings):
    """How hyperparameters are searched for."""

    trials: int = Field(ge=1, description="configurations that each architecture tries")
    seed: int = Field(ge=0, description="seed of the draws")
    training_seed: int = Field(ge=0, description="seed of first weights, order and dropout of every trial")
    sampler: SamplerSettings = Field(description="how configurations are drawn")
    batch: int | None = Field(
        ge=1, description="trials of an architecture that are drawn and trained before the next are; null: all at once"
    )
    pruner: PrunerSettings | None = Field(description="how hopeless trials are ended; null trains all of them")
    space: SearchSpaceSettings = Field(description="where hyperparameters are looked for")

    @model_validator(mode="after")
    def _a_grid_is_whole(self) -> "SearchSettings":
        if self.sampler.name == "grid":
            ranges = [name for name, domain in self.space if not isinstance(domain, ChoiceSettings)]
            cells = math.prod(len(domain.choices) for _, domain in self.space if isinstance(domain, ChoiceSettings))
            if len(ranges) > 1:
                raise ValueError(
                    f"sampler grid cuts one range into steps; give choices to one of {' and '.join(ranges)}"
                )
            if (self.trials % cells) if ranges else (self.trials != cells):
                number = f"a multiple of {cells}" if ranges else f"{cells}"
                raise ValueError(f"sampler grid tries every combination: set trials to {number}, not {self.trials}")
        return self

    @model_validator(mode="after")
    def _learns_from_earlier_batches(self) -> "SearchSettings":
        if self.batch is None and self.sampler.name == "tpe":
            raise ValueError("sampler tpe draws by what earlier trials found; set batch, for example to 10")
        if self.batch is None and self.pruner is not None and self.pruner.name == "median":
            raise ValueError("pruner median compares with earlier batches; set batch, for example to 10")
        return self


class MlpRunSettings(Settings):
    """All that decides the numbers of one perceptron, besides its seed and its data."""

    widths: tuple[Width, ...] = Field(min_length=1, description="units of each hidden layer")
    hyperparameters: dict[str, float] = Field(description="one value for each name in the search space")
    normalise: bool = Field(description="bring channels to mean 0 and deviation 1; else pixels are divided by 255")
    training: EnsembleSettings = Field(description="length and early stopping")
    protocol: Literal["published"] | None = Field(description="set where the published project's protocol is followed")
    parametrisation: Parametrisation = Field(default="standard", description="how weights and steps depend on widths")
    base_width: int | None = Field(
        default=None, ge=1, description="where all parametrisations are one; null for standard"
    )

    @model_serializer(mode="wrap")
    def _as_before(self, write: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return without_defaults(self, write(self), "parametrisation", "base_width")

    @property
    def scales(self) -> dict[str, TensorScale]:
        """How first weights and steps differ between the parameters of the perceptron; empty for standard."""
        return tensor_scales(self.parametrisation, self.widths, self.base_width or 1)

    @property
    def optimizer(self) -> AdamWSettings:
        """AdamW with the hyperparameters of the run."""
        return AdamWSettings(
            name="adamw",
            learning_rate=self.hyperparameters["lr"],
            betas=(self.hyperparameters["beta1"], self.hyperparameters["beta2"]),
            eps=self.hyperparameters["eps"],
            weight_decay=self.hyperparameters["weight_decay"],
        )


class Perceptron(NamedTuple):
    """An architecture in one parametrisation: what is searched for, trained and compared under a name."""

    name: str
    widths: tuple[int, ...]
    parametrisation: Parametrisation


class MlpTransferSettings(Settings):
    """Parameters of the `mlp_transfer` pipeline: search for each architecture, retrain, and try each other's optimum."""

    architectures: tuple[tuple[Width, ...], ...] = Field(
        min_length=1, description="widths of the hidden layers of each perceptron"
    )
    parametrisations: tuple[Parametrisation, ...] = Field(
        min_length=1,
        description="how first weights and steps depend on widths; every architecture is studied in each, and takes "
        "hyperparameters from others of its own parametrisation",
    )
    base_width: int = Field(
        ge=1,
        description="width of layers at which every parametrisation is the standard one; standard alone has no use for it",
    )
    seeds: tuple[int, ...] = Field(
        min_length=1, description="seeds that every chosen configuration is trained with again, at home and elsewhere"
    )
    protocol: Literal["corrected", "published"] = Field(
        description="published: the search's seed is among the seeds, trials are scored on test, spreads are of the whole "
        "population; corrected: none of it"
    )
    normalise: bool = Field(description="bring channels to mean 0 and deviation 1; else pixels are divided by 255")
    search: SearchSettings = Field(description="how hyperparameters are searched for")
    training: EnsembleSettings = Field(description="how every perceptron is trained")
    stack: StackSettings = Field(description="how networks are trained together")

    @model_validator(mode="after")
    def _lists_are_sets(self) -> "MlpTransferSettings":
        if any(not widths for widths in self.architectures):
            raise ValueError("architectures has an entry without a hidden layer; give it a width such as [64]")
        refuse_repeated(
            {
                "architectures": [*map(list, self.architectures)],
                "parametrisations": self.parametrisations,
                "seeds": self.seeds,
            }
        )
        return self

    @model_validator(mode="after")
    def _search_is_fair(self) -> "MlpTransferSettings":
        if self.search.pruner is not None and self.training.selection != "validation_loss":
            raise ValueError(
                f"search.pruner ends trials with a high validation loss, and training.selection is {self.training.selection}; "
                "set training.selection=validation_loss, or search.pruner=null"
            )
        if self.protocol == "corrected" and self.search.training_seed in self.seeds:
            raise ValueError(
                f"seeds has {self.search.training_seed}, which is search.training_seed: its runs chose the "
                "hyperparameters and may not judge them; choose other seeds, or protocol: published"
            )
        return self

    @property
    def perceptrons(self) -> tuple[Perceptron, ...]:
        """Every architecture in every parametrisation; the standard one's name is its widths alone."""
        return tuple(
            Perceptron(_perceptron_name(widths, parametrisation), widths, parametrisation)
            for parametrisation in self.parametrisations
            for widths in self.architectures
        )

    def run(
        self,
        widths: tuple[int, ...],
        hyperparameters: dict[str, float],
        parametrisation: Parametrisation = "standard",
    ) -> dict[str, Any]:
        """Configuration of one perceptron, as its run stores it."""
        return MlpRunSettings(
            widths=widths,
            parametrisation=parametrisation,
            base_width=None if parametrisation == "standard" else self.base_width,
            hyperparameters=hyperparameters,
            normalise=self.normalise,
            training=self.training,
            protocol="published" if self.protocol == "published" else None,
        ).model_dump(mode="json")


def _perceptron_name(widths: tuple[int, ...], parametrisation: Parametrisation) -> str:
    return architecture_name(widths) + ("" if parametrisation == "standard" else f"-{parametrisation}")


def architecture_name(widths: tuple[int, ...] | list[int]) -> str:
    """How an architecture is called: its widths, as in 252x32x16."""
    return "x".join(map(str, widths))
