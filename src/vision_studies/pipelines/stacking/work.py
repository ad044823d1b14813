"""Doing the runs of a stacking study: searching, training and scoring, each once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision_studies.config.execution import ExecutionSettings
from vision_studies.config.search import pruner_name
from vision_studies.config.stacking import StackingSettings, StackingVariantSettings
from vision_studies.config.stacking_runs import CombinationRun, CrossValidatedRun, NetworkRun, read_run, stack_run
from vision_studies.config.study import StudySettings
from vision_studies.files import hash_json
from vision_studies.pipelines.stacking.plan import Entry, make_run, members_of, runs_of
from vision_studies.studies.execution import execute, execute_one
from vision_studies.studies.parallel import parallel_runs
from vision_studies.studies.results import COMPLETE, DIVERGED, FAILED, PRUNED
from vision_studies.studies.runs import Run
from vision_studies.studies.stages import Outcome, forget_run, pruned, read_stage, run_folder, was_pruned_otherwise

if TYPE_CHECKING:
    from vision_studies.config.search import SearchDomain
    from vision_studies.data.prepared import PreparedData
    from vision_studies.methods.stacking import Report
    from vision_studies.studies.search import Report as TrialReport
    from vision_studies.studies.search import SearchTrial, SharedSearch, TrialOutcome

TRAINING, EVALUATION = "training", "evaluation"


@dataclass(frozen=True)
class Workplace:
    """All that a run needs besides its own settings."""

    settings: StackingSettings
    study: StudySettings
    execution: ExecutionSettings
    data: "PreparedData"
    folder: Path


def train_entries(place: Workplace, entries: Sequence[Entry], *, fresh: bool) -> list[Run]:
    """Train what is not trained yet, then combine what is combined; return the runs of all entries."""
    runs = entry_runs(place, entries)
    trained, combined = divided(place, runs)
    trained.sort(key=lambda run: place.settings.seeds.index(run.seed))  # every variant before any has its second
    execute(trained, TRAINING, partial(_train, place=place), place.folder, place.execution, fresh=fresh)
    execute(combined, TRAINING, partial(_combine, place=place), place.folder, place.execution, fresh=fresh)
    return runs


def evaluate_entries(place: Workplace, entries: Sequence[Entry]) -> list[Run]:
    """Score every trained run once on test, networks before their combinations; return the runs of all entries."""
    runs = entry_runs(place, entries)
    for own in divided(place, runs):
        scored = [run for run in own if _is_trained(place.folder, run)]
        execute(scored, EVALUATION, partial(_evaluate, place=place), place.folder, place.execution)
    return runs


def entry_runs(place: Workplace, entries: Sequence[Entry]) -> list[Run]:
    """The runs of all entries, one a seed."""
    return [run for entry in entries for run in runs_of(entry, place.settings, place.study, place.data)]


def divided(place: Workplace, runs: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """Runs that are trained, with the members of combinations that are no rows of the study, and combinations."""
    combined = [run for run in runs if run.configuration["method"] == "combination"]
    trained = [run for run in runs if run.configuration["method"] != "combination"]
    there = {run.fingerprint for run in trained}
    for run in combined:
        for member in members_of(run, _combination(run), place.study, place.data):
            if member.fingerprint not in there:
                there.add(member.fingerprint)
                trained.append(member)
    return trained, combined


def search_space(place: Workplace, variant: StackingVariantSettings) -> "dict[str, SearchDomain]":
    """Where a variant's hyperparameters are looked for."""
    search = place.settings.search
    assert search is not None  # noqa: S101 - asked for only where there is one
    return search.spaces[variant.space or next(iter(search.spaces))]


def search_name(place: Workplace, variant: StackingVariantSettings) -> str:
    """What a variant's search is kept under; another question has another search."""
    from vision_studies.methods.stacking import METHOD_VERSION

    search, space = place.settings.search, search_space(place, variant)
    assert search is not None  # noqa: S101 - asked for only where there is one
    configured = place.settings.configured(variant)
    question = {
        "run": stack_run(configured, place.settings.networks).model_dump(mode="json"),
        "space": {path: domain.model_dump(mode="json") for path, domain in space.items()},
        "order": list(space),
        "search": search.model_dump(mode="json", include={"seed", "sampler", "pruner"}),
        "data": place.data.fingerprint,
        "method_version": METHOD_VERSION,
    }
    return hash_json(question)[:16]


def search_folder(place: Workplace, variant: StackingVariantSettings) -> Path:
    """Journal and locks of a variant's search."""
    return place.folder.parent / "search" / search_name(place, variant)


def search_of(place: Workplace, variant: StackingVariantSettings) -> "SharedSearch":
    """The search for a variant's hyperparameters, kept beside the runs."""
    from vision_studies.methods.hyperparameter_search import build_pruner
    from vision_studies.studies.search import SharedSearch

    search = place.settings.search
    assert search is not None  # noqa: S101 - asked for only where there is one
    configured = place.settings.configured(variant)
    return SharedSearch(
        search,
        search_space(place, variant),
        configured.model_dump(mode="json"),
        name=f"stacking/{search_name(place, variant)}",
        folder=search_folder(place, variant),
        pruner=build_pruner(search.pruner, configured.training.epochs),
    )


def do_trials(place: Workplace, variant: StackingVariantSettings) -> None:
    """Work on a variant's search, in as many processes as the execution settings say, until it has ended."""
    import joblib

    workers = place.execution.workers if place.execution.backend != "sequential" else 1
    with parallel_runs(place.execution) as parallel:
        list(parallel(joblib.delayed(_worker)(place, variant) for _ in range(workers)))


def trial_run(place: Workplace, variant: StackingVariantSettings, trial: "SearchTrial") -> Run:
    """The run of a trial."""
    search = place.settings.search
    assert search is not None  # noqa: S101 - asked for only where there is one
    run = stack_run(place.settings.configured(variant, trial.drawn), place.settings.networks)
    return make_run(variant.name, trial.number, search.seed, run, place.study, place.data)


def _worker(place: Workplace, variant: StackingVariantSettings) -> None:
    search_of(place, variant).work(partial(_do_trial, place=place, variant=variant))


def _do_trial(
    trial: "SearchTrial", report: "TrialReport", *, place: Workplace, variant: StackingVariantSettings
) -> "TrialOutcome":
    from vision_studies.studies.search import TrialOutcome

    def tell(row: dict[str, Any]) -> bool:
        value = row["validation_accuracy"]
        return value == value and report(row["epoch"], value)  # noqa: PLR0124 - NaN where it was not validated

    run = trial_run(place, variant, trial)
    assert place.settings.search is not None  # noqa: S101 - it is its trial
    pruner = pruner_name(place.settings.search.pruner)
    if was_pruned_otherwise(place.folder, run, TRAINING, pruner):
        forget_run(place.folder, run)

    def train(run: Run, folder: Path) -> Outcome:
        outcome = _train(run, folder, place=place, report=tell)
        return pruned(outcome, pruner) if outcome.status == PRUNED and pruner else outcome

    _, outcome = execute_one(run, TRAINING, train, place.folder)
    value = outcome.metrics.get("validation_accuracy")
    return TrialOutcome(outcome.status, value, outcome.metrics.get("seconds", 0.0))


def _train(run: Run, folder: Path, *, place: Workplace, report: "Report | None" = None) -> Outcome:
    from vision_studies.methods import cross_validation, mock_trainer, stacking
    from vision_studies.methods.fair_opponents import network_cost, stack_cost
    from vision_studies.training.runtime import select_device

    settings = read_run(run.configuration)
    assert not isinstance(settings, CombinationRun)  # noqa: S101 - those are combined
    data = place.data
    if settings.mock:
        cost = network_cost(settings.learner, data) if isinstance(settings, NetworkRun) else stack_cost(settings, data)
        return mock_trainer.train(settings, run.seed, data, folder, cost, report)
    device = select_device(place.execution.device)
    train = cross_validation.train if isinstance(settings, CrossValidatedRun) else stacking.train
    return train(settings, run.seed, data, folder, device, report)  # type: ignore[arg-type]


def _combine(run: Run, folder: Path, *, place: Workplace) -> Outcome:
    from vision_studies.methods import combinations
    from vision_studies.training.runtime import select_device

    settings = _combination(run)
    members = members_of(run, settings, place.study, place.data)
    stages = [read_stage(place.folder, member, TRAINING) for member in members]
    lost = [
        member.name
        for member, stage in zip(members, stages, strict=True)
        if stage is None or stage["status"] != COMPLETE
    ]
    if lost:
        # What has failed is tried again, and then this, too; what has diverged would diverge again.
        diverged = all(stage is not None and stage["status"] != FAILED for stage in stages)
        return Outcome({}, DIVERGED if diverged else FAILED, f"{', '.join(lost)} has no weights to combine")
    folders = [run_folder(place.folder, member) for member in members]
    costs = [stage["metrics"] for stage in stages if stage is not None]
    device = select_device(place.execution.device)
    return combinations.combine(settings, run.seed, folders, costs, place.data, folder, device)


def _evaluate(run: Run, folder: Path, *, place: Workplace) -> Outcome:
    from vision_studies.methods import combinations, cross_validation, mock_trainer, stacking
    from vision_studies.methods.outputs import metrics_on_test, save_outputs
    from vision_studies.training.runtime import select_device

    settings = read_run(run.configuration)
    device = select_device(place.execution.device)
    trained = read_stage(place.folder, run, TRAINING)
    assert trained is not None  # noqa: S101 - only trained runs are scored
    if isinstance(settings, CombinationRun):
        members = members_of(run, settings, place.study, place.data)
        folders = [run_folder(place.folder, member) for member in members]
        weights = combinations.chosen_weights(trained["metrics"])
        outputs = combinations.combined_on_test(settings, run.seed, folders, weights, place.data, folder, device)
    elif settings.mock:
        level = trained["metrics"]["validation_accuracy"]
        outputs = mock_trainer.make_up_outputs(settings, run.seed, place.data, "test", level)
    elif isinstance(settings, CrossValidatedRun):
        outputs = cross_validation.outputs_on_test(settings, run.seed, place.data, folder, device)
    else:
        outputs = stacking.outputs_on_test(settings, run.seed, place.data, folder, device)
    save_outputs(outputs, folder, "test")
    metrics = metrics_on_test(outputs)
    known = trained["metrics"].get("other_metrics", {})
    return Outcome(metrics | {"other_metrics": {**known, **metrics.get("other_metrics", {})}})


def _combination(run: Run) -> CombinationRun:
    settings = read_run(run.configuration)
    assert isinstance(settings, CombinationRun)  # noqa: S101 - asked for only of combinations
    return settings


def _is_trained(folder: Path, run: Run) -> bool:
    result = read_stage(folder, run, TRAINING)
    return result is not None and result["status"] == COMPLETE
