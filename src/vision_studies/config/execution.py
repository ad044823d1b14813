"""Where the runs of a study are done."""

from typing import Literal

from pydantic import Field

from vision_studies.settings_base import Settings


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
    device: Literal["auto", "cpu", "cuda"] = Field(
        description="auto: a GPU where there is one; of several, each process takes its own"
    )
