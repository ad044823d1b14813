import math

import pytest
from tests.pipelines.mlp_transfer.test_mlp_transfer_settings import settings

from vision_studies.config.search import ChoiceSettings
from vision_studies.pipelines.mlp_transfer.search import architecture_search, shared_draws
from vision_studies.studies.search import ended_trial, importance, is_hopeless

TPE = {"sampler": {"name": "tpe", "startup_trials": 4}, "batch": 5}


def draw(search, architecture, ended, count):
    return [trial.params for trial in architecture_search(search, architecture, ended, 10).ask(count)]


def trials(search, count, value):
    return [
        ended_trial(dict(search.space), own, "complete", value(own), {1: 1.0, 2: value(own)})
        for own in draw(search, 0, [], count)
    ]


def test_the_published_draws_come_out_again():
    drawn = shared_draws(settings({}).search.space, 30, seed=1)
    # Learning rate and dropout of the trials that the published runs chose.
    published = {2: (3.54e-4, 0.025), 14: (8.95e-4, 0.108), 4: (3.33e-4, 0.235), 15: (4.85e-4, 0.310)}
    published |= {9: (2.21e-3, 0.265), 1: (5.53e-3, 0.384)}
    for place, (learning_rate, dropout) in published.items():
        assert drawn[place]["lr"] == pytest.approx(learning_rate, rel=3e-3)
        assert drawn[place]["dropout"] == pytest.approx(dropout, abs=5e-4)
    assert shared_draws(settings({}).search.space, 5, seed=1) == drawn[:5]
    assert shared_draws(settings({}).search.space, 5, seed=2) != drawn[:5]


def test_choices_are_drawn_from_their_list():
    search = settings({"search": {"sampler": {"name": "random"}}}).search
    space = search.space.model_copy(update={"lr": ChoiceSettings(choices=(0.1, 0.01))})
    assert {own["lr"] for own in shared_draws(space, 30, seed=0)} == {0.1, 0.01}
    drawn = draw(search.model_copy(update={"space": space}), 0, [], 30)
    assert {own["lr"] for own in drawn} == {0.1, 0.01}


@pytest.mark.parametrize("changes", [{"sampler": {"name": "random"}}, TPE])
def test_a_search_that_was_stopped_draws_what_it_would_have_drawn(changes):
    search = settings({"search": changes}).search
    finished = trials(search, 6, lambda own: abs(math.log(own["lr"]) + 6))
    first = draw(search, 0, finished, 5)
    assert first == draw(search, 0, finished, 5)
    assert first != draw(search, 1, finished, 5)
    assert len({own["lr"] for own in first}) == 5
    for own in first:
        assert 1e-5 <= own["lr"] <= 3e-2
        assert 0.01 <= own["dropout"] <= 0.5


def test_tpe_draws_near_what_did_well():
    search = settings({"search": TPE}).search
    finished = trials(search, 40, lambda own: abs(math.log(own["lr"] / 1e-3)))
    drawn = draw(search, 0, finished, 20)
    distance = sorted(abs(math.log(own["lr"] / 1e-3)) for own in drawn)[10]
    blind = sorted(abs(math.log(trial.params["lr"] / 1e-3)) for trial in finished)[20]
    assert distance < 0.7 * blind


def test_diverged_trials_are_told_as_failed_and_do_not_steer():
    search = settings({"search": TPE}).search
    lost = [ended_trial(dict(search.space), own, "diverged", None) for own in draw(search, 0, [], 3)]
    assert len(draw(search, 0, lost, 5)) == 5


def test_the_median_pruner_ends_what_is_worse_than_earlier_trials():
    pruner = {"name": "median", "startup_trials": 3, "warmup_epochs": 1}
    search = settings({"search": TPE | {"pruner": pruner}}).search
    finished = trials(search, 5, lambda own: 0.5)
    first, second = architecture_search(search, 0, finished, 10).ask_for(draw(search, 0, finished, 2))
    assert not is_hopeless(first, 1, 5.0)
    assert is_hopeless(first, 2, 5.0)
    assert not is_hopeless(second, 2, 0.4)


def test_hyperband_ends_the_worse_trials_of_a_stack():
    pruner = {"name": "hyperband", "min_epochs": 1, "reduction_factor": 3}
    search = settings({"search": {"pruner": pruner, "sampler": {"name": "random"}}}).search
    configurations = [trial.params for trial in architecture_search(search, 0, [], 27).ask(30)]
    watched = architecture_search(search, 0, [], 27).ask_for(configurations)
    ended = {place for epoch in (1, 3, 9) for place in range(30) if is_hopeless(watched[place], epoch, 1.0 + place)}
    assert ended
    assert 0 not in ended


def test_importance_finds_the_hyperparameter_that_matters():
    search = settings({"search": {"sampler": {"name": "random"}}}).search
    known = trials(search, 40, lambda own: 0.1 + abs(math.log(own["lr"])))
    found = importance(known, seed=0)
    assert next(iter(found)) == "lr"
    assert sum(found.values()) == pytest.approx(1)
    assert importance(known[:3], seed=0) == {}
    same = [ended_trial(dict(search.space), own.params, "complete", 0.5) for own in known]
    assert importance(same, seed=0) == {}
