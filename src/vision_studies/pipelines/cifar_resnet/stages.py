"""The runs of `cifar_resnet`, and what is done to them."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vision_studies.config.network_run import RunSettings
from vision_studies.config.study import ExecutionSettings
from vision_studies.outcomes import Outcome
from vision_studies.pipelines.cifar_resnet.settings import CifarResnetSettings
from vision_studies.studies.method import Context
from vision_studies.studies.runs import Run, plan_runs
from vision_studies.studies.stages import Alone, Known, Stage, Steps

if TYPE_CHECKING:
    from vision_studies.data.prepared import PreparedData

TRAINING, EVALUATION = "training", "evaluation"


def study_runs(context: Context[CifarResnetSettings]) -> list[Run]:
    """All runs of the study.

    Raises:
        ParameterError: an override names an unknown key, has a wrong value, or a list is empty or repeats itself.
    """
    settings = context.settings
    return plan_runs(
        context.run,
        name="cifar_resnet",
        base=settings.run.model_dump(mode="json"),
        variants={variant.name: variant.changes for variant in settings.variants},
        seeds=settings.seeds,
        resolve=lambda merged: RunSettings.model_validate(merged).model_dump(mode="json"),
    )


def stages(context: Context[CifarResnetSettings], _: Known) -> Steps:
    """Training and evaluation of every variant with every seed."""
    from vision_studies.training.distributed import require_equal_shares

    runs, execution = study_runs(context), context.execution
    for run in runs:  # all before the first begins
        require_equal_shares(run.configuration["training"]["batch_size"], execution.processes_per_run)
    train, evaluate = (Alone(partial(work, data=context.images, execution=execution)) for work in (_train, _evaluate))
    yield Stage(TRAINING, runs, train)
    yield Stage(EVALUATION, runs, evaluate, verb="score", after=TRAINING)


def most_runs(settings: CifarResnetSettings) -> int:
    """How many trainings there are, found without data."""
    return len(settings.variants) * len(settings.seeds)


def _train(run: Run, folder: Path, *, data: "PreparedData", execution: ExecutionSettings) -> Outcome:
    from vision_studies.training.distributed import training_device
    from vision_studies.training.network_run import train

    settings, processes = RunSettings.model_validate(run.configuration), execution.processes_per_run
    device = training_device(execution.device, processes)
    return train(settings, run.seed, data, folder, device, processes=processes)


def _evaluate(run: Run, folder: Path, *, data: "PreparedData", execution: ExecutionSettings) -> Outcome:
    from vision_studies.training.network_run import evaluate
    from vision_studies.training.runtime import select_device

    settings = RunSettings.model_validate(run.configuration)
    return Outcome(evaluate(settings, data, folder, select_device(execution.device)))
