"""Where runs are done: here, in processes, or on a cluster. Joblib and Dask do the scheduling."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from typing import Any

import joblib

from vision_studies.config.study import ExecutionSettings
from vision_studies.errors import ClusterError, MissingDependencyError
from vision_studies.studies.tasks import Parallel, Task


@contextmanager
def parallel_runs(settings: ExecutionSettings) -> Iterator[Parallel]:
    """Where runs are done; results come in the order in which they end.

    Processes and workers share the cores of their machine among them: each computes with as many threads as there are cores
    for one, or with OMP_NUM_THREADS where the command has it.

    Raises:
        ClusterError: a process was killed, or the cluster is not there, is lost or does not fit; what is finished is kept.
        MissingDependencyError: Dask is asked for and not installed.
    """
    if settings.backend != "dask":
        yield _processes(settings)
        return
    try:
        from vision_studies.studies.cluster import DaskCluster
    except ImportError as error:
        raise MissingDependencyError(
            "execution.backend is 'dask' but dask.distributed is not installed; run `pip install dask[distributed]`."
        ) from error
    with closing(DaskCluster(settings)) as cluster:
        yield cluster.do


def _processes(settings: ExecutionSettings) -> Parallel:
    parallel = joblib.Parallel(
        n_jobs=settings.workers, backend=settings.backend, return_as="generator_unordered", batch_size=1
    )

    def do(tasks: Iterable[Task], *, when_lost: Callable[..., Any] | None = None) -> Iterator[Any]:  # noqa: ARG001
        try:
            yield from parallel(tasks)
        except BrokenProcessPool as error:
            raise ClusterError(
                f"One of the {settings.workers} processes of execution.backend={settings.backend} was killed, most often "
                "because the memory was full; lower execution.workers and repeat the command: finished runs are kept, the "
                "others go on from their checkpoints."
            ) from error

    return do
