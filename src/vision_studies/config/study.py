"""What a study calls itself and compares, where its runs are done, and how its results are summed up."""

from collections.abc import Collection, Sequence
from typing import Any, Literal

from pydantic import Field, field_validator

from vision_studies.config.lengths_of_time import budget_seconds
from vision_studies.predictions import CalibratorName, Detail
from vision_studies.settings_base import Settings


class StudySettings(Settings):
    """Name and question of a study; filled in from the environment's own files, not by hand."""

    name: str = Field(min_length=1, description="the environments as named on the command line; a folder name")
    title: str = Field(description="heading of the report")
    question: str = Field(description="what the study wants to know")


REHEARSAL = "demo"
"""Environment that makes a study small enough for minutes, on images that say nothing of its question."""


def is_rehearsal(study: str) -> bool:
    """Whether a study, by the environments that name it, only shows that everything works."""
    return REHEARSAL in study.split("+")


class VariantSettings(Settings):
    """One of the things that a study compares."""

    name: str = Field(min_length=1, description="how it is called in tables and figures")
    changes: dict[str, Any] = Field(description="what it changes in `run`, nested; checked before anything is trained")


class UntilSettings(Settings):
    """Precision in the place of a number of seeds: seeds are added one by one until validation images tell enough."""

    half_width: float = Field(
        gt=0, lt=100, description="points either way to which each difference from the first variant is to be known"
    )
    of: Literal["difference"] = Field(description="what is to be known: differences from the first variant")
    at_most: int = Field(ge=2, le=200, description="seeds of each variant, those of `seeds` among them")
    margin: float = Field(
        default=1.0,
        gt=0,
        lt=100,
        description="points below which a difference counts as none, so that it is known, too",
    )

    def require(self, seeds: Sequence[int], variants: Sequence[VariantSettings]) -> None:
        """Raises ValueError where seeds or variants leave nothing to look at."""
        if len(variants) < 2:
            raise ValueError(
                f"until compares variants with the first one, and '{variants[0].name}' is the only one; add another to "
                "variants, or set until to null"
            )
        if len(seeds) < 2:
            raise ValueError(
                f"until looks at how much seeds differ, and seeds has only {seeds[0]}; give two or more (three tell far more)"
            )
        if self.at_most < len(seeds):
            raise ValueError(
                f"until.at_most is {self.at_most}, and seeds has {len(seeds)} already; raise at_most or shorten seeds"
            )

    def seeds(self, first: Sequence[int], taken: Collection[int] = ()) -> tuple[int, ...]:
        """All seeds that may be needed: the `first` ones, and those that follow the largest, but for those that are `taken`."""
        free = (seed for seed in range(max(first) + 1, max(first) + 2 + self.at_most + len(taken)) if seed not in taken)
        return (*first, *(next(free) for _ in range(self.at_most - len(first))))


class ExecutionSettings(Settings):
    """Execution of independent runs through joblib."""

    backend: Literal["sequential", "loky", "dask"] = Field(
        description="sequential: one run after the other; loky: processes on this machine; dask: a cluster"
    )
    workers: int = Field(ge=1, description="processes of the loky backend, and of a local Dask cluster")
    scheduler_address: str | None = Field(description="Dask scheduler, such as tcp://host:8786; null: a local cluster")
    resources: dict[str, float] = Field(description="Dask resources that one run takes, such as {GPU: 1}")
    processes_per_run: int = Field(
        ge=1,
        description="processes that train one network of cifar_resnet or alphanet together, each with a GPU of its own",
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        description="auto: a GPU where there is one; of several, each process takes its own; mps: the GPU of an Apple machine"
    )
    predictions: Detail | None = Field(
        default=None,  # records of commands of earlier versions have none
        description="what every scored run keeps of what it says of images; full: all probabilities; top: those of the five "
        "most probable classes; correct: the predicted class alone; null: as each method has it",
    )
    budget: str | None = Field(
        default=None,  # likewise
        description="time for all runs of the study together, over all its commands, such as 90s, 10m or 2h: what would not "
        "end in time is not begun, and a larger budget goes on; null: no limit",
    )

    @field_validator("budget")
    @classmethod
    def _is_a_length_of_time(cls, budget: str | None) -> str | None:
        if budget is not None:
            budget_seconds(budget)
        return budget

    @property
    def seconds(self) -> float | None:
        """The budget; None where there is none."""
        return None if self.budget is None else budget_seconds(self.budget)


class VersionSettings(Settings):
    """What is kept of earlier results, figures and selected models."""

    keep: int = Field(
        ge=1, description="how many of the newest versions of each data set stay, the present one among them"
    )


class ReportingSettings(Settings):
    """How results are summed up."""

    confidence: float = Field(gt=0.5, lt=1, description="confidence of every interval")
    interval: Literal["t", "bootstrap"] = Field(
        description="t: Student's interval of the mean; bootstrap: bias-corrected and accelerated"
    )
    test: Literal["wilcoxon", "t"] = Field(description="paired test of two variants: signed-rank, or Student's t")
    margin: float = Field(
        gt=0, lt=1, description="differences of accuracy below it count as none: 0.01 is one percentage point"
    )
    calibration: tuple[CalibratorName, ...] = Field(
        description="how probabilities are calibrated by validation images, each a row beside those that the network says: "
        "temperature, vector, isotonic; from what finished runs have kept, so that nothing is done anew"
    )

    @property
    def over_seeds(self) -> dict[str, Any]:
        """What intervals and tests over seeds alone take."""
        return self.model_dump(include={"confidence", "interval", "test"})
