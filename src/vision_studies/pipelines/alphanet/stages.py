"""What is done to the runs of `alphanet`: networks, features, classifiers, AlphaNets, and scoring."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from vision_studies.config.network_run import RunSettings
from vision_studies.costs import Costs, costs_nothing, costs_unknown
from vision_studies.files import write_json
from vision_studies.outcomes import Outcome
from vision_studies.pipelines.alphanet import checks
from vision_studies.pipelines.alphanet.plan import (
    CANDIDATES,
    CLASSIFIER_FILE,
    COMBINATIONS_FILE,
    TRADE_OFF,
    TRAINING,
    Plan,
)
from vision_studies.pipelines.alphanet.settings import (
    AlphanetSettings,
    ClassifierSettings,
    CombinationRunSettings,
    gives_logits,
)
from vision_studies.studies.method import Context
from vision_studies.studies.runs import Run
from vision_studies.studies.stages import Alone, Artifacts, Known, Record, Stage, Steps

if TYPE_CHECKING:
    from vision_studies.classifiers.linear import LinearClassifier
    from vision_studies.pipelines.alphanet.work.features import FeatureSet

FITTING, EVALUATION = "fitting", "evaluation"
BACKBONES, FEATURES, CLASSIFIERS, ALPHANETS = "backbones", "features", "classifiers", "AlphaNets"


def stages(context: Context[AlphanetSettings], _: Known) -> Steps:
    """Backbones, their features, the classifiers on these, and the AlphaNets; all are scored."""
    plan = Plan(context)
    checks.check(plan)
    yield Stage(
        TRAINING,
        [run for experts in plan.backbone_runs() for run in experts],
        Alone(partial(_train_backbone, plan=plan)),
        partial(_backbone_costs, plan=plan),
        title=BACKBONES,
        required=("backbone", "alphanet.backbone.run.training.optimizer.learning_rate"),
    )
    yield Artifacts(FEATURES, "extract", plan.feature_sets())
    classifiers = [experiment.run for experiment in plan.classifiers()]
    fitting = partial(_fitting_costs, plan=plan)
    yield Stage(FITTING, classifiers, Alone(partial(_fit, plan=plan)), fitting, title=CLASSIFIERS, verb="fit")
    experiments = [experiment.run for experiment in plan.experiments()]
    group = partial(_on_one_classifier, plan)
    learning = partial(_learning_costs, plan=plan)
    yield Stage(TRAINING, experiments, partial(_learn, plan=plan), learning, group, title=ALPHANETS)
    for runs, stage in ((classifiers, FITTING), (experiments, TRAINING)):
        evaluating = Alone(partial(_evaluate, plan=plan))  # matrix products of features
        yield Stage(EVALUATION, runs, evaluating, costs_nothing, verb="score", after=stage)


def most_runs(settings: AlphanetSettings) -> int:
    """How many trainings there are at most, found without data: networks, classifiers on them, and AlphaNets."""
    grid = len(settings.improved) * len(settings.distances) * len(settings.neighbours) * len(settings.rhos)
    experts = settings.backbone.experts if settings.trains_backbones else 0
    return settings.feature_sets * (experts + len(settings.classifiers)) + grid * settings.repeats


def _on_one_classifier(plan: Plan, runs: Sequence[Run]) -> list[list[Run]]:
    """AlphaNets on one classifier share its logits."""

    def classifier(run: Run) -> str:
        experiment = plan.of_run[run.fingerprint]
        return str(plan.classifier_folder(experiment.classifier, experiment.repeat))

    return [list(alike) for _, alike in groupby(sorted(runs, key=classifier), key=classifier)]


def _backbone_costs(runs: Sequence[Run], *, plan: Plan) -> Costs:
    from vision_studies.training.network_costs import training_costs

    settings = RunSettings.model_validate(runs[0].configuration["backbone"])
    return training_costs(settings, plan.prepared(), plan.context.device, plan.context.execution.processes_per_run)


def _fitting_costs(runs: Sequence[Run], *, plan: Plan) -> Costs:
    from vision_studies.pipelines.alphanet.costs import fitting_costs

    settings: ClassifierSettings = TypeAdapter(ClassifierSettings).validate_python(runs[0].configuration["classifier"])
    if not plan.has_shape_of_features:
        return costs_unknown("the features are not imported yet")
    return fitting_costs(settings, plan.made_up_features(), plan.settings.backbone.experts, plan.context.device)


def _learning_costs(stack: Sequence[Run], *, plan: Plan) -> Costs:
    from vision_studies.pipelines.alphanet.costs import learning_costs

    asked = [(CombinationRunSettings.model_validate(run.configuration["combinations"]), run.seed) for run in stack]
    if not plan.has_shape_of_features:
        return costs_unknown("the features are not imported yet")
    return learning_costs(asked, plan.made_up_features(), plan.context.device)


def _train_backbone(run: Run, folder: Path, *, plan: Plan) -> Outcome:
    from vision_studies.training import network_run
    from vision_studies.training.distributed import training_device
    from vision_studies.training.runtime import derived_seed

    settings = RunSettings.model_validate(run.configuration["backbone"])
    expert = run.configuration["expert"]
    seed = derived_seed(run.seed, expert) if expert else run.seed
    processes = plan.context.execution.processes_per_run
    device = training_device(plan.context.execution.device, processes)
    data = plan.prepared(plan.settings.backbone.seeds.index(run.seed))
    return network_run.train(settings, seed, data, folder, device, processes=processes)


def _fit(run: Run, folder: Path, *, plan: Plan) -> Outcome:
    from vision_studies.pipelines.alphanet.work.classifiers import fit
    from vision_studies.pipelines.alphanet.work.linear_classifier import save_classifier
    from vision_studies.training.runtime import select_device

    label = plan.of_run[run.fingerprint].classifier
    settings: ClassifierSettings = TypeAdapter(ClassifierSettings).validate_python(run.configuration["classifier"])
    features, experts = plan.features(label, run.seed), plan.source(run.seed).experts
    device = select_device(plan.context.execution.device)
    classifier, metrics, candidates = fit(settings, features, experts, run.seed, device)
    for position, candidate in enumerate(candidates):
        save_classifier(candidate, folder / CANDIDATES / f"{position}.safetensors")
    save_classifier(classifier, folder / CLASSIFIER_FILE)
    return Outcome(metrics)


def _learn(stack: Sequence[Run], folder: Path, record: Record, *, plan: Plan) -> None:
    from vision_studies.pipelines.alphanet.work.experiments import Combination, learn
    from vision_studies.training.checkpoints import save_state
    from vision_studies.training.runtime import select_device

    first, device = plan.of_run[stack[0].fingerprint], select_device(plan.context.execution.device)
    asked = [
        Combination(CombinationRunSettings.model_validate(run.configuration["combinations"]), run.seed) for run in stack
    ]
    learnt = learn(
        asked,
        plan.features(first.classifier, first.repeat),
        plan.classifier(first),
        folder,
        device,
        checkpoints=plan.settings.checkpoints,
        finished={position for position, run in enumerate(stack) if plan.runs.is_finished(run, TRAINING)},
    )
    for position, network in learnt:
        run = stack[position]
        if network.ended != "diverged":
            save_state(plan.runs.path(run, COMBINATIONS_FILE), network.state())
        record(run, network.outcome(network.metrics({"parameters": network.parameters}, device)))


def _evaluate(run: Run, folder: Path, *, plan: Plan) -> Outcome:
    from vision_studies.pipelines.alphanet.work.evaluation import (
        evaluate,
        improved_classifier,
        improved_scores,
        said_of,
    )
    from vision_studies.pipelines.alphanet.work.experiments import read_combinations
    from vision_studies.pipelines.alphanet.work.sources import baseline_scores

    experiment = plan.of_run[run.fingerprint]
    label, repeat = experiment.classifier, experiment.repeat
    features = plan.features(label, repeat)
    test, classifier = features.groups["test"], plan.classifier(experiment)
    classifier_file = plan.classifier_folder(label, repeat) / CLASSIFIER_FILE
    scores = baseline_scores(plan.source_folder(repeat), classifier_file, wide=plan.is_wide(label))
    if experiment.neighbours is None and (folder / CANDIDATES).is_dir():
        write_json(
            folder / TRADE_OFF, _trade_off(folder, classifier, features, run.configuration["classifier"]["values"])
        )
    if experiment.neighbours is not None:
        scale = CombinationRunSettings.model_validate(run.configuration["combinations"]).training.prediction_scale
        neighbours, coefficients = read_combinations(folder / COMBINATIONS_FILE, features.splits)
        classifier = improved_classifier(classifier, neighbours, coefficients, scale)
        scores = improved_scores(scores, test, classifier, features.splits.few, scale)
    logits = gives_logits(run.configuration["classifier"])
    data = None if plan.context.data is None else plan.prepared(repeat)  # of imported features there are no images
    positions = (None, None) if data is None else (data.splits.test, data.splits.validation)
    outcome = evaluate(scores, test.labels, features.splits, positions[0], probabilities=logits)
    if (group := features.groups.get("validation")) is None:
        return outcome
    scores = classifier.scores(group.features)
    said = said_of("validation", scores, group.labels, positions[1], probabilities=logits)
    return replace(outcome, predictions=(*outcome.predictions, said))


def _trade_off(
    folder: Path, chosen: "LinearClassifier", features: "FeatureSet", values: Sequence[float]
) -> list[dict[str, Any]]:
    """Test accuracies by split for every value of a method's knob."""
    import numpy as np

    from vision_studies.pipelines.alphanet.work.accuracy import split_accuracies
    from vision_studies.pipelines.alphanet.work.linear_classifier import load_classifier

    test, rows = features.groups["test"], []
    for position, value in enumerate(values):
        candidate = load_classifier(folder / CANDIDATES / f"{position}.safetensors")
        hits = candidate.scores(test.features).argmax(axis=1) == test.labels
        same = all(np.array_equal(own, getattr(chosen, name)) for name, own in vars(candidate).items())
        accuracies = split_accuracies(hits, test.labels, features.splits)
        rows.append({"knob": value, "chosen": same, **accuracies})
    return rows
