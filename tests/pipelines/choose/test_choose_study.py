"""Which classifier for these images: what is tried on which images, in which order, and within which time."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import save_file
from tests.conftest import ROOT
from tests.rounding import in_float32
from tests.studies.contexts import HERE, STUDY

from vision_studies.config.merge import merge_settings
from vision_studies.config.network_run import RunSettings
from vision_studies.config.study import ReportingSettings
from vision_studies.data.image_set import ImageSet
from vision_studies.data.splits import Splits
from vision_studies.errors import DataError, ParameterError
from vision_studies.models import backbones, library_backbones
from vision_studies.pipelines.choose import nodes, stages, work
from vision_studies.pipelines.choose.candidates import (
    AVERAGE,
    CLASSIFIER,
    COLOURS,
    COMBINED,
    FROM_NOTHING,
    STACK,
    Part,
    Sized,
    Step,
    in_order,
    merits,
    steps,
)
from vision_studies.pipelines.choose.conclusions import _more_images, conclude
from vision_studies.pipelines.choose.division import Division, divided
from vision_studies.pipelines.choose.features import joined, known_backbone
from vision_studies.pipelines.choose.learning import COLUMNS
from vision_studies.pipelines.choose.method import METHOD
from vision_studies.pipelines.choose.networks import NETWORKS
from vision_studies.pipelines.choose.plots import _elapsed
from vision_studies.pipelines.choose.settings import ChooseSettings
from vision_studies.pipelines.choose.stages import best_run, combined_runs, spent_seconds, study_runs
from vision_studies.pipelines.choose.work import tried_family
from vision_studies.pipelines.reporting.candidates import candidates
from vision_studies.run_folders import read_description
from vision_studies.serving.backbone_features import BackboneFeatures
from vision_studies.serving.image_classifier import Predictor
from vision_studies.studies.evidence import read_evidence, variant_runs
from vision_studies.studies.method import StoredNetwork, make_context
from vision_studies.studies.run_store import RunStore
from vision_studies.studies.stages import Stage
from vision_studies.torchvision_compat import torchvision_module
from vision_studies.training.checkpoints import load_state, save_state

REPORTING = ReportingSettings(confidence=0.95, interval="t", test="t", margin=0.01, calibration=("temperature",))

BASE = yaml.safe_load((ROOT / "conf/base/parameters_choose.yml").read_text(encoding="utf-8"))["choose"]
SMALL = {
    **{"budget": "10h", "folds": 3, "inner_folds": 2, "backbones": ["efficientnet_lite0"], "pixels": [24]},
    **{"seeds": [0], "families": ["nearest_class_mean", "lda"], "fine_tuned": [], "from_nothing": [], "stack": False},
}


def images(classes=3, each=8, channels=3, side=16, same=False, fewest=99):
    """An image set whose classes differ in colour or grey, with splits that its parts stand in by turns."""
    labels = np.repeat(np.arange(classes), each)
    random = np.random.default_rng(0)
    pixels = random.integers(0, 60, (len(labels), side, side, channels), dtype=np.uint8)
    shifts = labels * (60 // classes) + random.integers(0, 60, len(labels))  # of images, more than of classes
    pixels[..., 0] += shifts.astype(np.uint8)[:, None, None]
    pixels = np.full_like(pixels, 9) if same else pixels
    names = tuple(f"class {label}" for label in range(classes))
    image_set = ImageSet.create("made", pixels, labels, names, np.zeros(len(labels), bool), {})
    place = np.arange(len(labels)) % each
    splits = Splits(*(np.flatnonzero(part) for part in (place > 1, place == 0, place == 1)))
    table = splits.to_table()
    return image_set, table[(labels[table["index"]] > 0) | (table["index"] < fewest)]


def context(folder, data=None, **changes):
    settings = ChooseSettings.model_validate(BASE | SMALL | changes)
    return make_context(METHOD, [settings], STUDY, HERE, False, data or images(), RunStore(folder / "runs"))


@pytest.fixture(scope="module", autouse=True)
def float32():
    with in_float32():
        yield


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """A study in which all has been tried, and its table."""
    own = context(tmp_path_factory.mktemp("choose"), stack=True)
    return own, nodes.try_candidates(own)


def test_everything_that_fits_is_tried_and_scored_on_every_image(tried):
    own, table = tried
    assert sorted(table["variant"]) == [
        "LDA with shrinkage on EfficientNet-Lite0 at 24 px",
        "Nearest class mean on EfficientNet-Lite0 at 24 px",
        "Nearest class mean on colour histograms",
        "average of the best",
        "majority class",
        "stack of the best",
    ]
    assert (table["status"] == "complete").all()
    assert table.set_index("variant")["test_accuracy"]["majority class"] == pytest.approx(1 / 3, abs=0.12)
    said = [own.runs.predictions(run) for run in study_runs(own)]
    assert all(each.indices.tolist() == list(range(24)) for each in said)


def test_all_is_tried_with_the_first_seed_before_further_ones_and_each_has_folds_of_its_own(tmp_path):
    own = context(tmp_path, seeds=[4, 2], backbones=[], families=["lda"], stack=True)
    order = [run.seed for run in _tried_runs(METHOD.stages(own, None))]
    assert order == [4] * (len(order) // 2) + [2] * (len(order) // 2)
    table = nodes.try_candidates(own)
    assert sorted(table["seed"].value_counts().to_dict()) == [2, 4]
    assert table["seed"].value_counts().nunique() == 1
    assert {"majority class", "Nearest class mean on colour histograms"} == set(table["variant"])  # one has no average
    [found, *_] = read_evidence(variant_runs(table), own.runs.folder)
    assert found.evidence.folds.shape == (2, 24)
    assert (found.evidence.folds[0] != found.evidence.folds[1]).any()


def test_networks_are_trained_when_the_classifiers_have_had_all_seeds(tmp_path):
    own = context(tmp_path, seeds=[4, 2], backbones=[], from_nothing=["light"])
    order = [(run.configuration["kind"], run.seed) for run in _tried_runs(METHOD.stages(own, None))]
    assert [*dict.fromkeys(order)] == [(kind, seed) for kind in (CLASSIFIER, FROM_NOTHING) for seed in (4, 2)]


def _tried_runs(stages):
    """Runs of a method's stages, of which none is done."""
    return [run for stage in stages if isinstance(stage, Stage) for run in stage.runs]


@pytest.mark.slow
def test_averages_and_stacks_are_of_the_same_candidates_with_every_seed(tmp_path, monkeypatch):
    """And of what has ended with one seed alone besides."""
    own = context(tmp_path, seeds=[4, 2, 7], families=["nearest_class_mean", "lda"], stack=True)
    nodes.try_candidates(own)
    [of_one, *_] = [run for run in study_runs(own) if run.seed == 4 and run.configuration.get("family") == "lda"]
    by_seed = {}
    for run in study_runs(own):
        if run.configuration["kind"] in COMBINED:
            names = [read_description(own.runs.folder / name)["variant"] for name in run.configuration["members"]]
            by_seed.setdefault(run.variant, {})[run.seed] = sorted(names)
    assert {name: sorted(seeds) for name, seeds in by_seed.items()} == {
        "average of the best": [2, 4, 7],
        "stack of the best": [2, 4, 7],
    }
    assert all(len(set(map(tuple, seeds.values()))) == 1 for seeds in by_seed.values())
    is_complete = own.runs.is_complete
    monkeypatch.setattr(
        RunStore,
        "is_complete",
        lambda _, run, stage: is_complete(run, stage) and (run.seed == 4 or "LDA" not in run.variant),
    )
    more = {run.variant: run for run in combined_runs(own) if run.configuration["kind"] == STACK}
    assert of_one.fingerprint in more["stack of the best of seed 4"].configuration["members"]
    assert of_one.fingerprint not in more["stack of the best"].configuration["members"]
    is_of_one = [METHOD.verdict.is_of_one_seed(run.configuration) for run in more.values()]
    assert is_of_one == [name.endswith("of seed 4") for name in more]


@pytest.mark.parametrize("kind", COMBINED)
def test_what_combines_candidates_does_not_know_the_label_of_an_image_that_it_is_judged_by(kind):
    random = np.random.default_rng(0)
    y, folds = np.arange(40) % 2, np.arange(40) // 2 % 4
    said = random.dirichlet([1.0, 1.0], (3, 40))
    before = work._cross_fitted({"kind": kind}, said, y, folds)
    after = work._cross_fitted({"kind": kind}, said, np.where(folds == 1, 1 - y, y), folds)
    np.testing.assert_array_equal(before[folds == 1], after[folds == 1])
    assert (before[folds != 1] != after[folds != 1]).any()


@pytest.mark.slow
def test_what_is_chosen_by_is_a_mean_over_classes_where_it_is_asked_for(tmp_path):
    data = images(each=12, fewest=4)
    own = context(
        tmp_path, data, metric="balanced_accuracy", stack=True, long_tail_families=["alphanet"], uneven_from=1
    )
    table = nodes.try_candidates(own)
    assert table["variant"].str.contains("AlphaNet").sum() == 1
    means = merits(table)
    assert (means != table["validation_accuracy"]).any()
    assert table["variant"][means.idxmax()] == best_run(own)[0].variant
    for one in candidates(table, ["made"] * len(table), tmp_path.parent):
        assert one.measure == "balanced_accuracy"
        assert one.validation["validation_balanced_accuracy"] == means[table["variant"] == one.name].iloc[0]


class Remembering:
    """A family that is right about what it has learnt from, and wrong about everything else."""

    def grid(self, *_):
        return [{}]

    def fold_probabilities(self, _x, y, train, classes, _grid=None):
        wrong = np.eye(classes, dtype=np.float32)[(y + 1) % classes]
        right = np.eye(classes, dtype=np.float32)[y]
        return np.where(train[None, :, :, None], right, wrong).astype(np.float32)

    def fit(self, *_):
        return None


def test_each_image_is_predicted_by_models_that_have_not_seen_it():
    labels = np.arange(30) % 3
    outer = np.arange(30) // 3 % 5
    whole = Division(np.arange(30), labels, None, outer, np.arange(30), labels, 3)
    x = np.zeros((30, 2), np.float32)
    found = tried_family(Remembering(), x, x, whole, 0, 3)
    assert (found.tested.argmax(axis=1) != labels).all()
    assert set(found.validation.values()) == {0}
    for fold, said in enumerate(found.inner):
        assert np.isnan(said[outer == fold]).all()
        assert (said[outer != fold].argmax(axis=1) != labels[outer != fold]).all()


def test_groups_and_copies_are_in_one_fold(tmp_path):
    import pandas as pd

    image_set, table = images(each=9)
    names = [f"{number}.png" for number in range(27)]
    groups = [str(number // 3) for number in range(27)]
    copies = np.full(27, -1)
    copies[[0, 8]] = 0
    items = pd.DataFrame({"name": names, "split": None, "group": groups, "copies": copies})
    own = context(tmp_path, (replace(image_set, items=items), table))
    division = divided(own.images, {"folds": 2, "inner_folds": 2}, 0)
    folds = pd.Series(division.outer).groupby(division.units).nunique()
    assert (folds == 1).all()
    assert division.outer[0] == division.outer[8]


@pytest.mark.slow
@pytest.mark.parametrize(("from_", "own"), [(1000, True), (10, False)])
def test_a_test_split_of_their_own_and_many_images_are_tested_once(tmp_path, from_, own):
    image_set, table = images()
    if own:
        is_test = np.isin(np.arange(24), table.loc[table["split"] == "test", "index"])
        image_set = replace(image_set, is_test=is_test)
    chosen = context(tmp_path, (image_set, table), one_split_from=from_, average=False)
    results = nodes.try_candidates(chosen)
    said = chosen.runs.predictions(study_runs(chosen)[0])
    assert said.indices.tolist() == table.loc[table["split"] == "test", "index"].tolist()
    assert results["condition"].isna().all()


def step(name, pixels, promise):
    return Step((Part(name, pixels, True, ""),), ("lda",), promise)


def test_what_promises_most_for_its_time_comes_first_and_features_that_are_there_are_free():
    cheap, dear = step("small", 64, 60), step("large", 192, 75)
    both = Step((*cheap.parts, *dear.parts), ("lda",), 77)
    seconds = {cheap.parts[0]: 1.0, dear.parts[0]: 100.0}
    costs = lambda own, there: 0.5 + sum(seconds[part] for part in own.parts if part not in there)  # noqa: E731
    assert [each for each, _ in in_order([dear, both, cheap], costs)] == [cheap, both, dear]
    assert in_order([dear, cheap], costs, there=dear.parts)[0][0] is dear


def test_a_budget_is_kept_and_a_larger_one_goes_on(tmp_path, monkeypatch):
    slow = {"seconds_an_image": {"efficientnet_lite0@24": 100.0}}
    done = []
    try_candidate = stages.try_candidate

    def noted(run, *others):
        done.append(run.variant)
        return try_candidate(run, *others)

    monkeypatch.setattr(stages, "try_candidate", noted)
    short = context(tmp_path, budget="60s", average=False)
    (tmp_path / "features").mkdir()
    (tmp_path / "features/speed.json").write_text(json.dumps(slow), encoding="utf-8")
    assert sorted(nodes.try_candidates(short)["variant"]) == [
        "Nearest class mean on colour histograms",
        "majority class",
    ]
    assert 0 < spent_seconds(short) < 60
    assert len(nodes.try_candidates(short)) == 2
    assert len(done) == 2  # nothing is done twice
    assert len(nodes.try_candidates(context(tmp_path, budget="10h", average=False))) == 4
    assert len(done) == 4


def test_ctrl_c_ends_with_what_has_been_found_and_the_same_command_goes_on(tmp_path, monkeypatch):
    try_candidate = stages.try_candidate

    def interrupted(run, *others):
        if run.configuration["family"] == "lda":
            raise KeyboardInterrupt
        return try_candidate(run, *others)

    monkeypatch.setattr(stages, "try_candidate", interrupted)
    own = context(tmp_path)
    table = nodes.try_candidates(own)
    assert set(table["status"]) == {"complete", "failed"}
    assert table.loc[table["status"] == "failed", "reason"].str.contains("stopped by Ctrl-C").all()
    monkeypatch.setattr(stages, "try_candidate", try_candidate)
    assert (nodes.try_candidates(own)["status"] == "complete").all()


def test_without_weights_it_goes_on_and_says_what_is_lost(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(backbones, "available_backbones", list)
    table = nodes.try_candidates(context(tmp_path, average=False))
    assert sorted(table["variant"]) == ["Nearest class mean on colour histograms", "majority class"]
    assert "efficientnet_lite0" in caplog.text


BAD = [
    ("two images of a class", {}, {"fewest": 2}, DataError, "has 2 images of 'class 0', and 3 are the least"),
    ("no time", {"budget": "5s"}, {}, ParameterError, "choose.budget=5s is too little for any candidate"),
    ("one class", {}, {"classes": 1}, DataError, r"has 1 class \(class 0\); two at least"),
    (
        *("an unknown backbone", {"backbones": ["efficientnet_lite9"]}, {}, ParameterError),
        r"choose\.backbones: There is no backbone 'efficientnet_lite9'\. Did you mean 'efficientnet_lite",
    ),
    (
        "weights that are not here",
        {"backbones": ["torchvision/vgg11"]},
        {},
        ParameterError,
        "put https://.* at .*vgg11",
    ),
    ("no such run", {"backbones": ["run:nowhere"]}, {}, ParameterError, "'nowhere'"),
    ("an unknown family", {"families": ["ldas"]}, {}, ParameterError, "Did you mean 'lda'"),
]


@pytest.mark.parametrize(("changes", "made", "error", "said"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_what_cannot_be_done_is_told_in_a_sentence_before_anything_is(tmp_path, changes, made, error, said):
    with pytest.raises(error, match=said):
        METHOD.check(context(tmp_path, images(**made), **changes))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"other weights"])
def test_weights_with_another_hash_are_refused_before_anything_is_done(tmp_path, monkeypatch, content):
    file = tmp_path / "weights.pth"
    file.write_bytes(content)
    monkeypatch.setattr(backbones, "_packaged_file", lambda _: file)
    known_backbone.cache_clear()
    with pytest.raises(
        ParameterError, match=r"choose\.backbones: .*damaged or not the published file of efficientnet_lite0"
    ):
        METHOD.check(context(tmp_path / "study"))
    assert not (tmp_path / "study").exists()


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Names of backbones of other kinds: a network of torchvision and one of this project, each from a file."""
    folder = tmp_path_factory.mktemp("backbones")
    torch.manual_seed(0)
    (folder / "torchvision").mkdir()
    network = torchvision_module("torchvision.models").get_model("mobilenet_v3_small", weights=None)
    save_file(network.state_dict(), folder / "torchvision/mobilenet_v3_small.safetensors")
    base = yaml.safe_load((ROOT / "conf/base/parameters_cifar_resnet.yml").read_text(encoding="utf-8"))
    small = {"name": "resnet_small", "stem_width": 8, "widths": [8], "blocks": [1], "strides": [1]}
    run = merge_settings(base["cifar_resnet"]["run"], {"model": small | {"squeeze_reduction": None}})
    own = RunSettings.model_validate(run).model.build(in_channels=3, num_classes=2, image_size=20)
    data = {"class_names": ["cat", "dog"], "image_size": 20, "in_channels": 3}
    data["normalisation"] = {"mean": [128.0] * 3, "std": [64.0] * 3}
    save_state(folder / "model.safetensors", {"weights": own.state_dict(), "configuration": run, "data": data})
    with pytest.MonkeyPatch.context() as patch:
        for module in (backbones, library_backbones):
            patch.setattr(module, "WEIGHTS", folder)
        yield ["torchvision/mobilenet_v3_small", f"run:{folder / 'model.safetensors'}"]
    known_backbone.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize("roots", [True, False])
def test_networks_of_libraries_and_of_studies_are_backbones(tmp_path, others, roots):
    own = context(tmp_path, backbones=others, pixels=[32], families=["lda"], roots=roots, average=False)
    table = nodes.try_candidates(own)
    assert (table["status"] == "complete").all()
    assert sorted(table["variant"][table["variant"].str.startswith("LDA")]) == [
        "LDA with shrinkage on mobilenet_v3_small at 32 px",
        "LDA with shrinkage on model.safetensors at 20 px",
        "LDA with shrinkage on model.safetensors at 20 px + mobilenet_v3_small at 32 px",
    ]
    [run] = [run for run in study_runs(own) if len(run.configuration.get("features", [])) == 2]
    _, classifier = opened(own, run)
    x = joined(own.runs, own.images.image_set, run.configuration, np.arange(24))
    with torch.inference_mode():
        of_features = classifier.network.head(torch.from_numpy(x)).softmax(dim=1).argmax(dim=1)
        pixels = torch.from_numpy(own.images.image_set.images).permute(0, 3, 1, 2) / 255
        of_images = classifier.network(pixels).argmax(dim=1)
    assert (of_features == of_images).float().mean() > 0.9


def test_a_network_that_has_seen_the_images_is_refused(tmp_path, others, monkeypatch):
    monkeypatch.setattr("vision_studies.serving.trained_backbones.trained_on", lambda _: "made")
    with pytest.raises(ParameterError, match="which was trained on 'made' as well"):
        METHOD.check(context(tmp_path, backbones=others))


def test_features_side_by_side_are_those_that_cost_least_one_more_each_time():
    names = {"small": Sized(1.0, (8, 16)), "large": Sized(2.0, (8,))}
    own = steps(names, lambda name, side: Part(name, side, True, ""), ("lda",), join=True)
    together = [[(part.source, part.pixels) for part in step.parts] for step in own if len(step.parts) > 1]
    assert together == [[("small", 8), ("large", 8)], [("small", 8), ("large", 8), ("small", 16)]]


@pytest.mark.slow
@pytest.mark.parametrize("made", [{"channels": 1}, {"same": True}, {"each": 3, "classes": 2}], ids=str)
def test_odd_images_are_chosen_for_like_others(tmp_path, made):
    table = nodes.try_candidates(context(tmp_path, images(**made)))
    assert (table["status"] == "complete").all()
    assert table["test_accuracy"].between(0, 1).all()


def opened(own, run):
    folder = own.runs.path(run)
    stored = StoredNetwork(folder, read_description(folder))
    assert NETWORKS.unusable(stored.configuration, folder) is None
    return stored, NETWORKS.rebuild(stored, own.images)


def test_networks_say_of_images_what_their_classifiers_say_of_features(tried):
    from vision_studies.classifiers.averaging import said_of
    from vision_studies.classifiers.nested import tempered
    from vision_studies.classifiers.registry import fitted_from

    own, _ = tried
    everywhere, said = np.arange(24), {}
    for run in study_runs(own):
        stored, classifier = opened(own, run)
        probabilities = Predictor(classifier, torch.device("cpu"))(own.images.image_set.images)
        state = load_state(stored.weights)
        if run.configuration["kind"] == CLASSIFIER:
            x = joined(own.runs, own.images.image_set, run.configuration, everywhere)
            fitted = fitted_from({name: value.numpy() for name, value in state["head"].items()})
            said[run.fingerprint] = tempered(fitted.probabilities(x), state["temperature"])
            expected = said[run.fingerprint]
        if run.configuration["kind"] == AVERAGE:
            mean = sum(weight * said[name] for name, weight in zip(state["members"], state["weights"], strict=True))
            expected = tempered(mean, state["temperature"])
        if run.configuration["kind"] == STACK:
            members = said_of(np.stack([said[name] for name in state["members"]]))
            head = fitted_from({name: value.numpy() for name, value in state["head"].items()})
            expected = tempered(head.probabilities(members), state["temperature"])
        np.testing.assert_allclose(probabilities, expected, atol=0.03)  # features are kept in 16 bits


def test_features_that_members_have_in_common_are_computed_once(tried, tmp_path):
    own, _ = tried
    [run] = [run for run in study_runs(own) if run.configuration["kind"] == AVERAGE]
    members = [
        run.fingerprint
        for run in study_runs(own)
        if run.configuration["kind"] == CLASSIFIER and run.configuration["features"][0]["source"] != COLOURS
    ]
    shutil.copytree(own.runs.folder, tmp_path / "runs")
    stored = StoredNetwork(tmp_path / "runs" / run.fingerprint, read_description(own.runs.path(run)))
    state = load_state(stored.weights)
    save_state(stored.weights, state | {"members": members, "weights": [0.5, 0.5]})
    network = NETWORKS.rebuild(stored, own.images).network
    calls = []
    for module in network.modules():
        if isinstance(module, BackboneFeatures):
            module.register_forward_hook(lambda *_: calls.append(1))
    images = torch.from_numpy(own.images.image_set.images[:8]).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        said, each = network(images), [member(images).softmax(dim=1) for member in network.networks]
    assert len(calls) == 1 + len(members) == 3
    expected = (each[0] + each[1]).log() / state["temperature"]
    torch.testing.assert_close(said.softmax(dim=1), expected.softmax(dim=1))


def test_calibration_rests_on_images_that_were_held_out(tried):
    own, _ = tried
    for run in study_runs(own):
        stored, classifier = opened(own, run)
        logits, labels, features = NETWORKS.held_out(stored, own.images)
        assert labels.tolist() == own.images.image_set.labels.tolist()
        predicted = own.runs.predictions(run).predicted
        assert (logits.argmax(axis=1) == predicted).mean() > 0.9  # of equal ones either may come first
        _, own_features = Predictor(classifier, torch.device("cpu")).features(own.images.image_set.images)
        assert own_features.shape == features.shape


def test_what_else_is_said(tried):
    own, table = tried
    predictions = nodes.collect_predictions(own, table)
    suspects = nodes.find_label_errors(own, table, predictions)
    curve = nodes.measure_learning_curve(own, table, REPORTING)
    said = conclude(table, suspects, curve)
    assert said[0].startswith("Pretrained features give ")
    assert any("worth a look" in sentence or "No label" in sentence for sentence in said)
    for figure in (*nodes.plot_candidates(table), nodes.plot_learning_curve(curve)):
        assert figure.axes
    assert nodes.plot_label_errors(suspects, own.images.image_set).get_figwidth() > 0


def test_more_images_are_foretold_and_the_foretelling_is_checked(tmp_path):
    own = context(tmp_path, images(each=40), backbones=[], families=["lda"])
    table = nodes.try_candidates(own)
    curve = nodes.measure_learning_curve(own, table, REPORTING)
    measured, fitted, checked = (curve[curve["kind"] == kind] for kind in ("measured", "fitted", "checked"))
    assert len(measured) >= 4
    assert fitted["images"].max() == 4 * measured["images"].max()
    assert checked["images"].tolist() == [measured["images"].max()]
    for rows in (measured, fitted, checked):
        assert (rows["low"] <= rows["accuracy"]).all()
        assert (rows["accuracy"] <= rows["high"]).all()
    narrower = nodes.measure_learning_curve(own, table, REPORTING.model_copy(update={"confidence": 0.6}))
    assert (narrower["high"] - narrower["low"] <= curve["high"] - curve["low"]).all()
    assert narrower["low"][0] > curve["low"][0]
    said = _more_images(curve)
    assert len(said) == 2
    assert f"{100 * checked['accuracy'].iloc[0]:.1f} %" in said[1]
    assert nodes.plot_learning_curve(curve).axes


@pytest.mark.parametrize(
    ("promised", "verdict"),
    [
        ((0.66, 0.62, 0.69), "The power law holds: "),
        ((0.75, 0.72, 0.78), "The power law does not hold, so do not count on it: "),
    ],
)
def test_the_learning_curve_is_checked_at_the_largest_size(promised, verdict):
    rows = [
        (50, 0.5, 0.46, 0.54, "measured"),
        (400, 0.65, 0.61, 0.69, "measured"),
        (800, 0.7, 0.68, 0.72, "fitted"),
        (400, *promised, "checked"),
    ]
    said = _more_images(pd.DataFrame(rows, columns=COLUMNS))
    assert said[0].startswith("Twice as many images would give about 70.0 % (68.0 to 72.0)")
    assert said[1].startswith(verdict)
    assert said[1].endswith("with 400, and 65.0 % (61.0 to 69.0) was measured.")
    assert (
        len(_more_images(pd.DataFrame(rows[:3], columns=COLUMNS))) == 1
    )  # finished by an earlier release, or three sizes


def test_what_time_buys_counts_features_that_candidates_share_once():
    import pandas as pd

    def row(parts, own, shared, kind="classifier of features"):
        features = {"features": [Part(name, 32, True, "").configuration for name in parts]} if parts else {}
        others = json.dumps({"own_seconds": own})
        return {
            "configuration": json.dumps({"kind": kind} | features),
            "other_metrics": others,
            "seconds": own + shared,
        }

    rows = [row("a", 1, 5), row("a", 1, 5), row("b", 1, 9), row("ab", 2, 14), row("", 0.5, 20, "average")]
    assert _elapsed(pd.DataFrame(rows)).tolist() == pytest.approx([6, 7, 17, 19, 19.5])
