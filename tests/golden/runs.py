"""The runs of an environment, before and after its searches: what they are called, and their fingerprints."""

from pathlib import Path
from typing import Any

from tests.golden.blank_data import blank_data, shown

from vision_studies.catalog.config_loader import StudyConfigLoader
from vision_studies.cli.run_plan import _chosen, _forecasts, _settings
from vision_studies.config.data_prep import DataPrepSettings
from vision_studies.config.execution import ExecutionSettings
from vision_studies.config.search import IntegerSettings, OptionSettings
from vision_studies.config.study import StudySettings
from vision_studies.pipeline_registry import METHODS
from vision_studies.settings import CONFIG_LOADER_ARGS

WITHOUT_FILES = {
    "stacking": {"networks": {name: {"weights_file": None} for name in ("vit_b_16", "vit_b_16_frozen")}},
}
"""Parameters that ask for files of first weights, which are not there."""


def described_environment(conf: Path, environment: str, folder: Path) -> dict[str, Any]:
    """Forecast of an environment in which nothing has run, and the fingerprints of its runs, pipeline by pipeline."""
    loader = StudyConfigLoader(conf, environment, WITHOUT_FILES, **CONFIG_LOADER_ARGS)
    parameters = loader["parameters"]
    study = StudySettings.model_validate(parameters["study"])
    execution = ExecutionSettings.model_validate(parameters["execution"])
    image_set, splits = blank_data(DataPrepSettings.model_validate(parameters["data_prep"]))
    found = {}
    for name in _chosen(loader, None):
        if name not in METHODS:
            continue
        settings = _settings(name, parameters)
        runs_folder = folder / name / "runs"
        forecasts = _forecasts(name).forecast(*settings, study, execution, False, image_set, splits, runs_folder)
        found[name] = {
            "at most": _forecasts(name).most_runs(*settings),
            "stages": [_stage(forecast) for forecast in forecasts],
            "after the search": _after_search(name, settings, study, execution, image_set, splits, runs_folder),
        }
    return found


def _stage(forecast: Any) -> dict[str, Any]:
    return {
        "stage": forecast.stage,
        "verb": forecast.verb,
        "runs": shown([f"{own.fingerprint} {own.name}: {own.action}, {own.reason}" for own in forecast.decisions]),
        "unknown": [f"{own.count}: {own.reason}" for own in forecast.unknown],
    }


def _after_search(name, settings, study, execution, image_set, splits, runs_folder) -> list[str] | str:
    """Runs that follow from what a search has found, as if it had found the middle of everything."""
    if name == "stacking" and settings[0].search is not None:
        return shown(_stacks(settings[0], study, execution, image_set, splits, runs_folder))
    if name == "mlp_transfer":
        return shown(_perceptrons(settings[0], study, execution, image_set, splits, runs_folder))
    return []


def _stacks(settings, study, execution, image_set, splits, runs_folder) -> list[str]:
    from vision_studies.pipelines.stacking.nodes import workplace
    from vision_studies.pipelines.stacking.plan import plan_entries
    from vision_studies.pipelines.stacking.work import divided, entry_runs, search_name, search_space, trial_run
    from vision_studies.studies.search import SearchTrial

    place = workplace(settings, study, execution, image_set, splits, {}, runs_folder)
    drawn, found = {}, []
    for variant in settings.variants:
        base = settings.configured(variant).model_dump(mode="json")
        values = {}
        for path, domain in search_space(place, variant).items():
            if _has(base, path):
                values[path] = middle(domain)
        drawn[variant.name] = values
        trial = trial_run(place, variant, SearchTrial(1, values))
        found.append(f"search {search_name(place, variant)}, {trial.fingerprint} {trial.name}")
    trained, combined = divided(place, entry_runs(place, plan_entries(settings, place.data, drawn)))
    return found + [f"{run.fingerprint} {run.name}" for run in [*trained, *combined]]


def _perceptrons(settings, study, execution, image_set, splits, runs_folder) -> list[str]:
    from vision_studies.config.mlp_transfer import architecture_name
    from vision_studies.methods.hyperparameter_search import shared_draws
    from vision_studies.pipelines.mlp_transfer.nodes import home_runs, transfer_cells, workplace

    place = workplace(settings, study, execution, image_set, splits, runs_folder)
    chosen = shared_draws(settings.search.space, 1, 0)[0]
    best = {
        architecture_name(widths): {"layers": list(widths), "hyperparameters": chosen}
        for widths in settings.architectures
    }
    runs = [
        *home_runs(place, {"architectures": best}),
        *(run for *_, run in transfer_cells(place, {"architectures": best})),
    ]
    return [f"{run.fingerprint} {run.name}" for run in runs]


def middle(domain: Any) -> Any:
    """A value that the search could draw."""
    if isinstance(domain, OptionSettings):
        return next(iter(domain.options.values()))
    if isinstance(domain, IntegerSettings):
        return (domain.lowest + domain.highest) // 2
    return (domain.low + domain.high) / 2


def _has(settings: Any, path: str) -> bool:
    for key in path.split("."):
        if not isinstance(settings, dict) or key not in settings:
            return False
        settings = settings[key]
    return True
