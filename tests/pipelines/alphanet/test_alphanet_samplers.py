import numpy as np
import pytest

from vision_studies.data.class_splits import ClassSplits
from vision_studies.errors import DataError, ParameterError
from vision_studies.pipelines.alphanet.settings import SamplerSettings
from vision_studies.pipelines.alphanet.work.neighbours import few_neighbours, nearest
from vision_studies.pipelines.alphanet.work.samplers import ClassIndex, draw_epoch, epoch_length

COUNTS = np.array([40, 5, 30, 7, 100, 12, 60])
SPLITS = ClassSplits(np.array([1, 3]), np.array([2, 5]), np.array([0, 4, 6]))
FEW_IMAGES = 12
OF_SPLIT = {"few": {1, 3}, "medium": {2, 5}, "many": {0, 4, 6}, "base": {0, 2, 4, 5, 6}}


@pytest.fixture(scope="module")
def index():
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(7), COUNTS))
    return ClassIndex(labels, SPLITS)


def draw(name, ratio, index, seed=0):
    sampler = SamplerSettings(name=name, ratio=ratio)
    drawn = draw_epoch([sampler], index, np.random.default_rng(seed))
    length = epoch_length([sampler], index)
    assert length is None or length == len(drawn)
    return drawn


@pytest.mark.parametrize("split", ["few", "medium", "many", "base"])
def test_all_gives_every_image_of_the_split_once(split, index):
    drawn = draw(f"all_{split}", None, index)
    assert sorted(drawn) == np.flatnonzero(np.isin(index.labels, list(OF_SPLIT[split]))).tolist()


@pytest.mark.parametrize("split", ["medium", "many", "base"])
def test_uniform_images_are_all_as_likely(split, index):
    drawn = draw(f"uniform_{split}_image", 2000.5, index)
    assert len(drawn) == int(2000.5 * FEW_IMAGES)
    classes = sorted(OF_SPLIT[split])
    share = np.bincount(index.labels[drawn], minlength=7)[classes] / len(drawn)
    assert np.abs(share - COUNTS[classes] / COUNTS[classes].sum()).max() < 0.02
    assert set(index.labels[drawn]) == OF_SPLIT[split]


@pytest.mark.parametrize("split", ["medium", "many", "base"])
def test_class_balanced_images_are_of_all_classes_alike(split, index):
    drawn = draw(f"class_balanced_{split}", 2000.0, index)
    assert len(drawn) == 2000 * FEW_IMAGES
    classes = sorted(OF_SPLIT[split])
    share = np.bincount(index.labels[drawn], minlength=7)[classes] / len(drawn)
    assert np.abs(share - 1 / len(classes)).max() < 0.02
    within = np.bincount(drawn[index.labels[drawn] == classes[0]], minlength=len(index.labels))
    within = within[index.labels == classes[0]]
    assert within.min() > 0.5 * within.mean()
    assert within.max() < 1.5 * within.mean()


@pytest.mark.parametrize("split", ["medium", "many", "base"])
def test_uniform_classes_are_as_large_as_few_ones(split, index):
    seen = set()
    for seed in range(40):
        drawn = draw(f"uniform_{split}_class", 1.0, index, seed)
        assert len(set(drawn)) == len(drawn), "an image is drawn twice"
        sizes = np.bincount(index.labels[drawn], minlength=7)
        assert sorted(sizes[sizes > 0]) == [5, 7]
        seen |= set(index.labels[drawn])
    assert seen == OF_SPLIT[split]
    assert len(set(index.labels[draw(f"uniform_{split}_class", 0.5, index)])) == 1
    assert len(draw(f"uniform_{split}_class", 0.2, index)) == 0


def test_a_small_class_gives_what_it_has():
    splits = ClassSplits(np.array([0]), np.array([], dtype=np.int64), np.array([1]))
    index = ClassIndex(np.array([0] * 9 + [1] * 3), splits)
    assert sorted(draw("uniform_base_class", 1.0, index)) == [9, 10, 11]


def test_the_same_seed_draws_the_same_and_samplers_stand_side_by_side(index):
    samplers = [SamplerSettings(name="all_few", ratio=None), SamplerSettings(name="class_balanced_base", ratio=0.5)]
    first, again, other = (draw_epoch(samplers, index, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len(first) == FEW_IMAGES + 6 == epoch_length(samplers, index)
    assert set(index.labels[first[:FEW_IMAGES]]) == {1, 3}
    assert not set(index.labels[first[FEW_IMAGES:]]) & {1, 3}


def test_what_cannot_be_drawn_is_told(index):
    splits = ClassSplits(np.array([0, 1, 2]), np.array([], dtype=np.int64), np.array([3]))
    small = ClassIndex(np.array([0, 1, 2, 3, 3]), splits)
    with pytest.raises(DataError, match="medium classes, of which there is none"):
        draw("class_balanced_medium", 1.0, small)
    with pytest.raises(ParameterError, match="3 classes are drawn from the 1 base classes"):
        draw("uniform_base_class", 1.0, small)


@pytest.mark.parametrize(
    ("name", "ratio", "said"),
    [
        ("all_few", 1.0, "no ratio"),
        ("class_balanced_base", None, "takes a ratio"),
        ("uniform_base_image", 0.0, "above 0"),
        ("uniform_many_class", 1.5, "1 at most"),
        ("uniform_few_image", 1.0, "name"),
    ],
)
def test_wrong_samplers_are_told(name, ratio, said):
    with pytest.raises(ValueError, match=said):
        SamplerSettings(name=name, ratio=ratio)


def test_neighbours_are_base_classes_by_increasing_distance():
    means = np.array([[0, 0], [1, 0], [0, 2], [5, 5], [-1, 0], [0, -2.0]])
    splits = ClassSplits(np.array([0, 3]), np.array([1, 2]), np.array([4, 5]))
    found = few_neighbours(means, splits, 3, "euclidean")
    assert found.labels[0].tolist() == [1, 4, 2]  # of equal distances the lower label comes first
    assert found.distances[0].tolist() == [1, 1, 2]
    for row, label in enumerate(splits.few):
        distances = np.linalg.norm(means[splits.base] - means[label], axis=1)
        assert found.labels[row].tolist() == splits.base[np.argsort(distances, kind="stable")[:3]].tolist()
    angle = few_neighbours(
        np.array([[1, 0.1], [10, 0], [0, 1], [1, 1.0]]), ClassSplits(*map(np.array, ([0], [1], [2, 3]))), 2, "cosine"
    )
    assert angle.labels.tolist() == [[1, 3]]
    assert angle.distances[0, 0] == pytest.approx(1 - 1 / np.hypot(1, 0.1))


def test_random_neighbours_are_drawn_by_every_seed():
    splits = ClassSplits(np.arange(4), np.arange(4, 9), np.arange(9, 30))
    draws = [few_neighbours(np.zeros((30, 2)), splits, 5, "random", seed).labels for seed in (0, 0, 1)]
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])
    assert all(len(set(row)) == 5 and min(row) >= 4 for row in draws[0])


def test_too_many_neighbours_are_told_and_nobody_is_its_own():
    splits = ClassSplits(np.array([0]), np.array([1]), np.array([2]))
    with pytest.raises(ParameterError, match="asks for 3, but of . classes 2 are base classes"):
        few_neighbours(np.eye(3), splits, 3, "euclidean")
    found = nearest(np.eye(3), np.arange(3), np.arange(3), 5, "euclidean")
    assert found.labels.tolist() == [[1, 2], [0, 2], [0, 1]]
