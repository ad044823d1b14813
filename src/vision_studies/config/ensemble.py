"""How many networks of one architecture are trained as one: parameters of `training.ensemble`."""

import itertools
from typing import Literal

from pydantic import Field, model_validator

from vision_studies.config.training import EarlyStoppingSettings, OptimisationSettings, Precision, Selection
from vision_studies.settings_base import Settings


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
        if any(later <= earlier for earlier, later in itertools.pairwise(given)):
            raise ValueError(f"validation_schedule must name later epochs stage by stage, not {given}")
        return self

    def validates(self, epoch: int) -> bool:
        """Whether `epoch` (from 1) is validated."""
        stages = self.validation_schedule
        stage = next((stage for stage in stages if stage.until_epoch is None or epoch <= stage.until_epoch), stages[-1])
        return epoch % stage.interval == 0 or epoch == self.epochs
