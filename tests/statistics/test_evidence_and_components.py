import numpy as np
import pytest

from vision_studies.errors import DataError
from vision_studies.statistics.components import variance_components
from vision_studies.statistics.evidence import Evidence

LABELS = np.array([0, 1, 2, 0])
PREDICTED = np.array([[0, 1, 2, 1], [0, 2, 2, 0]])


def evidence(**changed):
    parts = {
        "name": "plain",
        "seeds": np.array([3, 1]),
        "images": np.array([2, 5, 6, 9]),
        "labels": LABELS,
        "correct": PREDICTED == LABELS,
        "predicted": PREDICTED,
        "probabilities": None,
        "values": np.array([0.75, 0.75]),
        "validation": np.array([0.5, np.nan]),
    }
    return Evidence(**(parts | changed))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"labels": LABELS[:3]}, r"`labels` has the shape \(3,\), and 2 seeds and 4 images need \(4,\)"),
        ({"correct": PREDICTED[:1] == LABELS}, r"`correct` has the shape \(1, 4\), and 2 seeds and 4 images need"),
        ({"validation": np.zeros(3)}, "`validation` has the shape"),
        (
            {"probabilities": np.zeros((2, 3, 3))},
            r"`probabilities` has the shape \(2, 3, 3\), .* need \(2, 4, classes\)",
        ),
        ({"probabilities": np.zeros((2, 4, 2))}, "a label is none of the classes"),
        ({"labels": LABELS - 1, "predicted": PREDICTED - 1}, "a label is none of the classes"),
        ({"seeds": np.array([1, 1])}, "a seed occurs twice"),
        ({"images": np.array([2, 5, 5, 9])}, "`images` must be ascending positions, each once"),
        ({"images": np.array([5, 2, 6, 9])}, "`images` must be ascending positions, each once"),
        ({"correct": (PREDICTED == LABELS).astype(int)}, "`correct` must be bool, and is int64"),
        ({"predicted": PREDICTED[::-1]}, "`correct` says other than `predicted` and `labels`"),
        ({"values": np.array([0.75, 0.8])}, "`values` must be the mean of `correct` of each seed"),
    ],
)
def test_parts_that_do_not_fit_are_named(changed, message):
    with pytest.raises(DataError, match=rf"^Evidence of variant 'plain': .*{message}"):
        evidence(**changed)


def test_evidence_without_a_seed_is_none():
    with pytest.raises(DataError, match="it has no seed"):
        Evidence.of_seeds("plain", [], [])


def test_what_is_not_given_follows_from_what_is():
    probabilities = np.eye(3, dtype=np.float32)[PREDICTED]
    own = Evidence.of_images("plain", [3, 1], evidence().images, LABELS, probabilities=probabilities)
    assert np.array_equal(own.correct, evidence().correct)
    assert np.array_equal(own.predicted, PREDICTED)
    assert own.values.tolist() == [0.75, 0.75]
    assert (own.classes, evidence().classes) == (3, 3)
    assert np.isnan(own.validation).all()
    with pytest.raises(DataError, match="it needs `correct`, `predicted` or `probabilities`, and has none"):
        Evidence.of_images("plain", [3, 1], evidence().images, LABELS)


def test_accuracies_alone_are_evidence_without_images():
    own = Evidence.of_seeds("plain", [0, 1], [0.5, np.nan], validation=[0.6, 0.7])
    assert (len(own.images), own.correct.shape, own.classes) == (0, (2, 0), 0)


def test_components_are_those_that_were_drawn():
    random = np.random.default_rng(0)
    probability = 0.5 + 0.1 * random.choice([-1, 1], size=(200, 1)) + 0.2 * random.choice([-1, 1], size=400)
    correct = random.random((200, 400)) < probability
    [own] = variance_components(
        [Evidence.of_images("plain", np.arange(200), np.arange(400), np.zeros(400, int), correct=correct)]
    ).to_dict("records")
    # p (1 - p) = 0.25 is what the three sum to
    expected = {"seed": 0.1, "image": 0.2, "rest": np.sqrt(0.25 - 0.1**2 - 0.2**2)}
    assert {name: own[name] for name in expected} == pytest.approx(expected, rel=0.05)
    assert own["seed_share"] + own["image_share"] + own["rest_share"] == pytest.approx(1)


def test_components_that_cannot_be_told_are_missing():
    images = np.arange(4)
    one_seed = Evidence.of_images("one", [0], images, LABELS, predicted=PREDICTED[:1])
    found = variance_components([one_seed, Evidence.of_seeds("bare", [0, 1], [0.5, 0.7])]).set_index("variant")
    assert found.loc["one", ["seed", "rest", "seed_share"]].isna().all()
    assert found.loc["one", "image_share"] == 1
    assert found.loc["bare", "seed"] == pytest.approx(np.std([0.5, 0.7], ddof=1))
    assert found.loc["bare", ["image", "rest", "images"]].isna().tolist() == [True, True, False]
