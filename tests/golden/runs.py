"""The runs of an environment, before and after its searches: what they are called, and their fingerprints."""

from pathlib import Path
from typing import Any

from tests.golden.blank_data import blank_data, shown

from vision_studies.catalog.config_loader import StudyConfigLoader
from vision_studies.config.data_prep import DataPrepSettings
from vision_studies.config.merge import has_path
from vision_studies.config.registry import METHODS, settings_model
from vision_studies.config.search import IntegerSettings, OptionSettings
from vision_studies.settings import CONFIG_LOADER_ARGS
from vision_studies.studies.forecast import forecast
from vision_studies.studies.method import Context, load_method, make_context
from vision_studies.studies.run_store import RunStore

WITHOUT_FILES = {
    "stacking": {"networks": {name: {"weights_file": None} for name in ("vit_b_16", "vit_b_16_frozen")}},
}
"""Parameters that ask for files of first weights, which are not there."""


def described_environment(conf: Path, environment: str, folder: Path) -> dict[str, Any]:
    """Forecast of an environment in which nothing has run, and the fingerprints of its runs, pipeline by pipeline."""
    loader = StudyConfigLoader(conf, environment, WITHOUT_FILES, **CONFIG_LOADER_ARGS)
    parameters = loader["parameters"]
    study, execution = (settings_model(key).model_validate(parameters[key]) for key in ("study", "execution"))
    data = blank_data(DataPrepSettings.model_validate(parameters["data_prep"]))
    found = {}
    for name in METHODS if loader.pipelines is None else loader.pipelines:
        method = load_method(name)
        models = [settings_model(key).model_validate(parameters[key]) for key in method.parameter_names]
        store = RunStore(folder / name / "runs")
        context = make_context(method, models, study, execution, False, data, store)
        found[name] = {
            "at most": method.most_runs(context.settings),
            "stages": [_stage(stage) for stage in forecast(context)],
            "after the search": shown(after_search(context)),
        }
    return found


def _stage(forecast: Any) -> dict[str, Any]:
    return {
        "stage": forecast.stage,
        "verb": forecast.verb,
        "runs": shown([f"{own.fingerprint} {own.name}: {own.action}, {own.reason}" for own in forecast.decisions]),
        "unknown": [f"{own.count}: {own.reason}" for own in forecast.unknown],
    }


def after_search(context: Context) -> list[str]:
    """Runs that follow from what a search has found, as if it had found the middle of everything."""
    if context.method.name == "stacking" and context.settings.search is not None:
        return _stacks(context)
    return _perceptrons(context) if context.method.name == "mlp_transfer" else []


def _stacks(context: Context) -> list[str]:
    from vision_studies.pipelines.stacking.stages import divided, entry_runs, plan_entries, trials_of

    drawn, found = {}, []
    for variant in context.settings.variants:
        trials = trials_of(context, variant)
        drawn[variant.name] = {
            path: middle(domain) for path, domain in trials.space.items() if has_path(trials.base, path)
        }
        run = trials.run(1, drawn[variant.name])
        found.append(f"search {trials.folder.name}, {run.fingerprint} {run.name}")
    trained, combined = divided(context, entry_runs(context, plan_entries(context.settings, context.images, drawn)))
    return found + [f"{run.fingerprint} {run.name}" for run in [*trained, *combined]]


def _perceptrons(context: Context) -> list[str]:
    from vision_studies.pipelines.mlp_transfer.search import shared_draws
    from vision_studies.pipelines.mlp_transfer.stages import home_runs, transfer_cells

    chosen = shared_draws(context.settings.search.space, 1, 0)[0]
    best = {
        "architectures": {
            perceptron.name: {"layers": list(perceptron.widths), "hyperparameters": chosen}
            for perceptron in context.settings.perceptrons
        }
    }
    runs = [*home_runs(context, best), *(run for *_, run in transfer_cells(context, best))]
    return [f"{run.fingerprint} {run.name}" for run in runs]


def middle(domain: Any) -> Any:
    """A value that the search could draw."""
    if isinstance(domain, OptionSettings):
        return next(iter(domain.options.values()))
    if isinstance(domain, IntegerSettings):
        return (domain.lowest + domain.highest) // 2
    return (domain.low + domain.high) / 2
