import math
import random

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors.numpy import save_file
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import NearestCentroid

from vision_studies.classifiers.linear import LinearClassifier
from vision_studies.errors import CheckpointError, DataError, ParameterError
from vision_studies.pipelines.alphanet.settings import ClassifierSettings, CrtSettings, LwsSettings
from vision_studies.pipelines.alphanet.work.classifiers import (
    average_experts,
    choose_tau,
    combined,
    fit_classifier,
    nearest_class_mean,
    rescale,
    retrain,
    tau_normalise,
)
from vision_studies.pipelines.alphanet.work.features import FeatureGroup
from vision_studies.pipelines.alphanet.work.linear_classifier import load_classifier, save_classifier
from vision_studies.training.runtime import derived_seed
from vision_studies.training.samplers import balanced_draws

CLASSES, FEATURES = 5, 6
COUNTS = (120, 60, 30, 12, 4)
TRAINING = {"epochs": 3, "batch_size": 32, "learning_rate": 0.5, "momentum": 0.9, "weight_decay": 1e-3}
CRT, LWS = CrtSettings(name="crt", **TRAINING), LwsSettings(name="lws", **TRAINING)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def settings(kind, **options):
    return TypeAdapter(ClassifierSettings).validate_python({"name": kind, **options})


def make_group(counts=COUNTS, seed=0, spread=1.0):
    """Gaussian classes whose means do not depend on the seed, in shuffled order."""
    means = np.random.default_rng(99).normal(size=(len(counts), FEATURES)) * 1.5
    own = np.random.default_rng(seed)
    labels = own.permutation(np.repeat(np.arange(len(counts)), counts))
    features = means[labels] + spread * own.normal(size=(len(labels), FEATURES))
    return FeatureGroup(features.astype(np.float32), labels)


def make_classifier(seed=0, features=FEATURES):
    own = np.random.default_rng(seed)
    # Norms that differ much, as those of a long-tailed training do.
    weight = own.normal(size=(CLASSES, features)) * np.array([4, 2, 1, 0.5, 0.25])[:, None]
    return LinearClassifier(weight.astype(np.float32), own.normal(size=CLASSES).astype(np.float32))


def same(one, other):
    return np.array_equal(one.weight, other.weight) and np.array_equal(one.bias, other.bias)


def test_scores_in_parts_are_the_product(tmp_path):
    features = np.random.default_rng(0).normal(size=(9000, FEATURES)).astype(np.float32)
    np.save(tmp_path / "features.npy", features)
    classifier = make_classifier()
    scores = classifier.scores(np.load(tmp_path / "features.npy", mmap_mode="r"))
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, features @ classifier.weight.T + classifier.bias, atol=1e-5)


def test_the_combined_score_is_the_mean_of_the_experts():
    experts = [make_classifier(seed, features) for seed, features in enumerate((FEATURES, 4, 3))]
    blocks = [np.random.default_rng(7).normal(size=(50, own.weight.shape[1])).astype(np.float32) for own in experts]
    mean = np.mean([own.scores(block) for own, block in zip(experts, blocks, strict=True)], axis=0)
    whole = combined(experts)
    assert whole.weight.dtype == whole.bias.dtype == np.float32
    np.testing.assert_allclose(whole.scores(np.concatenate(blocks, axis=1)), mean, atol=1e-5)
    assert same(combined(experts[:1]), experts[0])


def test_experts_of_other_classes_are_refused():
    other = LinearClassifier(np.zeros((3, 2), np.float32), np.zeros(3, np.float32))
    with pytest.raises(DataError, match=r"have \[5, 3\] classes"):
        combined([make_classifier(), other])


def test_draws_have_all_classes_and_all_images_of_a_class_alike():
    labels = np.array([7, 2, 2, 7, 7, 2, 2, 4])  # classes without images in between
    draws = balanced_draws(labels, 30_000, np.random.default_rng(0))
    shares = np.bincount(draws, minlength=len(labels)) / len(draws)
    expected = 1 / 3 / np.bincount(labels)[labels]
    np.testing.assert_allclose(shares, expected, atol=0.01)


def sgd_by_hand(parameters, gradients, group, own, generator):
    """Momentum, weight decay and cosine written out in float64; `gradients` are those of the mean cross-entropy."""
    count = len(group.labels)
    steps, step = own.epochs * math.ceil(count / own.batch_size), 0
    velocities = [np.zeros_like(parameter) for parameter in parameters]
    for _ in range(own.epochs):
        draws = balanced_draws(group.labels, count, generator)
        for chosen in np.split(draws, range(own.batch_size, count, own.batch_size)):
            rate = own.learning_rate * (1 + math.cos(math.pi * step / steps)) / 2
            slopes = gradients(parameters, group.features[chosen].astype(np.float64), group.labels[chosen])
            for position, slope in enumerate(slopes):
                decay = own.weight_decay * parameters[position]
                velocities[position] = own.momentum * velocities[position] + slope + decay
                parameters[position] = parameters[position] - rate * velocities[position]
            step += 1
    assert step == steps
    return parameters


def error_of_scores(scores, labels):
    """Gradient of the mean cross-entropy by the scores."""
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    return (exponentials / exponentials.sum(axis=1, keepdims=True) - np.eye(CLASSES)[labels]) / len(labels)


def test_crt_is_descent_on_balanced_draws_written_out():
    group = make_group()

    def gradients(parameters, rows, labels):
        error = error_of_scores(rows @ parameters[0].T + parameters[1], labels)
        return error.T @ rows, error.sum(axis=0)

    generator = np.random.default_rng(11)
    bound = 1 / math.sqrt(FEATURES)
    start = [generator.uniform(-bound, bound, (CLASSES, FEATURES)), generator.uniform(-bound, bound, CLASSES)]
    weight, bias = sgd_by_hand(start, gradients, group, CRT, generator)
    found = retrain(group, CLASSES, CRT, 11)
    assert found.weight.dtype == found.bias.dtype == np.float32
    np.testing.assert_allclose(found.weight, weight, atol=1e-4)
    np.testing.assert_allclose(found.bias, bias, atol=1e-4)


def test_lws_is_descent_on_the_factors_written_out():
    group, own = make_group(), make_classifier()

    def gradients(parameters, rows, labels):
        plain = rows @ own.weight.astype(np.float64).T + own.bias
        return [(error_of_scores(plain * parameters[0], labels) * plain).sum(axis=0)]

    (factors,) = sgd_by_hand([np.ones(CLASSES)], gradients, group, LWS, np.random.default_rng(3))
    found = rescale(own, group, LWS, 3)
    np.testing.assert_allclose(found.weight, own.weight * factors[:, None], atol=1e-3)
    np.testing.assert_allclose(found.bias, own.bias * factors, atol=1e-3)


def test_crt_comes_to_what_a_balanced_logistic_regression_comes_to():
    """The fitted optimum of scikit-learn, whose penalty of |w|^2 / 2 over C has the same strength as the weight decay."""
    group = make_group()
    own = CRT.model_copy(update={"epochs": 300, "weight_decay": 0.05, "learning_rate": 0.1, "batch_size": 226})
    found = retrain(group, CLASSES, own, 0)
    weights = 1 / np.bincount(group.labels)[group.labels] / CLASSES
    # The intercept, which scikit-learn does not penalise, is a feature of ones here.
    ones = np.column_stack([group.features, np.ones(len(group.labels))])
    reference = LogisticRegression(C=1 / 0.05, fit_intercept=False, tol=1e-8).fit(ones, group.labels, weights)
    np.testing.assert_allclose(found.weight, reference.coef_[:, :-1], atol=0.03)
    np.testing.assert_allclose(found.bias, reference.coef_[:, -1], atol=0.03)


def test_lws_leaves_directions_as_they_are():
    own = make_classifier()
    found = rescale(own, make_group(), LWS, 0)
    cosines = np.abs(np.diagonal(cosine_similarity(found.weight, own.weight)))
    np.testing.assert_allclose(cosines, 1, atol=1e-6)
    factors = found.weight[:, :1] / own.weight[:, :1]
    np.testing.assert_allclose(found.weight, own.weight * factors, rtol=1e-5)
    assert np.abs(factors - 1).max() > 0.05


@pytest.mark.parametrize(
    "fit",
    [
        lambda seed: retrain(make_group(), CLASSES, CRT, seed),
        lambda seed: rescale(make_classifier(), make_group(), LWS, seed),
    ],
    ids=["crt", "lws"],
)
def test_training_depends_on_its_seed_alone_and_touches_no_global_generator(fit):
    first = fit(1)
    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    assert same(fit(1), first)
    assert not same(fit(2), first)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])
    assert random.getstate() == states[2]


def test_features_on_disk_give_the_classifiers_of_those_in_memory(tmp_path):
    group = make_group()
    np.save(tmp_path / "features.npy", group.features)
    mapped = FeatureGroup(np.load(tmp_path / "features.npy", mmap_mode="r"), group.labels)
    assert same(retrain(mapped, CLASSES, CRT, 0), retrain(group, CLASSES, CRT, 0))
    assert same(rescale(make_classifier(), mapped, LWS, 0), rescale(make_classifier(), group, LWS, 0))


def test_classes_without_images_do_not_stop_training():
    group = make_group()
    kept = group.labels != 2
    part = FeatureGroup(group.features[kept], group.labels[kept])
    assert (retrain(part, CLASSES, CRT, 0).scores(part.features).argmax(axis=1) != 2).all()


def test_training_that_diverges_says_so():
    huge = FeatureGroup(make_group().features * np.float32(1e20), make_group().labels)
    wild = CRT.model_copy(update={"learning_rate": 1e20})
    with pytest.raises(ParameterError, match=r"learning_rate=1e\+20 of the classifier crt is too high"):
        retrain(huge, CLASSES, wild, 0)


def test_tau_divides_by_a_power_of_the_norm_and_drops_the_bias():
    own = make_classifier()
    norms = np.linalg.norm(own.weight, axis=1)
    np.testing.assert_array_equal(tau_normalise(own, 0).weight, own.weight)
    np.testing.assert_allclose(np.linalg.norm(tau_normalise(own, 1).weight, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(tau_normalise(own, 0.3).weight, own.weight / norms[:, None] ** 0.3, rtol=1e-5)
    assert not tau_normalise(own, 0.3).bias.any()
    assert tau_normalise(own, 0.3).weight.dtype == np.float32


def test_weights_of_zeros_stay_zeros():
    own = make_classifier()
    own.weight[1] = 0
    assert not tau_normalise(own, 1.5).weight[1].any()


def test_the_tau_with_the_best_mean_of_class_accuracies_is_chosen():
    validation, own = make_group((200, 90, 40, 9, 3), seed=1), make_classifier(4)
    values = [1.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.25]

    def accuracy(tau):
        return balanced_accuracy_score(
            validation.labels, tau_normalise(own, tau).scores(validation.features).argmax(axis=1)
        )

    accuracies = {tau: accuracy(tau) for tau in values}
    assert len(set(accuracies.values())) > 3
    best = max(accuracies.values())
    assert choose_tau(own, validation, values) == min(tau for tau in values if accuracies[tau] == best)


def test_classes_that_validation_lacks_do_not_count_and_the_smallest_of_equal_taus_is_taken():
    weight = np.eye(CLASSES, FEATURES, dtype=np.float32)
    own = LinearClassifier(weight, np.zeros(CLASSES, np.float32))  # of one norm: every tau is alike
    validation = make_group((30, 0, 20, 0, 10))
    assert choose_tau(own, validation, (1.0, 0.5, 1.5)) == 0.5


def test_the_nearest_mean_is_scikit_learns():
    group, others = make_group(spread=2.0), make_group(seed=1, spread=2.0)
    found = nearest_class_mean(group, CLASSES, "euclidean")
    reference = NearestCentroid().fit(group.features, group.labels)
    np.testing.assert_array_equal(found.scores(others.features).argmax(axis=1), reference.predict(others.features))


def test_the_mean_with_the_largest_cosine_wins():
    group, others = make_group(spread=2.0), make_group(seed=1, spread=2.0)
    found = nearest_class_mean(group, CLASSES, "cosine")
    means = np.stack([group.features[group.labels == label].mean(axis=0) for label in range(CLASSES)])
    expected = cosine_similarity(others.features, means).argmax(axis=1)
    np.testing.assert_array_equal(found.scores(others.features).argmax(axis=1), expected)
    assert not found.bias.any()


def test_a_class_without_images_has_no_mean():
    with pytest.raises(DataError, match="Class 3 has no training image"):
        nearest_class_mean(make_group((5, 5, 5, 0, 5)), CLASSES, "cosine")


def test_a_stored_classifier_comes_back_and_can_be_worked_on(tmp_path):
    own = make_classifier()
    turned = LinearClassifier(np.asfortranarray(own.weight), own.bias)
    save_classifier(turned, tmp_path / "folder/own.safetensors")
    found = load_classifier(tmp_path / "folder/own.safetensors")
    assert same(found, own)
    assert same(rescale(found, make_group(), LWS, 0), rescale(own, make_group(), LWS, 0))


def test_damaged_files_of_classifiers_are_refused(tmp_path):
    path = tmp_path / "own.safetensors"
    with pytest.raises(CheckpointError, match="missing"):
        load_classifier(path)
    save_classifier(make_classifier(), path)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(CheckpointError, match="no whole classifier"):
        load_classifier(path)
    for arrays in (
        {"weight": np.zeros((3, 2), np.float32)},
        {"weight": np.zeros((3, 2), np.float32), "bias": np.zeros(2, np.float32)},
        {"weight": np.zeros(3, np.float32), "bias": np.zeros(3, np.float32)},
    ):
        save_file(arrays, path)
        with pytest.raises(CheckpointError, match="no whole classifier"):
            load_classifier(path)


def test_every_kind_gives_its_classifier():
    own, train, validation = make_classifier(), make_group(), make_group(seed=1)

    def fit(kind, **options):
        return fit_classifier(settings(kind, **options), own, train, validation, 3)

    assert fit("own") is own
    assert same(fit("crt", **TRAINING), retrain(train, CLASSES, CRT, 3))
    assert same(fit("lws", **TRAINING), rescale(own, train, LWS, 3))
    assert same(fit("ncm", metric="euclidean"), nearest_class_mean(train, CLASSES, "euclidean"))
    values = (0.0, 0.5, 1.0)
    assert same(fit("tau", values=values), tau_normalise(own, choose_tau(own, validation, values)))


def test_several_taus_need_validation_and_one_does_not():
    own, train = make_classifier(), make_group()
    with pytest.raises(ParameterError, match=r"values=\[0.5, 1.0\].*give a single value, or prepare .* validation"):
        fit_classifier(settings("tau", values=[0.5, 1.0]), own, train, None, 0)
    found = fit_classifier(settings("tau", values=[0.5]), own, train, None, 0)
    assert same(found, tau_normalise(own, 0.5))


def test_experts_are_averaged_from_their_own_columns():
    owns, train = [make_classifier(0, 4), make_classifier(1, 2)], make_group()
    blocks = [FeatureGroup(train.features[:, :4], train.labels), FeatureGroup(train.features[:, 4:], train.labels)]
    plain = settings("multi_expert", of="own", crt=None)
    assert same(average_experts(owns, train, plain, 3), combined(owns))
    retrained = settings("multi_expert", of="crt", crt=CRT)
    expected = [retrain(block, CLASSES, CRT, derived_seed(3, number)) for number, block in enumerate(blocks)]
    assert same(average_experts(owns, train, retrained, 3), combined(expected))


def test_experts_that_do_not_fit_are_refused():
    plain = settings("multi_expert", of="own", crt=None)
    with pytest.raises(DataError, match=r"take \[6, 6\] features, but an image has 6"):
        average_experts([make_classifier(), make_classifier()], make_group(), plain, 0)
    with pytest.raises(ParameterError, match="several backbones"):
        fit_classifier(plain, make_classifier(), make_group(), None, 0)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("ldam", {}),
        ("own", {"epochs": 3}),
        ("crt", {**TRAINING, "momentum": 1.0}),
        ("lws", {}),
        ("tau", {"values": []}),
        ("tau", {"values": [-0.1]}),
        ("ncm", {"metric": "manhattan"}),
        ("multi_expert", {"of": "crt", "crt": None}),
        ("multi_expert", {"of": "own", "crt": CRT}),
    ],
)
def test_settings_that_cannot_be_are_refused(kind, options):
    with pytest.raises(ValidationError):
        settings(kind, **options)
