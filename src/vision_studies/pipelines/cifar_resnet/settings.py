"""Parameters of the `cifar_resnet` pipeline."""

from pydantic import Field, model_validator

from vision_studies.config.network_run import RunSettings
from vision_studies.config.study import UntilSettings, VariantSettings
from vision_studies.config.validation import with_changes
from vision_studies.settings_base import Settings


class CifarResnetSettings(Settings):
    """Parameters of the `cifar_resnet` pipeline: a base run, its variants and their seeds."""

    seeds: tuple[int, ...] = Field(min_length=1, description="every variant is trained with each of these seeds")
    variants: tuple[VariantSettings, ...] = Field(
        min_length=1, description="what is compared; the first is what the others are compared with"
    )
    until: UntilSettings | None = Field(
        default=None,  # records of commands of earlier versions have none
        description="add seeds until differences are known well enough, such as "
        "{half_width: 0.5, of: difference, at_most: 12}; null: `seeds` alone",
    )
    keep_every: int | None = Field(
        ge=1,
        description="numbered checkpoints of every so many epochs stay, beside the newest that run.training.keep_last "
        "counts; null: of none",
    )
    run: RunSettings = Field(description="the run that all variants start from")

    @model_validator(mode="after")
    def _variants_are_whole(self) -> "CifarResnetSettings":
        names = [variant.name for variant in self.variants]
        if len(set(names)) < len(names):
            raise ValueError(f"variants has a name twice: {', '.join(names)}")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds has a seed twice: {list(self.seeds)}")
        if self.until is not None:
            self.until.require(self.seeds, self.variants)
        for variant in self.variants:
            self.configured(variant)
        return self

    @property
    def possible_seeds(self) -> tuple[int, ...]:
        """Those of every run that there may be, in their order."""
        return self.seeds if self.until is None else self.until.seeds(self.seeds)

    def configured(self, variant: VariantSettings) -> RunSettings:
        """The run of a variant.

        Raises:
            ValueError: its changes do not fit.
        """
        return with_changes(self.run, variant.changes, title=f"variant '{variant.name}'")
