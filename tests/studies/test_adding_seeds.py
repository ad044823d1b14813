"""Seeds that are added until validation images tell enough, with networks that are drawn in the place of trained ones."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import ValidationError
from tests.data.conftest import make_image_set
from tests.pipelines.test_forecasts import network_settings
from tests.studies.contexts import HERE, STUDY

from vision_studies.config.data_prep import SplitSettings
from vision_studies.costs import costs_nothing
from vision_studies.data.splits import make_splits
from vision_studies.outcomes import DIVERGED, Outcome
from vision_studies.pipelines.cifar_resnet.stages import study_runs
from vision_studies.predictions import Predictions
from vision_studies.studies.adding_seeds import look_at, with_enough_seeds
from vision_studies.studies.forecast import REUSE, TRAIN, forecast
from vision_studies.studies.method import load_method, make_context, run_stages
from vision_studies.studies.run_store import RunStore
from vision_studies.studies.stages import Alone, Stage

IMAGES = 600


@pytest.fixture(scope="module")
def data():
    image_set = make_image_set(count=40, size=8, channels=1, classes=2)
    splits = SplitSettings(validation_fraction=0.2, test_fraction=0.2, seed=0, copies="together", long_tail=None)
    return image_set, make_splits(image_set, splits).to_table()


def drawn(variant, seed, spread):
    """What a run says of the validation images."""
    random = np.random.default_rng([seed, len(variant)])
    hard = np.random.default_rng(0).standard_normal(IMAGES)
    right = hard + spread * random.standard_normal() + 0.1 * random.standard_normal(IMAGES) > -1
    labels = np.arange(IMAGES) % 2
    said = np.eye(2)[np.where(right, labels, 1 - labels)]
    return Predictions.of("validation", np.arange(IMAGES), labels, said)


def study(data, folder, *, spread=0.1, fresh=False, breaks=lambda run: None, **until):
    """A context whose runs are drawn, and the names of those that it has done."""
    done = []

    def train(run, _):
        broken = breaks(run)
        if isinstance(broken, BaseException):
            raise broken
        done.append(run.name)
        if broken is not None:
            return broken
        said = drawn(run.variant, run.seed, spread)
        return Outcome({"validation_accuracy": said.accuracy}, predictions=(said,))

    def stages(context, _):
        def trained(seeds):
            return (yield Stage("training", study_runs(context, seeds), Alone(train), costs_nothing))

        seeds = yield from with_enough_seeds(context, trained, partial(study_runs, context), lambda _: [])
        runs = study_runs(context, seeds)
        yield Stage("evaluation", runs, Alone(lambda *_: Outcome({})), costs_nothing, verb="score", after="training")

    given = {"half_width": 1.5, "of": "difference", "at_most": 9, "margin": 0.5} | until
    settings = network_settings(seeds=[0, 1, 2], until=given)
    method = replace(load_method("cifar_resnet"), stages=stages)
    context = make_context(method, [settings], STUDY, HERE, fresh, data, RunStore(folder))
    return SimpleNamespace(context=context, done=done)


def seeds_of(own):
    return list(dict.fromkeys(run.seed for run in run_stages(own.context, "training")["training"]))


def shown(own, seeds):
    folders = {}
    for run in study_runs(own.context, seeds):
        folders.setdefault(run.variant, {})[run.seed] = own.context.runs.path(run)
    return look_at(folders, own.context.settings)


def test_seeds_are_added_one_by_one_until_enough_is_known(data, tmp_path):
    own = study(data, tmp_path)
    seeds = seeds_of(own)
    assert 3 < len(seeds) < 9
    assert own.done == [f"{variant}, seed {seed}" for seed in seeds for variant in ("plain", "long")]
    assert [shown(own, seeds[:number]).reason for number in range(3, len(seeds))] == ["wide"] * (len(seeds) - 3)
    assert shown(own, seeds).reason == "precise"


@pytest.mark.parametrize("at", [3, 5])
def test_a_study_that_was_stopped_goes_on_to_the_same_seeds(data, tmp_path, at):
    whole = seeds_of(study(data, tmp_path / "whole"))
    stopped = study(
        data,
        tmp_path / "stopped",
        breaks=lambda run: KeyboardInterrupt() if run.seed == at and "long" in run.name else None,
    )
    with pytest.raises(KeyboardInterrupt):
        seeds_of(stopped)
    again = study(data, tmp_path / "stopped")
    assert seeds_of(again) == whole
    assert len(stopped.done) + len(again.done) == 2 * len(whole)


def test_finished_seeds_are_taken_again_and_of_a_question_that_needs_fewer_no_more_are_asked_for(data, tmp_path):
    seeds = seeds_of(study(data, tmp_path))
    wider = study(data, tmp_path, half_width=20)
    assert seeds_of(wider) == [0, 1, 2]
    assert wider.done == []
    [training, _] = forecast(wider.context)
    assert [own.action for own in training.decisions] == [REUSE] * 6
    assert not training.unknown
    narrower = study(data, tmp_path, half_width=1.0, at_most=len(seeds))
    assert seeds_of(narrower) == seeds
    assert narrower.done == []


def test_what_may_be_added_is_planned_at_most_and_what_is_held_is_known(data, tmp_path):
    own = study(data, tmp_path)
    training = forecast(own.context)[0]
    assert [decision.action for decision in training.decisions] == [TRAIN] * 6
    assert [(unknown.count, unknown.reason) for unknown in training.unknown] == [
        (2 * 6, "as long as a difference is not known to 1.5 points")
    ]
    seeds = seeds_of(own)
    run_stages(own.context, "evaluation")
    planned = forecast(own.context)
    assert all(stage.has_ended and len(stage.decisions) == 2 * len(seeds) for stage in planned)
    anew = forecast(study(data, tmp_path, fresh=True).context)[0]
    assert (len(anew.decisions), anew.unknown[0].count) == (6, 12)
    gone = own.context.runs.path(study_runs(own.context, seeds)[-1], "training.json")
    gone.unlink()
    training = forecast(own.context)[0]
    assert [decision.action for decision in training.decisions].count(REUSE) == 2 * len(seeds) - 1
    assert training.unknown[0].count == 2 * (9 - len(seeds))


def test_there_are_no_more_than_are_allowed(data, tmp_path):
    own = study(data, tmp_path, at_most=5, spread=0.4)
    assert seeds_of(own) == [0, 1, 2, 3, 4]
    assert shown(own, range(5)).reason == "at most"


def test_nothing_is_added_as_long_as_a_run_has_failed(data, tmp_path):
    own = study(data, tmp_path, breaks=lambda run: ValueError("no") if run.name == "long, seed 1" else None)
    assert seeds_of(own) == [0, 1, 2]
    assert shown(own, [0, 1, 2]).reason == "unfinished"
    assert seeds_of(study(data, tmp_path)) == seeds_of(study(data, tmp_path / "other"))


def test_runs_that_diverged_are_left_out_and_a_first_variant_without_any_is_nothing_to_compare_with(data, tmp_path):
    lost = Outcome({}, DIVERGED, "the loss became NaN")
    one = study(data, tmp_path / "one", breaks=lambda run: lost if run.name == "long, seed 1" else None)
    assert shown(one, seeds := seeds_of(one)).differences[0].seeds == len(seeds) - 1
    first = study(data, tmp_path / "first", breaks=lambda run: lost if run.variant == "plain" else None)
    assert seeds_of(first) == [0, 1, 2]
    assert shown(first, [0, 1, 2]).reason == "nothing"


def test_without_predictions_accuracies_are_compared(data, tmp_path):
    own = study(data, tmp_path, at_most=3)
    seeds_of(own)
    assert shown(own, range(3)).differences[0].images == IMAGES
    for run in study_runs(own.context):
        own.context.runs.path(run, "predictions_validation.parquet").unlink()
    assert shown(own, range(3)).differences[0].images == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"until": {"at_most": 2}}, r"until\.at_most is 2, and seeds has 3 already"),
        ({"until": {"half_width": 0}}, "greater than 0"),
        ({"until": {"of": "accuracy"}}, "difference"),
        ({"seeds": [4]}, "seeds has only 4"),
        ({"variants": [{"name": "plain", "changes": {}}]}, "'plain' is the only one"),
    ],
    ids=["fewer than there are", "no width", "of what", "one seed", "one variant"],
)
def test_what_cannot_be_looked_at_is_refused(changes, message):
    until = {"half_width": 1, "of": "difference", "at_most": 5} | changes.get("until", {})
    with pytest.raises(ValidationError, match=message):
        network_settings(**{"seeds": [0, 1, 2], **changes, "until": until})


def test_further_seeds_follow_the_largest_and_leave_out_those_of_a_search():
    settings = network_settings(seeds=[5, 2], until={"half_width": 1, "of": "difference", "at_most": 5})
    assert settings.possible_seeds == (5, 2, 6, 7, 8)
    assert settings.until.seeds((5, 2), taken=(6, 8)) == (5, 2, 7, 9, 10)
    assert network_settings(seeds=[5, 2]).possible_seeds == (5, 2)
