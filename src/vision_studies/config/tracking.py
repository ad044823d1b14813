"""Where runs are logged besides the project's own tables and report."""

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from vision_studies.settings_base import Settings


class MlflowSettings(Settings):
    """MLflow, which the extra `mlflow` brings; user and password of a server come from the environment."""

    enabled: bool = Field(description="log to MLflow")
    uri: str = Field(
        min_length=1,
        description="sqlite:///FILE (a relative file starts at the project), the address of a server, or another store",
    )
    experiment: str = Field(min_length=1, max_length=500, description="experiment that holds the studies")

    @field_validator("uri")
    @classmethod
    def _holds_no_secret(cls, uri: str) -> str:
        parts = urlsplit(uri)
        if parts.password is not None or (parts.username is not None and parts.scheme in ("http", "https")):
            raise ValueError(
                "the address holds a user or a password, and parameters are recorded beside results; take them out and "
                "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD in the environment (a data base has "
                "means of its own, such as ~/.pgpass)"
            )
        return uri


class WandbSettings(Settings):
    """Weights & Biases, which the extra `wandb` brings; the key comes from the environment: WANDB_API_KEY."""

    enabled: bool = Field(description="log to Weights & Biases")
    mode: Literal["offline", "online"] = Field(
        description="offline: into files that `wandb sync` sends later; online: to the server at once"
    )
    project: str = Field(min_length=1, max_length=128, description="project that holds the studies")
    entity: str | None = Field(description="user or team; null: whom the key belongs to")
    folder: str = Field(min_length=1, description="files of offline runs, and which runs have been logged")


class TrackingSettings(Settings):
    """Trackers of experiments: none of them changes a number, and one that is down stops no training."""

    mlflow: MlflowSettings = Field(description="MLflow")
    wandb: WandbSettings = Field(description="Weights & Biases")
    weights: bool = Field(description="log the weights of every run, too")
    interval: float = Field(gt=0, description="seconds between two looks for runs that have ended")
    patience: float = Field(gt=0, description="longest time, in seconds, that a command waits at its end for trackers")
