"""A changed parameter retrains the runs that it touches, and no others: told without training any."""

import numpy as np
import pandas as pd
import pytest
import yaml
from tests.conftest import ROOT
from tests.data.conftest import make_image_set
from tests.pipelines.alphanet.test_alphanet_settings import alphanet_settings
from tests.pipelines.mlp_transfer.test_mlp_transfer_settings import settings as mlp_settings
from tests.pipelines.transfer_cuts.test_transfer_cuts_settings import transfer_settings
from tests.studies.contexts import context_of

from vision_studies.config.data_prep import SplitSettings
from vision_studies.config.merge import merge_settings
from vision_studies.config.search import pruner_name
from vision_studies.data.image_set import ImageSet
from vision_studies.data.splits import make_splits
from vision_studies.outcomes import PRUNED, Outcome
from vision_studies.pipelines.alphanet.plan import Plan
from vision_studies.pipelines.cifar_resnet.settings import CifarResnetSettings
from vision_studies.pipelines.cifar_resnet.stages import study_runs
from vision_studies.pipelines.mlp_transfer.search import search_batches
from vision_studies.pipelines.transfer_cuts.stages import pretraining_runs, study_cells
from vision_studies.studies.forecast import LATER, REUSE, TRAIN, forecast
from vision_studies.studies.run_store import RunStore
from vision_studies.studies.stages import pruned_otherwise

NAMES = ("shirt", "coat", "dress", "bag", "boot", "sandal")


@pytest.fixture(scope="module")
def data():
    """80 images of each of six classes learn and validate."""
    drawn = make_image_set(count=600, size=8, channels=1, classes=6)
    image_set = ImageSet.create("grey", drawn.images, drawn.labels, NAMES, drawn.is_test, {})
    splits = SplitSettings(validation_fraction=0.2, test_fraction=0.2, seed=0, copies="together", long_tail=None)
    return image_set, make_splits(image_set, splits).to_table()


def finish(folder, runs, stage):
    """Leave what a stage of these runs would have left."""
    for number, run in enumerate(runs):
        RunStore(folder).begin(run)
        metrics = {"validation_loss": 0.5 + number * 7 % 5 / 10, "validation_accuracy": 0.5, "best_epoch": 1}
        RunStore(folder).record(run, stage, Outcome(metrics | {"other_metrics": {"terminating_epoch": 1}}))


def by_stage(name, settings, data, folder):
    return {own.stage: own for own in forecast(context_of(name, settings, data, folder))}


def to_do(stage):
    """Name -> the parameters that made it new."""
    changed = {own.name: [name for name, _, _ in own.changes] for own in stage.decisions if own.action == TRAIN}
    assert all(own.action in (REUSE, TRAIN) for own in stage.decisions)
    return changed


def network_settings(**changes):
    base = yaml.safe_load((ROOT / "conf/base/parameters_cifar_resnet.yml").read_text(encoding="utf-8"))["cifar_resnet"]
    variants = [{"name": "plain", "changes": {}}, {"name": "long", "changes": {"training": {"epochs": 50}}}]
    return CifarResnetSettings.model_validate(merge_settings({**base, "variants": variants, "seeds": [0, 1]}, changes))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {}),
        ({"seeds": [0, 1, 5]}, {"plain, seed 5": [], "long, seed 5": []}),
        (
            {"variants": [{"name": "plain", "changes": {}}, {"name": "long", "changes": {"training": {"epochs": 60}}}]},
            {"long, seed 0": ["training.epochs"], "long, seed 1": ["training.epochs"]},
        ),
        (
            {"run": {"training": {"epochs": 7}}},  # the other variant has epochs of its own
            {"plain, seed 0": ["training.epochs"], "plain, seed 1": ["training.epochs"]},
        ),
    ],
    ids=["nothing", "a seed", "a variant", "what one variant overrides"],
)
def test_networks(data, tmp_path, changes, expected):
    finish(tmp_path, study_runs(context_of("cifar_resnet", network_settings(), data, tmp_path)), "training")
    found = by_stage("cifar_resnet", network_settings(**changes), data, tmp_path)
    assert to_do(found["training"]) == expected
    assert sum(own.action == LATER for own in found["evaluation"].decisions) == len(expected)


SMALL_CUTS = {
    "classes": {"label": "shoes", "pretraining": ["shirt", "coat", "dress"], "fine_tuning": ["bag", "boot", "sandal"]},
    "network": {"name": "convnet", "channels": [4, 4], "every": 2},
    "subsets": [{"fraction": 0.2, "repeats": 2}],
    "pretraining": {"seeds": [0]},
    "modes": ["freeze_reinit", "freeze"],
}


def cuts(**changes):
    return transfer_settings(**merge_settings(SMALL_CUTS, changes))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"stack": {"memory_mb": 1, "checkpoint_seconds": 0}}, set()),
        ({"modes": ["freeze"]}, set()),
        ({"modes": ["freeze_reinit", "freeze", "freeze_truncate"]}, {"20 %: FT, cut 0", "20 %: FT, cut 1"}),
        ({"subsets": [{"fraction": 0.2, "repeats": 3}]}, "repeat"),
        ({"fine_tuning": {"optimizer": {"learning_rate": 0.5}}}, "all"),
    ],
    ids=["how stacks are made", "a mode less", "a mode more", "a repeat more", "how all are tuned"],
)
def test_cuts(data, tmp_path, changes, expected):
    context = context_of("transfer_cuts", cuts(), data, tmp_path)
    finish(tmp_path, pretraining_runs(context), "pretraining")
    cells = [cell.run for cell in study_cells(context)]
    finish(tmp_path, cells, "training")
    found = by_stage("transfer_cuts", cuts(**changes), data, tmp_path)
    assert to_do(found["pretraining"]) == {}
    changed = to_do(found["fine-tuning"])
    if expected == "all":
        assert len(changed) == len({run.fingerprint for run in cells})
        assert {tuple(names) for names in changed.values()} == {("fine_tuning.optimizer.learning_rate",)}
    elif expected == "repeat":
        assert {name.rpartition(", ")[2] for name in changed} == {"seed 2"}
    else:
        assert {name.rpartition(", ")[0] for name in changed} == expected


def test_cuts_of_another_pretraining(data, tmp_path):
    context = context_of("transfer_cuts", cuts(), data, tmp_path)
    finish(tmp_path, pretraining_runs(context), "pretraining")
    finish(tmp_path, [cell.run for cell in study_cells(context)], "training")
    longer = cuts(pretraining={"optimizer": {"learning_rate": 0.5}})
    found = by_stage("transfer_cuts", longer, data, tmp_path)
    assert to_do(found["pretraining"]) == {"pretraining, seed 0": ["optimizer.learning_rate"]}
    changed = to_do(found["fine-tuning"])
    assert {tuple(names) for names in changed.values()} == {("pretrained",)}
    kept = {own.name for own in found["fine-tuning"].decisions if own.action == REUSE}
    assert kept == {"20 %: FR, cut 0, seed 0", "20 %: FR, cut 0, seed 1"}  # which use nothing of it


def perceptrons(**changes):
    own = {"architectures": [[8], [6, 6]], "seeds": [11, 12], "search": {"trials": 3}}
    return mlp_settings(merge_settings(own, changes))


def test_perceptrons(data, tmp_path):
    context = context_of("mlp_transfer", perceptrons(), data, tmp_path)

    def told(**changes):
        return by_stage("mlp_transfer", perceptrons(**changes), data, tmp_path)

    fresh = told()
    assert [unknown.count for unknown in fresh["retraining"].unknown] == [4]
    assert [unknown.count for unknown in fresh["transfer"].unknown] == [4]
    finish(tmp_path, [run for runs, _ in search_batches(context) for run in runs], "training")
    found = told()
    assert to_do(found["search"]) == {}
    assert len(found["retraining"].decisions) == len(found["transfer"].decisions) == 4
    # The search knows nothing of the seeds of what follows, and other architectures are none of its business.
    assert to_do(told(seeds=[11, 12, 13])["search"]) == {}
    assert set(to_do(told(architectures=[[8], [6, 6], [5]])["search"])) == {
        "5, seed 1",
        "5, trial 1, seed 1",
        "5, trial 2, seed 1",
    }
    assert {tuple(names) for names in to_do(told(training={"epochs": 9})["search"]).values()} == {("training.epochs",)}


def test_trials_that_another_pruner_has_ended_are_trained_again(data, tmp_path):
    median = {"name": "median", "startup_trials": 1, "warmup_epochs": 1}
    pruner = {"batch": 1, "pruner": median}

    def told(**search):
        stages = by_stage("mlp_transfer", perceptrons(search=search), data, tmp_path)
        return {own.name: own for own in stages["search"].decisions}

    context = context_of("mlp_transfer", perceptrons(search=pruner), data, tmp_path)
    ended, *others = [run for runs, _ in search_batches(context) for run in runs]
    history = pd.DataFrame({"epoch": [1], "validation_loss": [0.9]})
    worse = Outcome({"validation_loss": 0.9}, PRUNED, "worse than others", history)
    found = {"validation_loss": 0.5, "best_epoch": 1, "other_metrics": {"terminating_epoch": 1}}
    whole = Outcome(found, history=history)
    for run in (ended, *others):
        RunStore(tmp_path).begin(run)
        outcome = worse.pruned_by(pruner_name(context.settings.search.pruner)) if run is ended else whole
        RunStore(tmp_path).record(run, "training", outcome)
    assert {own.action for own in told(**pruner).values()} == {REUSE}
    for changes in ({"pruner": None, "batch": None}, {"batch": 1, "pruner": median | {"warmup_epochs": 2}}):
        found = told(**changes)
        assert {name for name, own in found.items() if own.action == TRAIN} == {ended.name}
        assert found[ended.name].reason == "a search with another pruner had ended it"
    results = {run.fingerprint: RunStore(tmp_path).result(run, "training") for run in (ended, *others)}
    assert [name for name, result in results.items() if pruned_otherwise(result, None)] == [ended.fingerprint]


def alphanet(**changes):
    own = {
        "splits": {"few_below": 30, "many_above": 50},
        "long_tail": {"profile": "step", "factor": 3.0, "seed": 0, "reverse": False},
        "neighbours": [2],
        "rhos": [0.5],
        "repeats": 1,
        "backbone": {"seeds": [0]},
        "classifiers": [
            {"label": "own", "method": {"name": "own"}},
            {"label": "tau", "method": {"name": "tau", "values": [0.5, 1.0]}},
        ],
        "improved": ["own", "tau"],
    }
    return alphanet_settings(**(own | changes))


def test_classifiers_and_what_is_learnt_on_them(data, tmp_path):
    plan = Plan(context_of("alphanet", alphanet(), data, tmp_path))
    finish(tmp_path, [run for runs in plan.backbone_runs() for run in runs], "training")
    finish(tmp_path, [own.run for own in plan.classifiers()], "fitting")
    finish(tmp_path, [own.run for own in plan.experiments()], "training")

    def told(**changes):
        return by_stage("alphanet", alphanet(**changes), data, tmp_path)

    other = [
        {"label": "own", "method": {"name": "own"}},
        {"label": "tau", "method": {"name": "tau", "values": [0.7]}},
    ]
    found = told(classifiers=other)
    assert to_do(found["backbones"]) == {}
    assert to_do(found["classifiers"]) == {"tau, seed 0": ["classifier.values"]}
    assert to_do(found["AlphaNets"]) == {"tau, rho 0.5, seed 0": ["classifier.values"]}
    more = told(rhos=[0.5, 1.0])
    assert to_do(more["classifiers"]) == {}
    assert set(to_do(more["AlphaNets"])) == {"own, rho 1, seed 0", "tau, rho 1, seed 0"}
    # Features lie apart from runs, and are missing here.
    assert [own.action for own in told()["features"].decisions] == [TRAIN]
    assert np.sum([own.action == REUSE for own in told(checkpoints=7)["AlphaNets"].decisions]) == 2
