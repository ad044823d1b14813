"""Where hyperparameters are looked for, and how hopeless trials are ended: what searches of all pipelines share."""

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from vision_studies.files import hash_json
from vision_studies.settings_base import Settings


class RangeSettings(Settings):
    """Numbers between two ends."""

    low: float = Field(description="lower end")
    high: float = Field(description="upper end")
    scale: Literal["log", "uniform"] = Field(description="whether every factor or every difference is equally likely")

    @model_validator(mode="after")
    def _ends_in_order(self) -> "RangeSettings":
        if not self.low < self.high:
            raise ValueError(f"low ({self.low:g}) must be below high ({self.high:g})")
        if self.scale == "log" and self.low <= 0:
            raise ValueError(f"low ({self.low:g}) must be above 0 on a log scale")
        return self

    @property
    def ends(self) -> tuple[float, float]:
        """Lowest and highest value."""
        return self.low, self.high


class ChoiceSettings(Settings):
    """A list of values, each equally likely."""

    choices: tuple[float, ...] = Field(min_length=1, description="values to choose from")

    @property
    def ends(self) -> tuple[float, float]:
        """Lowest and highest value."""
        return min(self.choices), max(self.choices)


class IntegerSettings(Settings):
    """Whole numbers between two ends, each equally likely."""

    lowest: int = Field(description="smallest")
    highest: int = Field(description="largest")

    @model_validator(mode="after")
    def _ends_in_order(self) -> "IntegerSettings":
        if not self.lowest < self.highest:
            raise ValueError(f"lowest ({self.lowest}) must be below highest ({self.highest})")
        return self


class OptionSettings(Settings):
    """Named values, each equally likely; a value may be a whole group of settings."""

    options: dict[str, Any] = Field(min_length=1, description="name of a value -> the value")


def _kind(value: Any) -> str:
    keys = value if isinstance(value, dict) else value.model_dump()
    return next((name for name, key in (("options", "options"), ("integer", "lowest")) if key in keys), "range")


SearchDomain = Annotated[
    Annotated[RangeSettings, Tag("range")]
    | Annotated[IntegerSettings, Tag("integer")]
    | Annotated[OptionSettings, Tag("options")],
    Discriminator(_kind),
]
"""{low, high, scale}, {lowest, highest} or {options: {name: value}}."""


class MedianPrunerSettings(Settings):
    """End a trial that is worse than the median of finished ones at the same epoch."""

    name: Literal["median"] = Field(description="worse than the median of finished trials")
    startup_trials: int = Field(ge=0, description="trials that must have finished before any is ended")
    warmup_epochs: int = Field(ge=0, description="epochs in which no trial is ended")


class HyperbandPrunerSettings(Settings):
    """Give more epochs to the better trials (Li et al. 2018)."""

    name: Literal["hyperband"] = Field(description="only the best go on, rung by rung")
    min_epochs: int = Field(ge=1, description="epochs before the first rung")
    reduction_factor: int = Field(ge=2, description="one trial of so many goes on to the next rung")


class PatiencePrunerSettings(Settings):
    """End a trial whose best value has not improved for a while, whatever other trials have reached."""

    name: Literal["patience"] = Field(description="no improvement of its own")
    patience: int = Field(ge=1, description="validations without improvement after which a trial is ended")
    min_delta: float = Field(ge=0, description="smallest change that counts as improvement; of accuracy, a fraction")


PrunerSettings = Annotated[
    MedianPrunerSettings | HyperbandPrunerSettings | PatiencePrunerSettings, Field(discriminator="name")
]


def pruner_name(settings: PrunerSettings | None) -> str | None:
    """What tells a pruner from another one; None where there is none."""
    return None if settings is None else hash_json(settings.model_dump(mode="json"))[:8]


class SamplerSettings(Settings):
    """How configurations are drawn."""

    name: Literal["tpe", "random"] = Field(
        description="tpe: near what has done well (Bergstra et al. 2011); random: anywhere"
    )
    startup_trials: int = Field(ge=1, description="trials drawn at random first")


class SharedSearchSettings(Settings):
    """Search for the hyperparameters of every variant; several processes may share it."""

    trials: int = Field(ge=1, description="trials of a variant, by however many workers")
    timeout: float | None = Field(
        gt=0, description="seconds of training, all trials of a variant together, after which no new trial begins"
    )
    seed: int = Field(ge=0, description="seed of draws and of every trial's training")
    storage: str | None = Field(
        description="Optuna storage for several machines, such as postgresql://host/studies; null: a journal file"
    )
    sampler: SamplerSettings = Field(description="how configurations are drawn")
    pruner: PrunerSettings | None = Field(description="how hopeless trials are ended; null trains all of them")
    spaces: dict[str, dict[str, SearchDomain]] = Field(
        min_length=1, description="name -> dotted path in `run` -> {low, high, scale}, {lowest, highest} or {options}"
    )

    @field_validator("storage")
    @classmethod
    def _is_an_address_without_a_password(cls, storage: str | None) -> str | None:
        parts = urlsplit(storage or "postgresql://host/studies")
        if not parts.scheme or "://" not in (storage or "://"):
            raise ValueError(f"{storage!r} is not the address of a database, such as postgresql://host/studies")
        if parts.password:
            raise ValueError(
                "the address holds a password, which would be recorded with every run; keep it in ~/.pgpass or in the "
                "environment variable PGPASSWORD"
            )
        return storage
