"""Methods as objects: what they say before they do it, and what is done of it."""

from dataclasses import fields, replace

import numpy as np
import pytest
from tests.conftest import ROOT
from tests.golden.blank_data import blank_data
from tests.studies.contexts import HERE, STUDY

from vision_studies.catalog.config_loader import StudyConfigLoader
from vision_studies.config.data_prep import DataPrepSettings
from vision_studies.config.registry import METHODS, settings_model
from vision_studies.costs import costs_nothing
from vision_studies.errors import DataError
from vision_studies.outcomes import DIVERGED, Outcome
from vision_studies.predictions import Predictions
from vision_studies.settings import CONFIG_LOADER_ARGS
from vision_studies.studies.forecast import forecast
from vision_studies.studies.method import (
    Context,
    Method,
    NoChoice,
    PageSection,
    in_folds,
    load_method,
    make_context,
    no_networks,
    run_stages,
)
from vision_studies.studies.predictions import Kept
from vision_studies.studies.published import NeverPublished
from vision_studies.studies.run_store import RunStore
from vision_studies.studies.stages import Alone, Later, Stage

SECTION, KEPT = PageSection("Toy", {}, ()), Kept("full")
ANSWERS = [
    "name",
    "version",
    "section",
    "stages",
    "check",
    "most_runs",
    "nodes",
    "networks",
    "published",
    "predictions",
    "verdict",
    "folds",
]
WRITING = ("begin", "record", "record_failure", "forget", "forget_all", "claim", "write_group")


class RefusingStore(RunStore):
    """Runs that may be looked at, and nothing else."""


def refuse(name):
    def method(*_arguments, **_options):
        raise AssertionError(f"something is done before it is given: {name}")

    return method


for name in WRITING:
    setattr(RefusingStore, name, refuse(name))


@pytest.fixture(scope="module")
def demo():
    return StudyConfigLoader(ROOT / "conf", "demo", {}, **CONFIG_LOADER_ARGS)["parameters"]


def context_of_demo(demo, name, folder, *, fresh):
    method = load_method(name)
    models = [settings_model(key).model_validate(demo[key]) for key in method.parameter_names]
    data = blank_data(DataPrepSettings.model_validate(demo["data_prep"]))
    return make_context(method, models, STUDY, HERE, fresh, data, RefusingStore(folder / "runs"))


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("name", METHODS)
def test_nothing_is_done_before_it_is_given(demo, name, fresh, tmp_path):
    context = context_of_demo(demo, name, tmp_path, fresh=fresh)
    assert forecast(context)
    # As if everything had ended, up to where a result of it is asked for.
    steps, answer = context.method.stages(context, {}), None
    labels = []
    while True:
        try:
            item = steps.send(answer)
        except StopIteration:
            break
        labels.append(item.label)
        answer = None if isinstance(item, Later) else True
    assert len(labels) >= len(set(labels)) > 0
    assert list(tmp_path.iterdir()) == []


def toy(stages) -> Method:
    networks = no_networks("they keep none", lambda _: "")
    others = (networks, NeverPublished("it is a toy"), KEPT, NoChoice("asks nothing"), in_folds)
    return Method("toy", 3, SECTION, stages, lambda _: None, lambda _: 1, (), *others)


def context_of_toy(stages, folder, **changes) -> Context:
    context = Context(toy(stages), {"a": 1}, STUDY, HERE, False, None, RunStore(folder))
    return replace(context, **changes)


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_method_that_leaves_out_an_answer_cannot_be_made(answer):
    method = load_method("cifar_resnet")
    answers = {field.name: getattr(method, field.name) for field in fields(method)}
    del answers[answer]
    with pytest.raises(TypeError, match=f"'{answer}'"):
        Method(**answers)


def worked(calls):
    def work(run, _folder):
        calls.append((run.variant, run.seed))
        return Outcome({"validation_accuracy": run.seed / 10})

    return Alone(work)


def test_stages_are_done_up_to_the_last_that_is_asked_for(tmp_path):
    calls, answers = [], []

    def stages(context, known):
        runs = [context.run("plain", seed, {}, data="d") for seed in range(2)]
        answers.append((yield Stage("training", runs, worked(calls), costs_nothing)))
        more = context.run(known.get("best", "unknown"), 9, {}, data="d")
        answers.append((yield Stage("training", [more], worked(calls), costs_nothing, title="retraining")))
        pytest.fail("nobody has asked for what follows")
        yield Stage("evaluation", runs, worked(calls), costs_nothing)

    context = context_of_toy(stages, tmp_path)
    done = run_stages(context, "training")
    assert calls == [("plain", 0), ("plain", 1)]
    assert [run.seed for run in done["training"]] == [0, 1]
    with pytest.raises(BaseException, match="nobody has asked"):
        run_stages(context, "evaluation", known={"best": "wide"})
    assert answers == [True, True, True]


def test_a_stage_that_a_method_does_not_have_is_an_error(tmp_path):
    def stages(context, known):
        yield Stage("training", [], worked([]), costs_nothing)

    with pytest.raises(RuntimeError, match="toy has no stage scoring"):
        run_stages(context_of_toy(stages, tmp_path), "scoring")


def test_what_others_build_on_must_be_complete(tmp_path):
    def stages(context, known):
        runs = [context.run("base", 4, {}, data="d")]
        work = Alone(lambda *_: Outcome({}, DIVERGED, "the loss was not finite"))
        yield Stage("training", runs, work, costs_nothing, required=("backbone", "toy.learning_rate"))

    with pytest.raises(
        DataError, match=r"The backbone with seed 4 has not given a network \(the loss was not finite\); lower toy"
    ):
        run_stages(context_of_toy(stages, tmp_path), "training")


def test_a_run_has_the_version_of_its_method_and_the_data_of_its_study(tmp_path):
    context = context_of_toy(lambda *_: iter(()), tmp_path)
    run = context.run("plain", 2, {"a": 1}, trial=5, data="d")
    assert (run.pipeline, run.study, run.trial, run.method_version) == ("toy", "tried", 5, 3)
    with pytest.raises(DataError, match="no images; name an environment that prepares some"):
        context.run("plain", 2, {})


def test_a_process_that_does_runs_is_not_sent_what_draws(tmp_path):
    import pickle

    context = context_of_demo_like(tmp_path)
    sent = pickle.loads(pickle.dumps(context))
    assert sent.method.nodes == ()
    assert sent.method.section.figures == {}
    assert (sent.method.name, sent.method.version, sent.settings) == (context.method.name, context.method.version, {})


def context_of_demo_like(folder) -> Context:
    return Context(load_method("cifar_resnet"), {}, STUDY, HERE, False, None, RunStore(folder))


def scored(predictions):
    """Stages of a method that scores one run."""

    def stages(context, _known):
        run = context.run("base", 0, {}, data="data")
        outcome = Outcome({"test_accuracy": 2 / 3}, predictions=predictions)
        yield Stage("evaluation", [run], Alone(lambda _run, _folder: outcome), costs_nothing)

    return stages


@pytest.mark.parametrize(
    ("asked", "detail"), [(None, "full"), ("top", "top"), ("correct", "correct"), ("full", "full")]
)
def test_runs_keep_as_much_of_their_predictions_as_their_method_or_the_study_says(tmp_path, asked, detail):
    said = Predictions.of("test", np.arange(3), np.array([0, 1, 5]), np.eye(8)[[0, 1, 2]])
    execution = HERE.model_copy(update={"predictions": asked})
    context = context_of_toy(scored((said,)), tmp_path, execution=execution)
    [run] = run_stages(context, "evaluation")["evaluation"]
    found = context.runs.predictions(run)
    assert (found.detail, found.correct.tolist()) == (detail, [True, True, False])


def test_a_run_whose_method_forgets_its_predictions_has_failed_and_says_so(tmp_path):
    context = context_of_toy(scored(()), tmp_path)
    [run] = run_stages(context, "evaluation")["evaluation"]
    assert "its method gives no predictions of them" in context.runs.result(run, "evaluation")["reason"]
