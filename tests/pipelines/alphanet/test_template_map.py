import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import pdist
from sklearn.decomposition import PCA

from vision_studies.errors import DataError
from vision_studies.pipelines.alphanet.template_map import template_map

NEIGHBOURS = [4, 2]


def world(classes=10, dimensions=16, images=40, seed=0):
    generator = np.random.default_rng(seed)
    before = generator.normal(size=(classes, dimensions))
    after = before.copy()
    after[1] = before[1] + 0.6 * before[4] - 0.4 * before[2]
    features = before[1] + generator.normal(size=(images, dimensions))
    return before, after, features, (features @ before.T).argmax(1), (features @ after.T).argmax(1)


def mapped(*, label=1, neighbours=NEIGHBOURS, seed=0, **options):
    before, after, features, predicted, predicted_after = world()
    return template_map(before, after, label, neighbours, features, predicted, predicted_after, seed=seed, **options)


def test_every_point_stands_in_both_panels():
    found = mapped()
    assert list(found.columns) == ["x", "y", "kind", "panel", "position", "group"]
    for _, own in found.groupby("panel"):
        assert own["kind"].value_counts().to_dict() == {"feature": 40, "neighbour": 2, "classifier": 1}
        assert own.loc[own["kind"] == "neighbour", ["position", "group"]].to_numpy().tolist() == [
            [1, "neighbour 1"],
            [2, "neighbour 2"],
        ]
    assert np.isfinite(found[["x", "y"]].to_numpy()).all()


def test_colours_are_the_predictions():
    _, _, _, predicted, predicted_after = world()
    found = mapped()
    names = {1: "correct", 4: "neighbour 1", 2: "neighbour 2"}
    for panel, predictions in (("before", predicted), ("after", predicted_after)):
        own = found[(found["panel"] == panel) & (found["kind"] == "feature")]
        assert own["group"].tolist() == [names.get(prediction, "other") for prediction in predictions]


def test_only_the_classifier_moves():
    found = mapped()
    before, after = (found[found["panel"] == panel].reset_index() for panel in ("before", "after"))
    moved = (before[["x", "y"]] != after[["x", "y"]]).any(axis=1)
    assert moved[moved].index.tolist() == [0]
    assert before.loc[0, "kind"] == "classifier"


def test_a_class_that_does_not_change_stays_where_it_is():
    before, _, features, predicted, _ = world()
    found = template_map(before, before, 1, NEIGHBOURS, features, predicted, predicted, seed=0)
    places = found.loc[found["kind"] == "classifier", ["x", "y"]].to_numpy()
    np.testing.assert_allclose(places[0], places[1], atol=0.05 * np.ptp(found[["x", "y"]].to_numpy()))


def test_distances_of_a_plane_are_kept():
    """With two components there is nothing to lose, so that the map has the distances of the projected points."""
    before, after, features, predicted, predicted_after = world()
    found = template_map(
        before, after, 1, NEIGHBOURS, features, predicted, predicted_after, components=2, samples=200, seed=0
    )
    norm = np.linalg.norm(before, axis=1).mean()
    scaled = before / norm
    projection = PCA(2).fit((scaled - scaled.mean(0)) / scaled.std(0))
    points = np.concatenate([before[[1]], before[NEIGHBOURS]]) / norm
    points = np.concatenate([points, features / np.linalg.norm(features, axis=1).mean()])
    expected = pdist(projection.transform((points - scaled.mean(0)) / scaled.std(0)))
    own = found[found["panel"] == "before"]
    np.testing.assert_allclose(pdist(own[["x", "y"]].to_numpy()), expected, atol=0.02 * expected.max())


def test_the_scale_of_features_does_not_matter():
    before, after, features, predicted, predicted_after = world()
    first, second = (
        template_map(before, after, 1, NEIGHBOURS, scale * features, predicted, predicted_after, seed=0)
        for scale in (1, 50)
    )
    np.testing.assert_allclose(
        pdist(first[["x", "y"]].to_numpy()), pdist(second[["x", "y"]].to_numpy()), rtol=1e-4, atol=1e-4
    )


def test_a_seed_gives_one_map_and_draws_the_sample():
    pd.testing.assert_frame_equal(mapped(), mapped())
    first, again, other = mapped(samples=7, seed=3), mapped(samples=7, seed=3), mapped(samples=7, seed=4)
    assert (first["kind"] == "feature").sum() == 2 * 7
    pd.testing.assert_frame_equal(first, again)
    assert not np.allclose(first[["x", "y"]], other[["x", "y"]])


def test_few_classes_and_features_limit_the_components():
    generator = np.random.default_rng(0)
    before = generator.normal(size=(3, 2))
    features = np.abs(generator.normal(size=(5, 2)))
    predicted = np.array([0, 1, 2, 0, 0])
    found = template_map(before, before + 0.1, 0, [1, 2], features, predicted, predicted, seed=0)
    assert len(found) == 2 * (1 + 2 + 5)
    none = template_map(before, before + 0.1, 0, [1], features[:0], predicted[:0], predicted[:0], seed=0)
    assert none["kind"].tolist() == ["classifier", "neighbour"] * 2


def test_features_that_are_all_zero_still_have_a_place():
    before, after, features, predicted, predicted_after = world()
    found = template_map(before, after, 1, NEIGHBOURS, 0 * features, predicted, predicted_after, seed=0)
    assert np.isfinite(found[["x", "y"]].to_numpy()).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda parts: parts | {"weight_after": parts["weight_after"][:-1]}, "both classifiers the same classes"),
        (lambda parts: parts | {"features": parts["features"][:, :-1]}, "one number of dimensions"),
        (lambda parts: parts | {"after_predictions": parts["after_predictions"][1:]}, "40 features need as many"),
        (lambda parts: parts | {"features": parts["features"] * np.nan}, "not finite"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, message):
    names = ("weight_before", "weight_after", "features", "before_predictions", "after_predictions")
    parts = change(dict(zip(names, world(), strict=True)))
    with pytest.raises(DataError, match=message):
        template_map(**parts, label=1, neighbours=NEIGHBOURS, seed=0)
