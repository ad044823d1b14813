"""Where runs are done: here, in processes, or on a cluster. Joblib does the scheduling."""

from collections.abc import Iterator
from contextlib import contextmanager

import joblib

from vision_studies.config.execution import ExecutionSettings
from vision_studies.errors import MissingDependencyError


@contextmanager
def parallel_runs(settings: ExecutionSettings) -> Iterator[joblib.Parallel]:
    """Where runs are done: here, in processes, or on a cluster; results come in the order in which they end."""
    if settings.backend != "dask":
        yield joblib.Parallel(
            n_jobs=settings.workers, backend=settings.backend, return_as="generator_unordered", batch_size=1
        )
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise MissingDependencyError(
            "execution.backend is 'dask' but dask.distributed is not installed; run `pip install dask[distributed]`."
        ) from error
    with Client(settings.scheduler_address) as client:
        backend = {"backend": "dask", "client": client, "resources": dict(settings.resources)}
        with joblib.parallel_config(**backend):
            yield joblib.Parallel(n_jobs=-1, return_as="generator_unordered", batch_size=1)
