"""The runs of `cifar_resnet`, and what is done to them."""

from functools import partial
from pathlib import Path

from vision_studies.config.network_run import RunSettings
from vision_studies.outcomes import Outcome
from vision_studies.pipelines.cifar_resnet.settings import CifarResnetSettings
from vision_studies.studies.method import Context
from vision_studies.studies.runs import Run
from vision_studies.studies.stages import Alone, Known, Stage, Steps

TRAINING, EVALUATION = "training", "evaluation"
ResidualNetworks = Context[CifarResnetSettings]


def study_runs(context: ResidualNetworks) -> list[Run]:
    """All runs of the study, seed by seed, so that every variant has a result before any has its second."""
    settings = context.settings
    configurations = [
        (variant.name, settings.configured(variant).model_dump(mode="json")) for variant in settings.variants
    ]
    return [context.run(name, seed, configuration) for seed in settings.seeds for name, configuration in configurations]


def stages(context: ResidualNetworks, _: Known) -> Steps:
    """Training and evaluation of every variant with every seed."""
    from vision_studies.training.distributed import require_equal_shares

    runs = study_runs(context)
    for run in runs:  # all before the first begins
        require_equal_shares(run.configuration["training"]["batch_size"], context.execution.processes_per_run)
    yield Stage(TRAINING, runs, Alone(partial(_train, context=context)))
    yield Stage(EVALUATION, runs, Alone(partial(_evaluate, context=context)), verb="score", after=TRAINING)


def most_runs(settings: CifarResnetSettings) -> int:
    """How many trainings there are, counted without data."""
    return len(settings.variants) * len(settings.seeds)


def _train(run: Run, folder: Path, *, context: ResidualNetworks) -> Outcome:
    from vision_studies.training.distributed import training_device
    from vision_studies.training.network_run import train

    settings, processes = RunSettings.model_validate(run.configuration), context.execution.processes_per_run
    device = training_device(context.execution.device, processes)
    keep_every = context.settings.keep_every
    return train(settings, run.seed, context.images, folder, device, processes=processes, keep_every=keep_every)


def _evaluate(run: Run, folder: Path, *, context: ResidualNetworks) -> Outcome:
    from vision_studies.training.network_run import evaluate

    settings = RunSettings.model_validate(run.configuration)
    return Outcome(evaluate(settings, context.images, folder, context.device))
