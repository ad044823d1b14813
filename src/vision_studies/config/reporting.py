"""Parameters of the `reporting` pipeline."""

from typing import Literal

from pydantic import Field

from vision_studies.settings_base import Settings


class ReportingSettings(Settings):
    """How results are summed up."""

    confidence: float = Field(gt=0.5, lt=1, description="confidence of every interval")
    interval: Literal["t", "bootstrap"] = Field(
        description="t: Student's interval of the mean; bootstrap: bias-corrected and accelerated"
    )
    test: Literal["wilcoxon", "t"] = Field(description="paired test of two variants: signed-rank, or Student's t")
