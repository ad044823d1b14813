import numpy as np
import pytest

from vision_studies.config.data_prep import LongTailSettings, SplitSettings
from vision_studies.data.data_card import channel_statistics, data_card
from vision_studies.data.image_set import ImageSet
from vision_studies.data.prepared import PreparedData
from vision_studies.data.splits import long_tail, long_tail_counts, make_splits
from vision_studies.errors import DataError
from vision_studies.pipelines.data_prep.nodes import plot_data_card

CIFAR = LongTailSettings(profile="exponential", factor=100, seed=0, reverse=False)


def tail(**changes):
    return CIFAR.model_copy(update=changes)


def published_draw(labels, factor, seed):
    """The rule of the published generator, word for word in the global legacy state."""
    before = np.random.get_state()
    np.random.seed(seed)
    classes = np.unique(labels)
    largest, kept = len(labels) / len(classes), []
    for place, label in enumerate(classes):
        own = np.where(labels == label)[0]
        np.random.shuffle(own)
        kept.extend(own[: int(largest * (1 / factor) ** (place / (len(classes) - 1.0)))])
    np.random.set_state(before)
    return sorted(kept)


def test_the_numbers_of_cifar_100_lt():
    counts = long_tail_counts(np.full(100, 500), CIFAR)
    assert (counts.sum(), counts.max(), counts.min()) == (10847, 500, 5)
    groups = [counts > 100, (counts >= 20) & (counts <= 100), counts < 20]
    assert [group.sum() for group in groups] == [35, 35, 30]
    assert [counts[group].sum() for group in groups] == [8824, 1718, 305]
    assert counts.tolist() == [int(500 * 0.01 ** (label / 99.0)) for label in range(100)]
    labels = np.repeat(np.arange(100), 500)
    np.testing.assert_array_equal(np.bincount(labels[long_tail(labels, CIFAR)]), counts)


def test_the_numbers_of_cifar_10_lt():
    counts = long_tail_counts(np.full(10, 5000), CIFAR)
    assert counts.tolist() == [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]


@pytest.mark.parametrize("factor", [2, 10, 20, 50, 100, 200, 256])
@pytest.mark.parametrize(("classes", "largest"), [(10, 5000), (100, 500), (365, 4980), (1000, 1280)])
def test_counts_are_those_of_the_published_formula(classes, largest, factor):
    published = [int(largest * (1 / factor) ** (label / (classes - 1.0))) for label in range(classes)]
    assert long_tail_counts(np.full(classes, largest), tail(factor=factor)).tolist() == published


@pytest.mark.parametrize("profile", ["exponential", "step"])
def test_the_smallest_class_is_not_lost_to_rounding(profile):
    for largest in range(2, 400):  # among them 49, which is less than 1 when multiplied by 1 / 49
        counts = long_tail_counts(np.full(4, largest), tail(profile=profile, factor=float(largest)))
        assert (counts[0], counts[-1]) == (largest, 1)


@pytest.mark.parametrize("classes", [4, 5])
def test_a_step_keeps_the_first_half_whole(classes):
    counts = long_tail_counts(np.full(classes, 75), tail(profile="step", factor=10))
    assert counts.tolist() == [75, 75, *[7] * (classes - 2)]


@pytest.mark.parametrize(("profile", "shares"), [("exponential", [100, 46, 21, 10]), ("step", [100, 100, 10, 10])])
def test_a_class_with_fewer_images_than_its_share_keeps_all(profile, shares):
    available = np.array([40, 60, 7, 100])
    counts = long_tail_counts(available, tail(profile=profile, factor=10))
    np.testing.assert_array_equal(counts, np.minimum(shares, available))


@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.parametrize("factor", [2.0, 10.0, 40.0])
def test_the_draw_is_the_published_one(factor, seed):
    labels = np.random.default_rng(3).permutation(np.repeat(np.arange(7), 40))
    kept = long_tail(labels, tail(factor=factor, seed=seed))
    assert kept.tolist() == published_draw(labels, factor, seed)


def test_the_draw_depends_on_the_seed_alone():
    labels = np.arange(600) % 6
    first = long_tail(labels, CIFAR)
    np.random.seed(5)
    np.testing.assert_array_equal(first, long_tail(labels, CIFAR))
    assert np.random.random() == np.random.RandomState(5).random()  # the state of others is left alone
    assert not np.array_equal(first, long_tail(labels, tail(seed=1)))
    assert len(set(first)) == len(first)
    assert (np.diff(first) > 0).all()


def test_a_factor_that_leaves_a_class_empty_is_one_sentence():
    for profile in ("exponential", "step"):
        with pytest.raises(DataError) as caught:
            long_tail_counts(np.full(4, 40), tail(profile=profile, factor=41))
        label = 3 if profile == "exponential" else 2
        assert str(caught.value) == (
            f"data_prep.splits.long_tail.factor=41 leaves class {label} without an image, as the largest class has 40; lower "
            "it to 40 at most."
        )
    with pytest.raises(DataError, match=r"long_tail\.factor=1000 leaves class 1 without an image"):
        long_tail(np.repeat([0, 1, 2], 20), tail(factor=1000))


@pytest.fixture
def prepared():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (300, 8, 8, 1), dtype=np.uint8)
    names = tuple(f"class {label}" for label in range(5))
    image_set = ImageSet.create("tailed", images, np.arange(300) % 5, names, np.arange(300) >= 250, {})
    settings = SplitSettings(
        validation_fraction=0.2, test_fraction=0.2, seed=0, copies="together", long_tail=tail(factor=50)
    )
    return PreparedData(image_set, make_splits(image_set, settings), {})


def test_the_data_card_says_what_a_long_tail_leaves_out(prepared):
    card = data_card(prepared.image_set, prepared.splits)
    assert card["counts"] == {"train": [40, 14, 6, 1, 1], "validation": [10, 4, 1, 1, 0], "test": [10] * 5}
    assert card["long_tail"] == {"images_left_out": 172, "largest_class": 40, "smallest_class": 1}
    assert card["images"] == 300


def test_the_data_card_of_a_whole_image_set_has_no_long_tail(prepared):
    settings = SplitSettings(validation_fraction=0.2, test_fraction=0.2, seed=0, copies="together", long_tail=None)
    splits = make_splits(prepared.image_set, settings)
    card = data_card(prepared.image_set, splits)
    assert card["long_tail"] is None
    figure = plot_data_card(card, prepared.image_set, splits.to_table())
    assert figure.get_suptitle().startswith("tailed: 300 grey images")
    assert "Long tail" not in figure.get_supxlabel()


def test_the_figure_of_a_long_tail_counts_what_is_in_a_split(prepared):
    card = data_card(prepared.image_set, prepared.splits)
    figure = plot_data_card(card, prepared.image_set, prepared.splits.to_table())
    assert figure.get_suptitle() == "tailed: 128 of 300 grey images of 8 × 8 pixels, 5 classes"
    footnote = " ".join(figure.get_supxlabel().split())
    assert "Long tail: 40 to 1 training images a class; 172 images in no split." in footnote
    counts, samples = figure.axes[1], next(axes for axes in figure.axes if axes.images)
    assert [text.get_text() for text in counts.texts] == ["60", "28", "17", "12", "11"]
    sheet = samples.images[0].get_array()
    first = prepared.splits.train[prepared.image_set.labels[prepared.splits.train] == 3]
    np.testing.assert_array_equal(sheet[27:35, :8], prepared.image_set.images[first[0]].squeeze())
    assert (sheet[27:35, 8:] == 255).all()  # there is no other of this class


def test_statistics_and_batches_are_of_the_images_that_are_kept(prepared):
    import torch

    assert prepared.normalisation == channel_statistics(prepared.image_set, prepared.splits.train)
    for split in ("train", "validation", "test"):
        loader = prepared.loader(split, kind="device", batch_size=32, device=torch.device("cpu"))
        indices = [index for batch in loader.epoch(0) for index in batch.indices.tolist()]
        assert indices == getattr(prepared.splits, split).tolist()


@pytest.mark.parametrize("profile", ["exponential", "step"])
def test_in_reverse_the_last_class_is_the_largest(profile):
    settings = CIFAR.model_copy(update={"profile": profile})
    available = np.full(7, 300)
    counts = long_tail_counts(available, settings)
    assert counts[0] > counts[-1]
    assert long_tail_counts(available, settings.model_copy(update={"reverse": True})).tolist() == counts[::-1].tolist()
