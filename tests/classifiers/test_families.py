import numpy as np
import pytest
import torch
import yaml
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from tests.conftest import ROOT

from vision_studies.classifiers import perceptron
from vision_studies.classifiers.registry import FAMILIES, fitted_from
from vision_studies.errors import CheckpointError, DataError

CLASSES = 4
SETTINGS = yaml.safe_load((ROOT / "conf/base/parameters_choose.yml").read_text())["choose"]
LONG_TAIL = SETTINGS["long_tail_families"]
WIDE, NARROW = 200, 12


def drawn(width: int, images: int = 80, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features of unlike scale that are correlated, and labels of uneven classes."""
    random = np.random.default_rng(seed)
    y = np.sort(random.choice(CLASSES, images, p=[0.4, 0.3, 0.2, 0.1]))
    hidden = np.eye(CLASSES)[y] * 2 + random.normal(size=(images, CLASSES))
    x = hidden @ random.normal(size=(CLASSES, width)) + random.normal(size=(images, width))
    return (x * random.uniform(0.1, 10, width) + 5).astype(np.float32), y


def parts(y: np.ndarray, folds: int = 4) -> np.ndarray:
    """Training parts bool [F, N]."""
    return (np.arange(len(y)) % folds)[None] != np.arange(folds)[:, None]


@pytest.fixture(scope="module", params=[NARROW, WIDE], ids=["more images", "more features"])
def features(request):
    x, y = drawn(request.param)
    return x, y, parts(y)


def logistic(**others):
    return lambda one: LogisticRegression(C=one["C"], tol=1e-8, max_iter=10_000, **others)


@pytest.mark.parametrize("name", ["perceptron", "crt"])
def test_gradient_steps_learn_what_can_be_learnt(name, features):
    x, y, train = features
    found = FAMILIES[name].fold_probabilities(x, y, train, CLASSES)
    best = FAMILIES["lda"].fold_probabilities(x, y, train, CLASSES)
    accuracies, reached = ((said.argmax(axis=3) == y)[:, ~train].mean(axis=1).max() for said in (found, best))
    assert accuracies > reached - 0.06


def test_adjusted_logits_are_those_of_logistic_regression_less_the_priors(features):
    x, y, train = features
    plain = FAMILIES["logistic"].fold_probabilities(x, y, train, CLASSES, [{"C": 1e-2}])[0]
    adjusted = FAMILIES["logit_adjusted"].fold_probabilities(x, y, train, CLASSES, [{"C": 1e-2, "tau": 1.0}])[0]
    for mask, before, after in zip(train, plain, adjusted, strict=True):
        expected = before / np.bincount(y[mask], minlength=CLASSES)
        np.testing.assert_allclose(after, expected / expected.sum(axis=1, keepdims=True), atol=1e-4)


def test_the_adjusted_loss_is_least_where_its_gradient_is_nought(features):
    """The stationary point of Menon's loss with a penalty, written out."""
    x, y, _ = features
    fitted = FAMILIES["logit_adjusted_loss"].fit(x, y, {"C": 1e-2}, CLASSES)
    standard = (x - x.mean(axis=0)) / x.std(axis=0)
    counts = np.bincount(y, minlength=CLASSES)
    learning = fitted.probabilities(x) * counts
    learning /= learning.sum(axis=1, keepdims=True)
    residuals = learning - np.eye(CLASSES)[y]
    gradient = standard.T @ residuals + (fitted.weight * x.std(axis=0)).T / 1e-2
    assert np.abs(gradient).max() < 1e-3 * len(y)
    assert np.abs(residuals.sum(axis=0)).max() < 1e-3 * len(y)


def test_tau_normalisation_makes_weights_of_equal_length_and_tau_0_leaves_them(features):
    x, y, _ = features
    fitted = [FAMILIES["tau_normalised"].fit(x, y, {"C": 1e-2, "tau": tau}, CLASSES) for tau in (0.0, 0.5, 1.0)]
    lengths = [np.linalg.norm(one.weight * x.std(axis=0), axis=1) for one in fitted]
    plain = FAMILIES["logistic"].fit(x, y, {"C": 1e-2}, CLASSES)
    np.testing.assert_allclose(fitted[0].weight, plain.weight, rtol=1e-4)
    np.testing.assert_allclose(lengths[2], lengths[0].mean(), rtol=1e-4)
    assert np.ptp(lengths[2]) < np.ptp(lengths[1]) < np.ptp(lengths[0])


@pytest.mark.parametrize("name", LONG_TAIL)
def test_rare_classes_gain_from_what_is_made_for_long_tails(name):
    x, y = drawn(NARROW, images=200, seed=3)
    train = parts(y)
    plain = FAMILIES["logistic"].fold_probabilities(x, y, train, CLASSES, [{"C": 1e-2}])
    said = FAMILIES[name].fold_probabilities(x, y, train, CLASSES)
    rare = y == CLASSES - 1

    def recall(probabilities):
        return ((probabilities.argmax(axis=3) == y) & rare)[:, ~train].sum(axis=1) / rare.sum()

    assert recall(said).max() > recall(plain).max()


def discriminant(one):
    return LinearDiscriminantAnalysis(solver="eigen", shrinkage=one["shrinkage"])


REFERENCES = {
    "logistic": (logistic(), [{"C": value} for value in (1e-4, 1e-2, 1.0)]),
    "balanced_logistic": (logistic(class_weight="balanced"), [{"C": value} for value in (1e-4, 1e-2, 1.0)]),
    "lda": (discriminant, [{"shrinkage": value} for value in (1.0, 0.5, 0.05)]),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_probabilities_are_those_of_scikit_learn(name, features):
    x, y, train = features
    reference, grid = REFERENCES[name]
    found = FAMILIES[name].fold_probabilities(x, y, train, CLASSES, grid)
    assert found.shape == (len(grid), len(train), len(y), CLASSES)
    assert found.dtype == np.float32
    for one, of_folds in zip(grid, found, strict=True):
        for mask, probabilities in zip(train, of_folds, strict=True):
            model = make_pipeline(StandardScaler(), reference(one)).fit(x[mask].astype(float), y[mask])
            np.testing.assert_allclose(probabilities, model.predict_proba(x.astype(float)), atol=1e-3)


@pytest.mark.parametrize("penalty", [10.0, 300.0])
def test_ridge_predicts_what_scikit_learn_does(penalty, features):
    x, y, train = features
    found = FAMILIES["ridge"].fold_probabilities(x, y, train, CLASSES, [{"alpha": penalty}])[0]
    for mask, probabilities in zip(train, found, strict=True):
        model = make_pipeline(StandardScaler(), RidgeClassifier(alpha=penalty)).fit(x[mask], y[mask])
        scores = model.decision_function(x)
        # Both are linear in the same scores: logits differ by one factor.
        logits = np.log(np.maximum(probabilities, 1e-30))
        gaps, theirs = (values - values[:, :1] for values in (logits, scores))
        sure = np.abs(gaps).max(axis=1) < 15
        factor = (gaps[sure] * theirs[sure]).sum() / np.square(theirs[sure]).sum()
        np.testing.assert_allclose(gaps[sure], factor * theirs[sure], atol=0.02 * factor)


def test_the_nearest_mean_is_that_of_scikit_learn(features):
    x, y, train = features
    found = FAMILIES["nearest_class_mean"].fold_probabilities(x, y, train, CLASSES)[0]
    for mask, probabilities in zip(train, found, strict=True):
        model = make_pipeline(StandardScaler(), NearestCentroid()).fit(x[mask], y[mask])
        assert (probabilities.argmax(axis=1) == model.predict(x)).all()


def test_neighbours_are_those_of_scikit_learn(features):
    x, y, train = features
    numbers = [1, 3, 10, 50]
    found = FAMILIES["nearest_neighbours"].fold_probabilities(x, y, train, CLASSES, [{"k": k} for k in numbers])
    for k, of_folds in zip(numbers, found, strict=True):
        for mask, probabilities in zip(train, of_folds, strict=True):
            model = make_pipeline(Normalizer(), KNeighborsClassifier(k, weights="distance", algorithm="brute"))
            theirs = model.fit(x[mask], y[mask]).predict_proba(x[~mask])
            np.testing.assert_allclose(probabilities[~mask], (theirs * k + 1 / CLASSES) / (k + 1), atol=1e-3)


def test_the_automatic_shrinkage_is_ledoit_and_wolfs(features):
    x, y, _ = features
    standard = StandardScaler().fit_transform(x.astype(float))
    about = standard - np.stack([standard[y == label].mean(axis=0) for label in range(CLASSES)])[y]
    shrinkage = ledoit_wolf_shrinkage(about, assume_centered=True)
    train = np.ones((1, len(y)), dtype=bool)
    grid = [{"shrinkage": "automatic"}, {"shrinkage": shrinkage}]
    automatic, told = FAMILIES["lda"].fold_probabilities(x, y, train, CLASSES, grid)
    np.testing.assert_allclose(automatic, told, atol=1e-4)


def test_the_majority_is_as_probable_as_it_is_frequent():
    x, y = drawn(NARROW)
    train = parts(y)
    found = FAMILIES["majority"].fold_probabilities(x, y, train, CLASSES)[0]
    shares = np.stack([np.bincount(y[mask], minlength=CLASSES) / mask.sum() for mask in train])
    np.testing.assert_allclose(found, np.broadcast_to(shares[:, None], found.shape), rtol=1e-5)


@pytest.mark.parametrize("name", FAMILIES)
class TestEveryFamily:
    @pytest.fixture(autouse=True)
    def few_steps(self, monkeypatch):
        monkeypatch.setattr(perceptron, "_LEAST_STEPS", 30)
        monkeypatch.setattr(perceptron, "_EPOCHS", 10)

    def test_has_a_grid_for_any_data(self, name):
        for n, d, c in ((4, 3, 2), (300, 1280, 10), (20_000, 2560, 100)):
            grid = FAMILIES[name].grid(n, d, c)
            assert grid
            assert len({tuple(one.items()) for one in grid}) == len(grid)

    def test_a_fold_is_what_it_is_alone(self, name, features):
        x, y, train = features
        family = FAMILIES[name]
        grid = family.grid(int(train[0].sum()), x.shape[1], CLASSES)
        found = family.fold_probabilities(x, y, train, CLASSES)
        assert found.shape == (len(grid), len(train), len(y), CLASSES)
        np.testing.assert_allclose(found.sum(axis=3), 1, atol=1e-5)
        one = len(grid) // 2
        alone = family.fold_probabilities(x, y, train[1:2], CLASSES, [grid[one]])
        np.testing.assert_allclose(alone[0, 0], found[one, 1], atol=2e-3)

    def test_what_is_fitted_is_a_fold_that_leaves_nothing_out(self, name, features):
        x, y, train = features
        family = FAMILIES[name]
        everything = np.ones((1, len(y)), dtype=bool)
        grid = family.grid(*x.shape, CLASSES)
        found = family.fold_probabilities(x, y, everything, CLASSES)
        for place in (0, len(grid) - 1):
            fitted = family.fit(x, y, grid[place], CLASSES)
            np.testing.assert_allclose(fitted.probabilities(x), found[place, 0], atol=2e-3)
        if name not in STREAMED:  # the order of steps depends on how many images there are
            part = family.fit(x[train[1]], y[train[1]], grid[-1], CLASSES).probabilities(x)
            of_fold = family.fold_probabilities(x, y, train[1:2], CLASSES, grid[-1:])
            np.testing.assert_allclose(part[~train[1]], of_fold[0, 0, ~train[1]], atol=2e-3)

    def test_what_is_left_out_changes_nothing(self, name, features):
        x, y, train = features
        changed, others = x.copy(), y.copy()
        changed[~train[0]] *= 3
        others[~train[0]] = 0
        family = FAMILIES[name]
        before = family.fold_probabilities(x, y, train[:1], CLASSES)[:, :, train[0]]
        after = family.fold_probabilities(changed, others, train[:1], CLASSES)[:, :, train[0]]
        np.testing.assert_allclose(before, after, atol=2e-3)

    def test_is_the_same_as_a_module_and_from_its_arrays(self, name, features):
        x, y, _ = features
        family = FAMILIES[name]
        fitted = family.fit(x, y, family.grid(*x.shape, CLASSES)[-1], CLASSES)
        logits = fitted.module()(torch.from_numpy(x))
        np.testing.assert_allclose(logits.softmax(dim=1).numpy(), fitted.probabilities(x), atol=1e-5)
        assert (fitted_from(fitted.tensors()).probabilities(x) == fitted.probabilities(x)).all()

    @pytest.mark.parametrize("features", [NARROW], indirect=True)
    def test_a_class_that_a_fold_has_not_seen_is_impossible(self, name, features):
        x, y, train = features
        train = train.copy()
        train[0, y == 2] = False
        found = FAMILIES[name].fold_probabilities(x, y, train, CLASSES)
        assert np.isfinite(found).all()
        assert (found[:, 0, :, 2] == 0).all()
        assert (found[:, 1, :, 2] > 0).any()

    @pytest.mark.parametrize("width", [NARROW, WIDE])
    def test_constant_features_tell_nothing(self, name, width):
        x, y = drawn(width)
        train = parts(y)
        family = FAMILIES[name]
        plain = family.fold_probabilities(x - 5, y, train, CLASSES)
        # One feature never changes, another changes in what the first fold leaves out alone.
        nearly = np.where(np.arange(len(y)) == 0, 7.0, 0.0)[:, None].astype(np.float32)
        with_constants = np.concatenate([x - 5, np.zeros_like(nearly), nearly], axis=1)
        found = family.fold_probabilities(with_constants, y, train, CLASSES)
        assert np.isfinite(found).all()
        if name not in WIDTH_COUNTS:
            np.testing.assert_allclose(found[:, 0, 1:], plain[:, 0, 1:], atol=2e-3)
        all_constant = family.fold_probabilities(np.ones_like(x), y, train, CLASSES)
        assert np.isfinite(all_constant).all()

    def test_one_image_of_each_class_is_enough(self, name):
        x, y = np.array([[0.0, 1.0], [1.0, 0.0]], dtype=np.float32), np.array([0, 1])
        found = FAMILIES[name].fold_probabilities(x, y, np.ones((1, 2), dtype=bool), 2)
        assert np.isfinite(found).all()

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda x, y, train: (np.where(x == x[3, 0], np.nan, x), y, train, CLASSES), "image 3 are not finite"),
            (lambda x, y, train: (np.where(x == x[5, 1], np.inf, x), y, train, CLASSES), "image 5 are not finite"),
            (lambda x, y, train: (x, np.zeros_like(y), train, 1), "There is 1 class"),
            (lambda x, y, train: (x, y, train & (np.arange(len(train)) != 2)[:, None], CLASSES), "Fold 2 has no image"),
            (lambda x, y, train: (x, y, train, 3), "Labels go from 0 to 3"),
            (lambda x, y, train: (x, y[:-1], train, CLASSES), "do not fit together"),
        ],
    )
    def test_says_in_a_sentence_what_it_cannot_learn_from(self, name, change, said):
        x, y = drawn(NARROW)
        with pytest.raises(DataError, match=said):
            FAMILIES[name].fold_probabilities(*change(x, y, parts(y)))


WIDTH_COUNTS = {"lda", "nearest_neighbours", "perceptron"}
"""Families to which a constant feature tells something: the level that covariances are shrunk to, and first weights."""

STREAMED = {"perceptron", "crt"}


def test_arrays_of_nothing_known_are_refused():
    with pytest.raises(CheckpointError, match="no classifier's"):
        fitted_from({"a": np.zeros(1)})


def test_a_matrix_that_float32_cannot_factor_is_solved_all_the_same():
    from vision_studies.classifiers.closed_form import _positive_solve

    rows = torch.linspace(0, 1, 8)[:, None] ** torch.arange(12)[None]
    matrix = (rows.T @ rows).double().float()
    right = torch.ones(12, 2)
    exact = np.linalg.pinv(matrix.double().numpy() + 1e-9 * np.eye(12), rcond=1e-15) @ right.numpy()
    found = _positive_solve(matrix.clone(), 1e-9, right).numpy()
    residual = matrix.double().numpy() @ found - right.numpy()
    assert np.isfinite(found).all()
    assert np.abs(residual).max() <= np.abs(matrix.double().numpy() @ exact - right.numpy()).max() + 0.5
