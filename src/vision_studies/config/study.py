"""What a study calls itself, and what it compares."""

from typing import Any

from pydantic import Field

from vision_studies.settings_base import Settings


class StudySettings(Settings):
    """Name and question of a study; filled in from the environment's own files, not by hand."""

    name: str = Field(min_length=1, description="the environments as named on the command line; a folder name")
    title: str = Field(description="heading of the report")
    question: str = Field(description="what the study wants to know")


class VariantSettings(Settings):
    """One of the things that a study compares."""

    name: str = Field(min_length=1, description="how it is called in tables and figures")
    changes: dict[str, Any] = Field(description="what it changes in `run`, nested; checked before anything is trained")
