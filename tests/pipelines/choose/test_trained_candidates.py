"""Candidates of `choose` whose networks are trained: which images they learn from, how long they may, and what they leave."""

import json
from dataclasses import replace

import numpy as np
import pytest
from tests.pipelines.choose.test_choose_study import REPORTING, context, images, opened
from tests.rounding import in_float32

from vision_studies.config.fine_tuning import FineTuning, FromNothing
from vision_studies.pipelines.choose import budget, nodes, stages, trained
from vision_studies.pipelines.choose.budget import Clock, Hopeless, OutOfTime, Speed, Workload, training_seconds
from vision_studies.pipelines.choose.candidates import (
    CLASSIFIER,
    COMBINED,
    EVALUATION,
    FROM_NOTHING,
    STACK,
    TUNED,
    Part,
    Sized,
    Step,
    steps,
)
from vision_studies.pipelines.choose.conclusions import conclude
from vision_studies.pipelines.choose.division import Division, image_epochs, trainings_of
from vision_studies.pipelines.choose.networks import NETWORKS
from vision_studies.pipelines.choose.stages import OUT_OF_TIME, study_runs
from vision_studies.pipelines.reporting.candidates import candidates
from vision_studies.run_folders import PACE_FILE, stage_files
from vision_studies.serving.image_classifier import Predictor
from vision_studies.studies.stored_runs import read_run

pytestmark = pytest.mark.slow  # its study trains networks

SHORT = {"families": ["lda"], "fine_tuned": [0.3, 1.0], "from_nothing": ["heavy"], "pixels": [16]}
KINDS = [CLASSIFIER, TUNED, FROM_NOTHING, *COMBINED]


def few_epochs(patch):
    """Networks see their images three times."""
    for recipe in (FineTuning, FromNothing):
        given = recipe.__init__

        def init(self, *arguments, _given=given, **options):
            _given(self, *arguments, **{"epochs": 3, **options})

        patch.setattr(recipe, "__init__", init)


@pytest.fixture(scope="module", autouse=True)
def float32():
    with in_float32():
        yield


@pytest.fixture(scope="module")
def study(tmp_path_factory, small_backbone):
    """A study in which all has been tried, of images of 18 pixels, and its table."""
    with pytest.MonkeyPatch.context() as patch:
        few_epochs(patch)
        data = images(each=9, side=18)
        own = context(tmp_path_factory.mktemp("trained"), data, backbones=[small_backbone], stack=True, **SHORT)
        patch.setattr(trained, "_SURE", 99.0)  # all of them end
        yield own, nodes.try_candidates(own)


def test_networks_are_tried_beside_classifiers_of_features(study):
    own, table = study
    assert sorted(table["variant"]) == [
        "LDA with shrinkage on Small at 16 px",
        "Nearest class mean on colour histograms",
        "Small at 16 px, fine-tuned, all layers",
        "Small at 16 px, fine-tuned, last 30 % of layers",
        "average of the best",
        "majority class",
        "small ResNet at 18 px, from random weights, heavy augmentation",
        "stack of the best",
    ]
    assert (table["status"] == "complete").all()
    assert table["test_accuracy"].between(0, 1).all()
    assert {run.configuration["kind"] for run in study_runs(own)} == set(KINDS)
    left = [file.name for run in study_runs(own) for file in own.runs.path(run).iterdir()]
    assert "trainings" not in left


def test_the_largest_class_has_a_share_a_class_as_parameters(study):
    own, table = study
    parameters = table.set_index("variant")["parameters"]
    assert parameters["majority class"] == own.images.num_classes
    assert parameters["Small at 16 px, fine-tuned, all layers"] > parameters["majority class"]


@pytest.mark.parametrize("kind", [TUNED, FROM_NOTHING, *COMBINED])
def test_a_network_says_of_images_what_was_calibrated_and_scored(study, kind):
    """The network that is kept has learnt from all images: it agrees with those of the folds more than chance does."""
    import torch

    own, _ = study
    for run in study_runs(own):
        if run.configuration["kind"] != kind:
            continue
        stored, classifier = opened(own, run)
        predictor = Predictor(classifier, torch.device("cpu"))
        probabilities = predictor(own.images.image_set.images)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-4)
        _, features = predictor.features(own.images.image_set.images)
        logits, labels, held_out = NETWORKS.held_out(stored, own.images)
        assert labels.tolist() == own.images.image_set.labels.tolist()
        assert logits.shape == (27, 3)
        np.testing.assert_allclose(held_out, features, atol=0.05, rtol=0.05)


@pytest.mark.slow
def test_networks_of_all_kinds_are_exported_with_their_resizing_and_their_normalisation(study, tmp_path):
    from vision_studies.pipelines.choose.joined_network import MeanOfNetworks
    from vision_studies.serving.model_export import LARGEST_DIFFERENCE, export_model

    own, _ = study
    some = {run.configuration["kind"]: opened(own, run)[1] for run in study_runs(own)}
    classifier = some[CLASSIFIER]
    assert classifier.images.image_size == 18
    together = MeanOfNetworks([some[kind].network for kind in (CLASSIFIER, TUNED, FROM_NOTHING)], [0.2, 0.4, 0.4], 1.0)
    for network in (together.eval(), some[STACK].network):
        difference = export_model(replace(classifier, network=network), "onnx", tmp_path / "network.onnx", {})
        assert difference <= LARGEST_DIFFERENCE


def test_pretraining_is_compared_with_random_weights(study):
    own, table = study
    predictions = nodes.collect_predictions(own, table)
    suspects = nodes.find_label_errors(own, table, predictions)
    said = conclude(table, suspects, nodes.measure_learning_curve(own, table, REPORTING))
    assert "over training from nothing" in said[0]
    for figure in nodes.plot_candidates(table):
        assert figure.axes


@pytest.mark.parametrize("folds", [0, 2, 3, 5])
def test_no_training_knows_what_it_predicts(folds):
    labels = np.arange(60) % 3
    outer = np.arange(60) // 3 % folds if folds else None
    test = np.arange(60) if folds else np.arange(60, 80)
    division = Division(np.arange(60), labels, None, outer, test, np.arange(len(test)) % 3, 4)
    trainings = trainings_of(division, 0)
    for training in trainings.all:
        assert not np.intersect1d(training.learns, training.predicts).size
        assert set(labels[training.learns]) == {0, 1, 2}
    assert trainings.whole.learns.tolist() == list(range(60))
    if folds:
        assert sorted(np.concatenate([one.predicts for one in trainings.outer])) == list(range(60))
    seen = sum(len(training.learns) for training in trainings.all)
    assert seen == pytest.approx(image_epochs(60, folds, 4), rel=0.05)


@pytest.mark.parametrize("folds", [0, 2, 5])
def test_inner_probabilities_do_not_know_the_outer_fold(tmp_path, monkeypatch, folds):
    """Each training is right of what it has learnt from, and says of others which training it is: so one sees who spoke."""
    labels = np.arange(60) % 3
    outer = np.arange(60) // 3 % folds if folds else None
    test = np.arange(60) if folds else np.arange(60, 80)
    division = Division(np.arange(60), labels, None, outer, test, np.arange(len(test)) % 3, 4)
    learnt = []

    def network(*_):
        def train(learns, predicts, *_):
            learnt.append(set(learns.tolist()))
            logits = np.full((len(predicts), 3), float(len(learnt) - 1), np.float32)
            return trained._Result(logits, {}, {})

        return trained._Network(3, train, np.arange(60, 80) if not folds else np.arange(1))

    monkeypatch.setattr(trained, "_network", network)
    run = type("Run", (), {"seed": 0})
    said = trained.train_candidate(run, tmp_path, division, None, 3, None)
    for image in range(60) if folds else ():
        assert image not in learnt[int(said.tested[image, 0])]
    for fold, inner in enumerate(said.inner):
        known = np.flatnonzero(np.isfinite(inner[:, 0]))
        assert len(known)
        for image in known:
            assert image not in learnt[int(inner[image, 0])]
            if folds:
                assert outer[image] != fold
                assert not learnt[int(inner[image, 0])] & set(np.flatnonzero(outer == fold))


class Watch(Clock):
    """A clock that a test turns: it allows so many looks."""

    def __init__(self, looks):
        super().__init__(1e9, 0.0)
        self.looks = looks

    @property
    def left(self):
        """Nothing from some look on."""
        self.looks -= 1
        return 1e9 if self.looks >= 0 else 0.0


@pytest.mark.parametrize("kind", [TUNED, FROM_NOTHING])
def test_a_candidate_that_the_budget_stops_goes_on_where_it_was(study, tmp_path, kind):
    from vision_studies.pipelines.choose.work import try_candidate

    own, _ = study
    run = next(run for run in study_runs(own) if run.configuration["kind"] == kind)
    expected = own.runs.predictions(run).probabilities
    store = replace(own, runs=type(own.runs)(tmp_path / "runs")).runs
    folder = store.begin(run)
    for looks in (10, 20):
        with pytest.raises(OutOfTime) as stopped:
            try_candidate(run, folder, own.images, store, Watch(looks))
        pace = budget.read_pace(folder / PACE_FILE)
        assert 0 < pace["left"] == stopped.value.seconds < pace["total"]
        assert any((folder / "trainings").iterdir())
        assert stage_files(folder) == []
    outcome = try_candidate(run, folder, own.images, store, Watch(1000))
    store.record(run, EVALUATION, outcome)
    assert read_run(folder).stages.keys() == {EVALUATION}
    assert outcome.metrics["other_metrics"]["own_seconds"] > pace["spent"] > 0
    np.testing.assert_allclose(outcome.predictions[0].probabilities, expected, atol=5e-4)  # which are kept in 16 bits


def test_what_is_stopped_is_left_out_and_tried_again(tmp_path, small_backbone, monkeypatch):
    few_epochs(monkeypatch)
    changes = SHORT | {"from_nothing": ["light"], "fine_tuned": [], "average": False, "backbones": [small_backbone]}
    own = context(tmp_path, **changes)
    monkeypatch.setattr(trained._Pace, "_look", lambda _: (_ for _ in ()).throw(OutOfTime(5.0)))
    table = nodes.try_candidates(own)
    assert (table["status"] == "complete").all()
    assert not table["variant"].str.contains("random weights").any()
    [left] = [file for file in tmp_path.glob("runs/*/evaluation.json") if OUT_OF_TIME in file.read_text()]
    assert json.loads(left.read_text())["status"] == "failed"
    monkeypatch.undo()
    with pytest.MonkeyPatch.context() as patch:
        few_epochs(patch)
        table = nodes.try_candidates(own)
    assert table["variant"].str.contains("random weights").sum() == 1


@pytest.mark.parametrize("folds", [0, 5])
@pytest.mark.parametrize("better", [True, False])
def test_a_network_that_is_clearly_worse_on_validation_images_is_not_trained_any_longer(
    tmp_path, monkeypatch, folds, better
):
    labels = np.arange(60) % 3
    outer = np.arange(60) // 3 % folds if folds else None
    test = np.arange(60) if folds else np.arange(60, 80)
    division = Division(np.arange(60), labels, None, outer, test, np.arange(len(test)) % 3, 2)
    learnt = []

    def train(learns, predicts, *_):
        learnt.append(len(learns))
        return trained._Result(np.eye(3, dtype=np.float32)[predicts % 3 if better else predicts * 0], {}, {})

    known = np.ones((1, 60), bool) if outer is None else outer != np.arange(folds)[:, None]
    inner = np.where(known[:, :, None], np.eye(3, dtype=np.float32)[labels], np.nan)
    inner[:, ::7] = np.roll(inner[:, ::7], 1, axis=2)  # it is wrong of some
    monkeypatch.setattr(trained, "_network", lambda *_: trained._Network(3, train, np.arange(60, 80)))
    monkeypatch.setattr(trained, "_SURE", 3.0)
    options = (type("Run", (), {"seed": 0}), tmp_path, division, None, 3, None, trained.Rival("another", inner))
    if better:
        trained.train_candidate(*options)
        assert len(learnt) == (2 * folds + 1 if folds else 2)
    else:
        with pytest.raises(
            Hopeless, match=r"of \d+ images of inner folds it was right about 3.\.\d%, and 'another' about [89]"
        ):
            trained.train_candidate(*options)
        assert len(learnt) <= 2


def test_what_is_stopped_early_is_told_and_not_tried_again(tmp_path, small_backbone, monkeypatch):
    few_epochs(monkeypatch)
    monkeypatch.setattr(trained, "_SURE", -99.0)
    monkeypatch.setattr(trained, "_FEWEST_COMPARED", 1)
    changes = SHORT | {"from_nothing": ["light", "heavy"], "fine_tuned": [0.3], "backbones": [small_backbone]}
    own = context(tmp_path, images(each=9), stack=True, **changes)
    table = nodes.try_candidates(own).set_index("variant")
    stopped = table[table["status"] == "pruned"]
    assert sorted(stopped.index) == [
        "Small at 16 px, fine-tuned, last 30 % of layers",
        "small ResNet at 16 px, from random weights, heavy augmentation",
    ]
    assert stopped["reason"].str.startswith("stopped early: of ").all()
    assert (
        table.loc["small ResNet at 16 px, from random weights", "status"] == "complete"
    )  # what others are compared with
    told = [
        one.problems for one in candidates(table.reset_index(), ["made"] * len(table), tmp_path.parent) if one.problems
    ]
    assert [problem.startswith("seed 0 pruned (stopped early: of ") for [problem] in told] == [True, True]
    monkeypatch.setattr(stages, "score", lambda *_, **__: pytest.fail("it is tried again"))
    assert (nodes.try_candidates(own)["status"] == "pruned").sum() == 2


@pytest.mark.parametrize("kind", [TUNED, FROM_NOTHING])
@pytest.mark.parametrize("look", [1, 7])
def test_ctrl_c_within_a_training_gives_the_verdict_so_far_and_the_same_command_goes_on(
    study, tmp_path, monkeypatch, kind, look
):
    few_epochs(monkeypatch)
    monkeypatch.setattr(trained, "_SURE", 99.0)
    changes = {"fine_tuned": [0.3]} if kind == TUNED else {"fine_tuned": []}
    changes |= {"from_nothing": ["heavy"]} if kind == FROM_NOTHING else {"from_nothing": []}
    own = context(tmp_path, images(each=9, side=18), backbones=["small"], stack=True, **SHORT | changes)
    looks, as_it_is = [], trained._Pace._look

    def interrupted(pace):
        as_it_is(pace)
        looks.append(pace)
        if len(looks) == look:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trained._Pace, "_look", interrupted)
        table = nodes.try_candidates(own)
    assert table["status"].value_counts().to_dict() == {"complete": 3, "failed": 1}
    assert table["reason"].dropna().str.contains("stopped by Ctrl-C").all()
    assert "Pretrained features give" in conclude(table, *_besides(own, table))[0]
    seen = len(looks)
    table = nodes.try_candidates(own)
    assert (table["status"] == "complete").all()
    run = next(run for run in study_runs(own) if run.configuration["kind"] == kind)
    whole, _ = study
    expected = whole.runs.predictions(
        next(one for one in study_runs(whole) if one.variant == run.variant)
    ).probabilities
    np.testing.assert_allclose(own.runs.predictions(run).probabilities, expected, atol=5e-4)
    assert seen == look


def _besides(own, table):
    suspects = nodes.find_label_errors(own, table, nodes.collect_predictions(own, table))
    return suspects, nodes.measure_learning_curve(own, table, REPORTING)


def test_features_end_with_the_budget(tmp_path, small_backbone, monkeypatch):
    write, written = stages.write_features, []

    def in_time(runs, image_set, part, clock):
        if written:
            stages.Clock.left = -1.0
            raise OutOfTime(5.0)
        write(runs, image_set, part, clock)
        written.append(part.pixels)

    monkeypatch.setattr(stages, "write_features", in_time)
    monkeypatch.setattr(stages.Clock, "left", 1e9)
    changes = SHORT | {
        "from_nothing": [],
        "fine_tuned": [],
        "backbones": [small_backbone],
        "pixels": [16, 32],
        "join": False,
    }
    table = nodes.try_candidates(context(tmp_path, **changes))
    assert (table["status"] == "complete").all()
    of_features = [name for name in table["variant"] if "Small" in name]
    assert of_features == [f"LDA with shrinkage on Small at {written[0]} px"]


@pytest.mark.parametrize("budget", ["10h", "100s"])
def test_one_network_that_promises_more_than_all_classifiers_comes_before_their_further_seeds(
    tmp_path, small_backbone, monkeypatch, budget
):
    monkeypatch.setattr(stages, "training_seconds", lambda *_: 60.0)  # more than half of the smaller budget
    monkeypatch.setattr("vision_studies.pipelines.choose.budget.training_seconds", lambda *_: 60.0)
    changes = SHORT | {"from_nothing": ["light"], "fine_tuned": [0.2, 1.0], "average": False, "budget": budget}
    own = context(tmp_path, seeds=[4, 2], backbones=[small_backbone], **changes)
    every = [(step.recipe, seed) for seed, step in stages._turns(own)]
    assert len(set(every)) == len([each for each in every if each[0] is not None]) + 2
    kinds = [*dict.fromkeys((None if recipe is None else type(recipe), seed) for recipe, seed in every)]
    behind = [(FineTuning, 4)] if budget == "10h" else []
    assert kinds[: 2 + len(behind)] == [(None, 4), *behind, (None, 2)]


def test_networks_are_tried_after_what_is_cheap_and_cost_what_has_been_measured():
    part = Part("small", 64, True, "")
    recipes = [FineTuning(share=0.1), FineTuning(share=1.0), FromNothing(32), FromNothing(32, heavy=True)]
    every = steps({"small": Sized(4e8, [64])}, lambda *_: part, ["lda"], join=False, recipes=recipes)
    assert [step.recipe for step in every[2:]] == recipes
    work = Workload(500, 500, 5, 4, {"small": 10})
    seconds = [training_seconds(step, Speed({"small@64": 0.01}, {}), work) for step in every[2:]]
    assert seconds[1] > seconds[0] > 2
    measured = Speed({"small@64": 0.01}, {}, trained={TUNED: 3.0})
    assert training_seconds(every[2], measured, work) == pytest.approx(3 * (seconds[0] - 2) + 2)
    assert every[4].least > every[5].least
    assert Step((part,), ("lda",), 1.0).features == (part,)
