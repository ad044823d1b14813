"""What a search leaves for readers and for the next study."""

import shutil

import pandas as pd
import pytest
from tests.conftest import ROOT
from tests.golden.runs import middle

from vision_studies.catalog.atomic import YAMLDataset
from vision_studies.catalog.config_loader import StudyConfigLoader
from vision_studies.config.data_prep import DataPrepSettings
from vision_studies.config.merge import has_path
from vision_studies.pipelines.stacking.nodes import describe_study
from vision_studies.pipelines.stacking.settings import StackingSettings, stack_run
from vision_studies.settings import CONFIG_LOADER_ARGS

ENVIRONMENTS = [
    "hyper_search+cifar100",
    "init_study+searched+demo",
    "vit_study+searched+demo",
    "stacked_cv+searched+demo",
]


def read(conf, environment):
    return StudyConfigLoader(conf, environment, **CONFIG_LOADER_ARGS)["parameters"]


def searched(settings, variant):
    """A search that has drawn the middle of everything in its third trial, the only one that has ended well."""
    space = settings.search.spaces[variant.space or next(iter(settings.search.spaces))]
    base = settings.configured(variant).model_dump(mode="json")
    drawn = {path: middle(domain) for path, domain in space.items() if has_path(base, path)}
    statuses = {1: "pruned", 2: "diverged", 3: "complete", 4: "pruned"}
    return {
        "best": 3,
        "drawn": drawn,
        "trials": [{"number": n, "params": {"x": n}, "value": None, "status": own} for n, own in statuses.items()],
        "importance": {"x": 1.0},
    }


def described(parameters):
    settings = StackingSettings.model_validate(parameters["stacking"])
    found = {variant.name: searched(settings, variant) for variant in settings.variants}
    rows = [
        {
            "variant": name,
            "trial": trial["number"],
            "seed": settings.search.seed,
            "status": trial["status"],
            "validation_accuracy": {1: 0.25, 3: 0.5}.get(trial["number"]),
            "seconds": 2.0,
            "finished_at": f"2026-01-01T00:00:0{trial['number']}",
            "device": "cpu",
        }
        for name, own in found.items()
        for trial in own["trials"]
    ]
    histories = [
        {**row, "epoch": epoch, "train_accuracy": 0.1, "validation_accuracy": 0.2} for row in rows for epoch in (1, 2)
    ]
    plan = [{"name": name, "role": "stack", "parts": []} for name in found]
    data_prep = DataPrepSettings.model_validate(parameters["data_prep"])
    nothing = pd.DataFrame(), plan, pd.DataFrame()
    return (
        settings,
        found,
        describe_study(settings, data_prep, *nothing, found, pd.DataFrame(rows), pd.DataFrame(histories)),
    )


@pytest.mark.slow
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_what_a_search_has_found_is_an_environment_of_its_own(tmp_path, environment):
    conf = tmp_path / "conf"
    shutil.copytree(ROOT / "conf", conf)
    parameters = read(conf, environment)
    settings, found, (_, summaries) = described(parameters)
    for variant in settings.variants[-2:]:
        file = conf / "found/parameters.yml"
        YAMLDataset(filepath=str(file), save_args={"sort_keys": False}).save(summaries[f"{variant.name}/best_training"])
        again = read(conf, "found")
        assert again["data_prep"] == DataPrepSettings.model_validate(parameters["data_prep"]).model_dump(mode="json")
        study = StackingSettings.model_validate(again["stacking"])
        assert (study.search, study.seeds, study.opponents) == (None, settings.seeds, settings.opponents)
        (only,) = study.variants
        best = settings.configured(variant, found[variant.name]["drawn"])
        assert only.name == variant.name
        assert stack_run(study.configured(only), study.networks) == stack_run(best, settings.networks)


def test_a_search_says_when_it_ended_what_it_tuned_and_what_became_of_its_trials():
    _, _, (files, summaries) = described(read(ROOT / "conf", "hyper_search+demo"))
    assert summaries["adamw/search_results"] == {
        "status": "complete",
        "best_accuracy": 50.0,
        "best_params": {"x": 3},
        "best_trial": 2,
        "best_trial_state": "COMPLETE",
        "best_trial_pruned_epoch": None,
        "n_trials": 4,
        "n_completed": 1,
        "n_pruned": 2,
        "n_pruned_with_results": 1,
        "optimizer_type": "adamw",
        "training_seconds": 8.0,
        "timestamp": "2026-01-01T00:00:04",
        "importance": {"x": 1.0},
    }
    assert summaries["sgd/search_results"]["optimizer_type"] == "sgd"
    assert files["sgd/hyperparameter_stats"]["x"]["best_trial_value"] == 3
