import numpy as np
import pytest
import torch
from sklearn.preprocessing import LabelEncoder
from tests.data.conftest import make_image_set
from torch.utils.data import random_split

from vision_studies.config.data_prep import SplitSettings
from vision_studies.data.prepared import PreparedData
from vision_studies.data.splits import make_splits
from vision_studies.data.subsets import balanced_subset, class_data, held_out, resolve_classes
from vision_studies.errors import DataError

PARTS = ("train", "validation", "test")
FRACTIONS = (0.001, 0.01, 0.1, 0.5, 1.0)
FASHION = ("T-shirt/top", "Trouser", "Sandal", "Sneaker", "Ankle boot")


def labels_of(*counts, seed=0):
    """So many labels of each class, in no order."""
    labels = np.repeat(np.arange(len(counts)), counts)
    return np.random.default_rng(seed).permutation(labels)


@pytest.fixture
def data():
    image_set = make_image_set(count=200, classes=5, own_test=True)
    splits = make_splits(
        image_set, SplitSettings(validation_fraction=0.2, test_fraction=0.25, seed=3, copies="together", long_tail=None)
    )
    return PreparedData(image_set, splits, {})


@pytest.mark.parametrize(
    ("counts", "sizes"),
    [
        # Three classes of FashionMNIST, five of MNIST and six of CIFAR-10, as a tenth of them leaves them for training.
        ((5404, 5400, 5396), [15, 162, 1620, 8100, 16_196]),
        ((5293,) * 4 + (5292,), [25, 260, 2645, 13_230, 26_460]),
        ((4500,) * 6, [24, 270, 2700, 13_500, 27_000]),
    ],
)
def test_subsets_have_the_published_sizes(counts, sizes):
    drawn = [balanced_subset(labels_of(*counts), fraction, 0) for fraction in FRACTIONS]
    assert [sum(map(len, own)) for own in drawn] == sizes


def test_subsets_are_balanced_nested_and_of_their_own_classes():
    labels = labels_of(5404, 5400, 5396)
    for seed in (0, 7):
        smaller = [np.array([], dtype=np.int64)] * 3
        for fraction in FRACTIONS:
            drawn = balanced_subset(labels, fraction, seed)
            assert len(drawn) == 3
            if fraction < 1:
                assert len({len(own) for own in drawn}) == 1
            for label, own in enumerate(drawn):
                assert len(set(own)) == len(own)
                assert set(labels[own]) == {label}
                assert own[: len(smaller[label])].tolist() == smaller[label].tolist()
            smaller = drawn
    assert [len(own) for own in balanced_subset(labels, 1.0, 0)] == [5400, 5400, 5396]


def test_subsets_of_other_seeds_are_others():
    labels = labels_of(300, 300)
    first, second = (np.concatenate(balanced_subset(labels, 0.1, seed)) for seed in (0, 1))
    assert set(first) != set(second)
    again = np.concatenate(balanced_subset(labels, 0.1, 0))
    assert first.tolist() == again.tolist()


@pytest.mark.parametrize("seed", [0, 1, 24])
@pytest.mark.parametrize("fraction", [0.05, 0.5])
def test_the_draw_is_the_originals(seed, fraction):
    labels = labels_of(110, 90, 100, seed=seed)
    drawn = balanced_subset(labels, fraction, seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for label, own in enumerate(drawn):
            places = torch.from_numpy(np.flatnonzero(labels == label))
            expected = places[torch.randperm(len(places))[: int(300 * fraction / 3)]]
            assert own.tolist() == expected.tolist()


def test_drawing_leaves_the_generator_of_torch_as_it_was():
    before = torch.random.get_rng_state()
    balanced_subset(labels_of(10, 10), 0.5, 3)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_fraction_that_is_too_small_gives_no_image():
    assert [len(own) for own in balanced_subset(labels_of(40, 40), 0.02, 0)] == [0, 0]


@pytest.mark.parametrize("share", [0.5, 0.25, 0.2, 0.1, 0.3, 0.4])
def test_what_is_held_out_is_nested_disjoint_and_of_every_class(share):
    labels = labels_of(504, 500, 496)
    earlier: tuple[set, set] = (set(), set())
    for fraction in (0.004, 0.01, 0.05, 0.5, 1.0):
        drawn = balanced_subset(labels, fraction, 5)
        training, validation = held_out(drawn, share)
        assert sorted([*training, *validation]) == sorted(np.concatenate(drawn))
        assert not set(training) & set(validation)
        assert earlier[0] <= set(training)
        assert earlier[1] <= set(validation)
        assert set(labels[training]) == set(labels[validation]) == {0, 1, 2}
        earlier = (set(training), set(validation))
        if fraction >= 0.5:
            assert len(validation) / len(labels) / fraction == pytest.approx(share, abs=0.01)


def test_of_two_images_one_validates_and_of_one_none():
    training, validation = held_out([np.array([4, 9]), np.array([7, 1])], 0.2)
    assert (training.tolist(), validation.tolist()) == ([4, 7], [9, 1])
    training, validation = held_out([np.array([4]), np.array([7])], 0.2)
    assert (training.tolist(), validation.tolist()) == ([4, 7], [])


def test_the_second_image_and_every_fifth_after_it_validate():
    training, validation = held_out([np.arange(12)], 0.2)
    assert validation.tolist() == [1, 6, 11]
    assert training.tolist() == [0, 2, 3, 4, 5, 7, 8, 9, 10]


def test_classes_have_the_images_of_the_datas_splits(data):
    own = class_data(data, ("class 3", "class 1"), published=False)
    assert own.classes.tolist() == [1, 3]
    for part in PARTS:
        positions = getattr(own, part)
        everything = getattr(data.splits, part)
        assert positions.tolist() == [place for place in everything if data.image_set.labels[place] in (1, 3)]


def test_classes_are_numbered_as_the_original_numbers_them(data):
    own = class_data(data, ("class 4", "class 0", "class 3"), published=False)
    expected = LabelEncoder().fit([4, 0, 3]).transform(data.image_set.labels[own.train])
    assert own.labels(data, own.train).tolist() == expected.tolist()
    assert own.labels(data, own.train).dtype == np.int64


def test_the_published_division_is_the_originals(data):
    own = class_data(data, ("class 1", "class 3"), published=True)
    no_test = ~data.image_set.is_test
    pool = [place for place in np.flatnonzero(no_test) if data.image_set.labels[place] in (1, 3)]
    kept = len(pool) - int(0.1 * len(pool))
    parts = random_split(pool, [kept, len(pool) - kept], generator=torch.Generator().manual_seed(42))
    assert own.train.tolist() == list(parts[0])
    assert own.validation.tolist() == list(parts[1])
    assert own.test.tolist() == [
        place for place in np.flatnonzero(data.image_set.is_test) if data.image_set.labels[place] in (1, 3)
    ]
    # Which images validate in the data's own splits makes no difference.
    other = make_splits(
        data.image_set,
        SplitSettings(validation_fraction=0.4, test_fraction=0.25, seed=8, copies="together", long_tail=None),
    )
    again = class_data(PreparedData(data.image_set, other, {}), ("class 1", "class 3"), published=True)
    assert again.train.tolist() == own.train.tolist()


@pytest.mark.parametrize("published", [True, False])
def test_no_image_is_in_two_parts(data, published):
    own = class_data(data, ("class 0", "class 2", "class 4"), published=published)
    parts = np.concatenate([own.train, own.validation, own.test])
    assert len(set(parts)) == len(parts) == 120
    assert not set(own.test) & {*data.splits.train, *data.splits.validation}


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        (["Sneaker", "Sandal"], ["Sandal", "Sneaker"]),
        (["S*"], ["Sandal", "Sneaker"]),
        (["*"], [*FASHION]),
        (["T*", "Ankle boot"], ["T-shirt/top", "Trouser", "Ankle boot"]),
        (["Sandal", "S*", "Sneake?"], ["Sandal", "Sneaker"]),
        (["[!A-S]*"], ["T-shirt/top", "Trouser"]),
    ],
)
def test_patterns_name_classes_in_their_order(patterns, found):
    assert resolve_classes(patterns, FASHION, "classes") == tuple(found)


def test_classes_of_joined_sources_are_named_by_their_source():
    names = ("mnist/0", "mnist/1", "fashion_mnist/Bag", "fashion_mnist/Coat")
    assert resolve_classes(["mnist/*"], names, "classes") == names[:2]
    assert resolve_classes(["fashion_mnist/*"], names, "classes") == names[2:]


def test_a_name_with_signs_of_a_pattern_is_itself():
    assert resolve_classes(["a[1]", "b"], ("a[1]", "b", "c"), "classes") == ("a[1]", "b")


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (
            ["Sandal", "Sneakr"],
            r"^where.new has 'Sneakr', which is no class.* Did you mean 'Sneaker'\? There are: T-shirt",
        ),
        (["Sandal", "0*"], r"^where.new has '0\*', which is no class of these images. There are: "),
        (["sandal", "Sneaker"], "Did you mean 'Sandal'"),
        (["Sandal"], r"^where.new has one class only \(Sandal\); name two or more.$"),
        (["Sandal", "San*"], "one class only"),
    ],
)
def test_classes_that_are_none_are_told(patterns, message):
    with pytest.raises(DataError, match=message):
        resolve_classes(patterns, FASHION, "where.new")


def test_what_belongs_together_is_held_out_together_or_not_at_all():
    by_class = [np.arange(0, 20), np.arange(20, 40)]
    units = np.arange(40) % 13  # of both classes
    for share in (0.2, 0.5):
        training, validation = held_out(by_class, share, units)
        assert sorted([*training, *validation]) == list(range(40))
        assert not set(units[training]) & set(units[validation])
        assert len(validation)
    alone = held_out(by_class, 0.2, np.arange(40))
    np.testing.assert_array_equal(np.concatenate(alone), np.concatenate(held_out(by_class, 0.2)))
