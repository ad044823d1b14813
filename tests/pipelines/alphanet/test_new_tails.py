"""A tail that is drawn anew in every repeat."""

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from tests.data.conftest import make_image_set
from tests.pipelines.alphanet.test_alphanet_settings import alphanet_settings
from tests.studies.contexts import context_of

from vision_studies.config.data_prep import LongTailSettings, SplitSettings
from vision_studies.data.splits import long_tail_counts, make_splits
from vision_studies.pipelines.alphanet.long_tail import first_tail
from vision_studies.pipelines.alphanet.plan import Plan, note_tail, noted_tail
from vision_studies.pipelines.reporting.study import _image_names

EXPONENTIAL = {"profile": "exponential", "factor": 10.0, "seed": 3, "reverse": False}
OWN = {
    "long_tail": EXPONENTIAL,
    "tails": "each_repeat",
    "splits": {"few_below": 15, "many_above": 40},
    "backbone": {"seeds": [5, 6, 7]},
    "repeats": 3,
    "neighbours": [2],
    "classifiers": [{"label": "own", "method": {"name": "own"}}],
    "improved": ["own"],
}


@pytest.fixture(scope="module")
def images():
    image_set = make_image_set(count=600, size=8, classes=6)
    splits = make_splits(
        image_set, SplitSettings(validation_fraction=0.2, test_fraction=0.2, seed=0, copies="together", long_tail=None)
    )
    return image_set, splits.to_table()


def plan(images, folder, **changes):
    return Plan(context_of("alphanet", alphanet_settings(**(OWN | changes)), images, folder))


def test_drawn_ranks_permute_the_published_counts_by_the_seed():
    published = LongTailSettings(profile="exponential", factor=100, seed=0, reverse=False)
    counts = [
        long_tail_counts(np.full(10, 5000), published.model_copy(update={"ranks": "drawn", "seed": seed})).tolist()
        for seed in (0, 0, 1)
    ]
    assert counts[0] == counts[1] != counts[2]
    assert sorted(counts[0]) == sorted(counts[2]) == sorted(long_tail_counts(np.full(10, 5000), published).tolist())


def test_ranks_by_label_are_written_as_before():
    tail = LongTailSettings(**EXPONENTIAL)
    assert "ranks" not in tail.model_dump()
    drawn = LongTailSettings(**EXPONENTIAL, ranks="drawn")
    assert LongTailSettings.model_validate(drawn.model_dump()) == drawn
    with pytest.raises(ValidationError, match="ranks=drawn has none"):
        LongTailSettings(**EXPONENTIAL | {"reverse": True}, ranks="drawn")


def test_every_repeat_has_its_images_its_rare_classes_and_its_runs(images, tmp_path):
    own = plan(images, tmp_path)
    data = [own.prepared(repeat) for repeat in range(3)]
    assert len({each.fingerprint for each in data}) == 3
    counts = [np.bincount(each.image_set.labels[each.splits.train], minlength=6).tolist() for each in data]
    assert len({tuple(each) for each in counts}) == 3
    assert {tuple(sorted(each)) for each in counts} == {tuple(sorted(counts[0]))}
    assert len({tuple(own.class_splits(repeat).few) for repeat in range(3)}) > 1
    for each in data:
        np.testing.assert_array_equal(each.splits.test, data[0].splits.test)
    runs = own.backbone_runs()
    assert [experts[0].data_fingerprint for experts in runs] == [each.fingerprint for each in data]
    assert [each.run.data_fingerprint for each in own.classifiers()] == [each.fingerprint for each in data]
    assert len({each.run.fingerprint for each in own.experiments()}) == 3 * 3


def test_one_tail_for_all_repeats_is_what_it_was(images, tmp_path):
    """Runs bear the fingerprints that they have without the parameter."""
    own = plan(images, tmp_path, tails="one")
    without = {name: value for name, value in OWN.items() if name != "tails"}
    again = Plan(context_of("alphanet", alphanet_settings(**without), images, tmp_path))
    assert [each.run.fingerprint for each in own.experiments()] == [
        each.run.fingerprint for each in again.experiments()
    ]
    assert own.prepared(0) is own.prepared(2)


def test_repeats_with_tails_of_their_own_stand_beside_each_other_in_reports_and_other_images_do_not(images, tmp_path):
    own = plan(images, tmp_path)
    tails = {own.prepared(repeat).fingerprint: own.settings.tail(repeat) for repeat in range(3)}
    runs = tmp_path / "alphanet/runs"
    for fingerprint, tail in tails.items():
        note_tail(runs, fingerprint, tail, cut_from="whole")
        assert noted_tail(runs, fingerprint) == tail
    rarer = own.settings.tail(0).model_copy(update={"factor": 50.0})
    others = {
        "rarer": (rarer, "whole"),
        "elsewhere": (own.settings.tail(0), "another"),
        "fixed": (own.settings.tail(0), None),
    }
    for fingerprint, (tail, cut_from) in others.items():
        note_tail(runs, fingerprint, tail, cut_from)
    columns = {"pipeline": "alphanet", "configuration": "{}"}
    results = pd.DataFrame({"data_fingerprint": [*tails, *others, "never noted"]}).assign(**columns)
    names = _image_names(results, "cifar10", tmp_path)
    assert len(set(names[:3])) == 1
    assert names[0].endswith(", other rare classes in every repeat)")
    assert len(set(names)) == 1 + len(others) + 1
    assert names[-1] == "cifar10 (never )"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"long_tail": None}, "set long_tail, or tails: one"),
        ({"backbone": {"seeds": [0]}}, "give as many seeds"),
        ({"splits": {"folder": "lists"}}, "set splits.folder: null"),
    ],
)
def test_what_a_new_tail_needs_is_told(changes, said):
    with pytest.raises(ValidationError, match=said):
        alphanet_settings(**(OWN | changes))


def test_what_is_told_of_single_classes_is_told_of_one_tail():
    rows = [(repeat, label, split) for repeat in (0, 1) for label, split in ((0, "few"), (1, "many"))]
    table = pd.DataFrame(rows, columns=["repeat", "label", "split"]).assign(train_images=[3, 9, 3, 9])
    assert first_tail(table) is table
    other = table.assign(split=["few", "many", "many", "few"], train_images=[3, 9, 9, 3])
    assert first_tail(other)["repeat"].tolist() == [0, 0]
