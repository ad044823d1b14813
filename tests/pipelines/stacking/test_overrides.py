"""One `--params` for each parameter of a stack and of its search: it changes what it names, and nothing else."""

from functools import cache

import click
import pytest
from tests.conftest import ROOT

from vision_studies.catalog.config_loader import StudyConfigLoader
from vision_studies.cli.params import read_params
from vision_studies.config.merge import flatten, merge_settings
from vision_studies.pipelines.stacking.settings import StackingSettings, stack_run
from vision_studies.settings import CONFIG_LOADER_ARGS

RUN = {
    "mode=cross_validated": "",  # another kind of run, with settings of its own
    "trainer=mock": "mock",
    "base_learners=[resnet9,resnet9]": "base_learners",
    "initialisation=orthogonal": "base_learners",
    "meta_learner.inputs=probabilities": "meta_learner.inputs",
    "meta_learner.image_features.dimension=64": "meta_learner.image_features.dimension",
    "meta_learner.image_features.widths=[32,64]": "meta_learner.image_features.widths",
    "meta_learner.image_features=null": "meta_learner.image_features",
    "meta_learner.hidden=[256,64]": "meta_learner.hidden",
    "meta_learner.hidden=[]": "meta_learner.hidden",
    "meta_learner.dropout=0.3": "meta_learner.dropout",
    "meta_learner.detach=true": "meta_learner.detach",
    "loss.form=mean": "loss.form",
    "loss.alpha=0.3": "loss.alpha",
    "loader=ffcv": "loader",
    "augmentation.steps=[{name: random_flip, probability: 0.5},{name: cutout, size: 8}]": "augmentation.steps",
    "training.epochs=100": "training.epochs",
    "training.batch_size=128": "training.batch_size",
    "training.optimizer.learning_rate=0.05": "training.optimizer.learning_rate",
    "training.optimizer.momentum=0.8": "training.optimizer.momentum",
    "training.optimizer.nesterov=true": "training.optimizer.nesterov",
    "training.optimizer.weight_decay=1e-4": "training.optimizer.weight_decay",
    "training.optimizer={name: adamw, learning_rate: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 5e-4}": (
        "training.optimizer"
    ),
    "training.schedule.pct_start=0.3": "training.schedule.pct_start",
    "training.schedule.initial_fraction=0.1": "training.schedule.initial_fraction",
    "training.schedule.final_fraction=0.1": "training.schedule.final_fraction",
    "training.schedule={name: cosine, eta_min: 0.0, interval: step, warmup_epochs: 0}": "training.schedule",
    "training.label_smoothing=0.0": "training.label_smoothing",
    "training.gradient_clip=1.0": "training.gradient_clip",
    "training.precision=bf16": "training.precision",
    "training.channels_last=false": "training.channels_last",
    "training.compile=true": "training.compile",
    "training.ema_decay=0.99": "training.ema_decay",
    "training.lookahead={steps: 5, step_size: 0.5}": "training.lookahead",
    "training.image_scales=[0.75,1]": "training.image_scales",
    "training.mixing={name: cutmix, alpha: 1.0, probability: 0.5}": "training.mixing",
    "training.selection=validation_loss": "training.selection",
    "training.early_stopping={metric: validation_loss, patience: 5, min_delta: 0.001}": "training.early_stopping",
    "training.validate_every=2": "training.validate_every",
    "training.checkpoint_every=5": "training.checkpoint_every",
    "training.keep_last=2": "training.keep_last",
    "evaluation.batch_size=128": "evaluation.batch_size",
    "evaluation.views={numbers: [2, 8], padding: 2, seed: 0}": "evaluation.views",
}
"""Parameter of a stack that is trained jointly -> what it changes in its run."""
FOLDS = {
    "folds.number=3": "folds",
    "folds.seed=1": "fold_seed",
    "folds.inference=refit": "inference",
    "folds.meta_training={epochs: 3}": "meta_training.epochs",
}
"""The same of a stack by folds."""
STUDY = {
    "seeds=[7,8,9]": "seeds",
    "networks.resnet9.frozen_blocks=1": "networks.resnet9.frozen_blocks",
    "networks.resnet9.weights_file=w.safetensors": "networks.resnet9.weights_file",
    "networks.resnet9.model={name: vit_compact}": "networks.resnet9.model",
    "networks.mine={model: {name: resnet9}, weights_file: null, frozen_blocks: 0}": "networks.mine",
    "variants=[{name: a, changes: {}, space: null},{name: b, changes: {loss: {alpha: 2}}, space: null}]": "variants",
    "opponents=[average,soup]": "opponents",
    "ensembles.members=5": "ensembles.members",
    "ensembles.equal=[operations,parameters]": "ensembles.equal",
    "ensembles.shared=0.5": "ensembles.shared",
    "ensembles.rate=0.3": "ensembles.rate",
    "ensembles.dropout=0.2": "ensembles.dropout",
    "ensembles.ema_decay=0.9": "ensembles.ema_decay",
}
"""Parameter of a study -> what it changes in the study's settings."""
SEARCH = {
    "until={half_width: 0.5, of: difference, at_most: 12}": "until",  # which wants several variants
    "search.trials=7": "search.trials",
    "search.timeout=60": "search.timeout",
    "search.seed=43": "search.seed",
    "search.storage=postgresql://me@db1/studies": "search.storage",
    "search.sampler={name: random, startup_trials: 10}": "search.sampler.name",
    "search.sampler.startup_trials=3": "search.sampler.startup_trials",
    "search.pruner.startup_trials=1": "search.pruner.startup_trials",
    "search.pruner.warmup_epochs=2": "search.pruner.warmup_epochs",
    "search.pruner={name: patience, patience: 5, min_delta: 0.001}": "search.pruner",
    "search.pruner=null": "search.pruner",
    "search.spaces.sgd={training.optimizer.learning_rate: {low: 0.1, high: 1.0, scale: log}}": "search.spaces.sgd",
}
"""The same of a search."""


@cache
def base(environment):
    return StudyConfigLoader(ROOT / "conf", environment, **CONFIG_LOADER_ARGS)["parameters"]["stacking"]


def read(overrides):
    return read_params(click.Context(click.Command("run")), click.Option(["--params"]), overrides)


def settings(overrides="", environment=None) -> StackingSettings:
    """The study's settings with what a command line says, laid over them as the configuration loader does."""
    return StackingSettings.model_validate(merge_settings(base(environment), read(overrides).get("stacking", {})))


def run(overrides=""):
    found = settings(overrides)
    return flatten(stack_run(found.configured(found.variants[0]), found.networks).model_dump(mode="json"))


def changed(before, after):
    return {key for key in before.keys() | after.keys() if before.get(key, "none") != after.get(key, "none")}


def inside(paths, group):
    return bool(paths) and all(path == group or path.startswith(f"{group}.") for path in paths)


@pytest.mark.parametrize(("override", "where"), RUN.items(), ids=lambda text: text.partition("=")[0])
def test_one_parameter_changes_what_it_names_in_the_run_and_nothing_else(override, where):
    found = changed(run(), run(f"stacking.run.{override}"))
    assert inside(found, where) if where else {"method", "folds"} <= found


@pytest.mark.parametrize(("override", "where"), FOLDS.items(), ids=lambda text: text.partition("=")[0])
def test_one_parameter_changes_what_it_names_in_a_run_by_folds(override, where):
    mode = "stacking.run.mode=cross_validated"
    assert inside(changed(run(mode), run(f"{mode},stacking.run.{override}")), where)


@pytest.mark.parametrize(
    ("override", "where", "environment"),
    [*((*item, None) for item in STUDY.items()), *((*item, "hyper_search") for item in SEARCH.items())],
    ids=lambda text: str(text).partition("=")[0],
)
def test_one_parameter_changes_what_it_names_in_the_study(override, where, environment):
    before = flatten(settings(environment=environment).model_dump(mode="json"))
    after = flatten(settings(f"stacking.{override}", environment).model_dump(mode="json"))
    assert inside(changed(before, after), where)


def test_no_parameter_of_a_stack_or_of_its_search_is_left_out():
    named = {override.partition("=")[0] for override in [*(f"run.{own}" for own in [*RUN, *FOLDS]), *STUDY, *SEARCH]}
    leaves = {*flatten(settings().model_dump(mode="json")), *flatten(settings(environment="hyper_search").model_dump())}
    left_out = {
        leaf
        for leaf in leaves - {"search"}
        if not any(leaf == path or leaf.startswith(f"{path}.") for path in named)
        and not leaf.startswith(("networks.", "search.spaces."))  # one of each is tried
    }
    assert left_out == set()


def test_the_configuration_loader_lays_them_over_a_study():
    given = read("stacking.run.base_learners=[resnet9,resnet18],fresh=true")
    parameters = StudyConfigLoader(ROOT / "conf", "alpha_study", given, **CONFIG_LOADER_ARGS)["parameters"]
    assert parameters["stacking"]["run"]["base_learners"] == ["resnet9", "resnet18"]
    assert parameters["fresh"] is True
