"""What the next run of `stacking` would do."""

from pathlib import Path
from typing import Any

import pandas as pd

from vision_studies.config.execution import ExecutionSettings
from vision_studies.config.search import OptionSettings, SearchDomain
from vision_studies.config.stacking import StackingSettings, StackingVariantSettings
from vision_studies.config.study import StudySettings
from vision_studies.data.image_set import ImageSet
from vision_studies.pipelines.stacking.nodes import workplace
from vision_studies.pipelines.stacking.plan import plan_entries
from vision_studies.pipelines.stacking.work import (
    EVALUATION,
    TRAINING,
    Workplace,
    divided,
    entry_runs,
    search_folder,
    search_name,
    search_space,
)
from vision_studies.studies.forecast import (
    BUSY,
    CONTINUE,
    REUSE,
    Decision,
    Forecaster,
    StageForecast,
    Unknown,
    joined,
)
from vision_studies.studies.results import COMPLETE
from vision_studies.studies.stored_trials import stored_trials

_PIPELINE = "stacking"


def forecast(
    settings: StackingSettings,
    study: StudySettings,
    execution: ExecutionSettings,
    fresh: bool,
    image_set: ImageSet,
    splits: pd.DataFrame,
    runs_folder: Path,
) -> list[StageForecast]:
    """The search, where there is one, training, combinations of what was trained, and evaluation."""
    place = workplace(settings, study, execution, image_set, splits, {}, runs_folder)
    plan_entries(settings, place.data, {})
    told = Forecaster(_PIPELINE, runs_folder, fresh=fresh)
    searches, drawn = [], {}
    for variant in settings.variants if settings.search is not None else ():
        search, best = _search(place, variant, fresh=fresh)
        searches.append(search)
        if best is not None:
            drawn[variant.name] = best
    if len(drawn) < len(searches):
        why = Unknown(most_runs(settings), "the search chooses their hyperparameters")
        return [joined(*searches), StageForecast(_PIPELINE, TRAINING, "train", unknown=(why,))]
    runs = entry_runs(place, plan_entries(settings, place.data, drawn))
    trained, combined = divided(place, runs)
    found = [
        *([joined(*searches)] if searches else []),
        told.stage(trained, TRAINING),
        told.stage(combined, TRAINING, title="combinations", verb="combine"),
        told.stage([*trained, *combined], EVALUATION, verb="score", after=TRAINING),
    ]
    return [own for own in found if own.decisions]


def most_runs(settings: StackingSettings) -> int:
    """How many variants and opponents are trained or combined at most, found without data: trials not counted."""
    found = 0
    for variant in settings.variants:
        learners = len(settings.configured(variant).base_learners)
        found += 1 + sum(learners if role == "alone" else 1 for role in settings.opponents)
    return found * len(settings.seeds)


def _search(
    place: Workplace, variant: StackingVariantSettings, *, fresh: bool
) -> tuple[StageForecast, dict[str, Any] | None]:
    """What would become of a variant's trials, and the best one's draws where the search has ended."""
    search = place.settings.search
    assert search is not None  # noqa: S101 - asked for only where there is one
    name = f"{_PIPELINE}/{search_name(place, variant)}"
    trials = [] if fresh else stored_trials(search_folder(place, variant), name, search.storage)
    decisions = []
    for trial in trials:
        called = f"{variant.name}, trial {trial.number}"
        if trial.ended:
            reason = "finished" if trial.status == COMPLETE else f"finished as {trial.status}"
            decisions.append(Decision(called, REUSE, reason))
        elif trial.busy:
            decisions.append(Decision(called, BUSY, "another process works on it now"))
        else:
            decisions.append(Decision(called, CONTINUE, "interrupted"))
    over = search.timeout is not None and sum(trial.seconds for trial in trials) >= search.timeout
    missing = 0 if over else max(0, search.trials - len(trials))
    unknown = (Unknown(missing, "new trials, drawn as the search goes on"),) if missing else ()
    told = StageForecast(_PIPELINE, "search", "train", tuple(decisions), unknown)
    complete = [trial for trial in trials if trial.status == COMPLETE]
    if missing or not complete or any(decision.action != REUSE for decision in decisions):
        return told, None
    best = max(complete, key=lambda trial: trial.value or 0.0)
    space = search_space(place, variant)
    return told, {path: _meant(space[path], value) for path, value in best.params.items()}


def _meant(domain: SearchDomain, value: Any) -> Any:
    """A draw as settings have it: of an option what its name stands for."""
    return domain.options[value] if isinstance(domain, OptionSettings) else value
