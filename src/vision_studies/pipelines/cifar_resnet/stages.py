"""The runs of `cifar_resnet`, and what is done to them."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from vision_studies.config.network_run import RunSettings
from vision_studies.costs import Costs
from vision_studies.outcomes import Outcome
from vision_studies.pipelines.cifar_resnet.settings import CifarResnetSettings
from vision_studies.predictions import Predictions
from vision_studies.studies.adding_seeds import check_until, with_enough_seeds
from vision_studies.studies.method import Context, check_images
from vision_studies.studies.runs import Run
from vision_studies.studies.stages import Alone, Known, Stage, Steps

TRAINING, VALIDATION, EVALUATION = "training", "validation", "evaluation"
ResidualNetworks = Context[CifarResnetSettings]


def study_runs(context: ResidualNetworks, seeds: Sequence[int] | None = None) -> list[Run]:
    """All runs of some seeds (None: those of the settings), seed by seed, so that every variant has a result before any has its
    second.
    """
    settings = context.settings
    seeds = settings.seeds if seeds is None else seeds
    configurations = [
        (variant.name, settings.configured(variant).model_dump(mode="json")) for variant in settings.variants
    ]
    return [context.run(name, seed, configuration) for seed in seeds for name, configuration in configurations]


def check(context: ResidualNetworks) -> None:
    """Build the network of every variant, without weights.

    Raises:
        ParameterError: a network cannot take images of this size, a batch cannot be shared by the processes of a run, or seeds
            are to be added and the images are in folds.
        DataError: the images are none to learn from.
    """
    from vision_studies.models.statistics import without_values
    from vision_studies.training.distributed import require_equal_shares
    from vision_studies.training.network_run import build_network

    check_images(context.images)
    check_until(context)
    for variant in context.settings.variants:
        settings = context.settings.configured(variant)
        require_equal_shares(settings.training.batch_size, context.execution.processes_per_run)
        with without_values():
            build_network(settings, context.images)


def stages(context: ResidualNetworks, _: Known) -> Steps:
    """Training and evaluation of every variant with every seed."""
    check(context)  # all before the first begins
    training, scoring = (partial(cost, context=context) for cost in (_training_costs, _scoring_costs))
    done = partial(study_runs, context)

    def train(seeds: Sequence[int]) -> Steps:
        ended = yield Stage(TRAINING, done(seeds), Alone(partial(_train, context=context)), training)
        if context.settings.until is None:
            return ended
        validate = Alone(partial(_validate, context=context))
        validated = yield Stage(VALIDATION, done(seeds), validate, scoring, verb="score", after=TRAINING)
        return ended and validated

    def cost(seeds: Sequence[int]) -> Costs:
        return [each for run in done(seeds) for told in (training, scoring) for each in told([run])]

    runs = done((yield from with_enough_seeds(context, train, done, cost)))
    yield Stage(EVALUATION, runs, Alone(partial(_evaluate, context=context)), scoring, verb="score", after=TRAINING)


def most_runs(settings: CifarResnetSettings) -> int:
    """How many trainings there are at most, counted without data."""
    return len(settings.variants) * len(settings.possible_seeds)


def _training_costs(runs: Sequence[Run], *, context: ResidualNetworks) -> Costs:
    from vision_studies.training.network_costs import training_costs

    settings, processes = RunSettings.model_validate(runs[0].configuration), context.execution.processes_per_run
    return training_costs(settings, context.images, context.device, processes)


def _scoring_costs(runs: Sequence[Run], *, context: ResidualNetworks) -> Costs:
    from vision_studies.training.network_costs import scoring_costs

    return scoring_costs(RunSettings.model_validate(runs[0].configuration), context.images, context.device)


def _train(run: Run, folder: Path, *, context: ResidualNetworks) -> Outcome:
    from vision_studies.training.distributed import training_device
    from vision_studies.training.network_run import train

    settings, processes = RunSettings.model_validate(run.configuration), context.execution.processes_per_run
    device = training_device(context.execution.device, processes)
    keep_every = context.settings.keep_every
    return train(settings, run.seed, context.images, folder, device, processes=processes, keep_every=keep_every)


def _validate(run: Run, folder: Path, *, context: ResidualNetworks) -> Outcome:
    from vision_studies.training.network_run import validate

    if isinstance(context.runs.predictions(run, "validation"), Predictions):
        return Outcome({})  # it was evaluated before
    settings = RunSettings.model_validate(run.configuration)
    return validate(settings, run.seed, context.images, folder, context.device)


def _evaluate(run: Run, folder: Path, *, context: ResidualNetworks) -> Outcome:
    from vision_studies.training.network_run import evaluate

    settings = RunSettings.model_validate(run.configuration)
    return evaluate(settings, run.seed, context.images, folder, context.device)
