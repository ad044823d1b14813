"""Which runs the cut study has, which of them are one, and how they are stacked and done."""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.data.conftest import make_image_set
from tests.pipelines.transfer_cuts.test_transfer_cuts_settings import transfer_settings
from tests.studies.contexts import context_of

from vision_studies.config.data_prep import SplitSettings
from vision_studies.config.merge import merge_settings
from vision_studies.data.image_set import ImageSet
from vision_studies.data.prepared import PreparedData
from vision_studies.data.splits import make_splits
from vision_studies.errors import DataError
from vision_studies.pipelines.transfer_cuts import stages
from vision_studies.pipelines.transfer_cuts.nodes import evaluate_networks, fine_tune_networks, pretrain_networks
from vision_studies.pipelines.transfer_cuts.stages import (
    FINE_TUNING,
    cell_name,
    check_subsets,
    pretraining_runs,
    study_cells,
    study_classes,
)
from vision_studies.studies.method import run_stages
from vision_studies.studies.run_store import RunStore

NAMES = ("shirt", "coat", "dress", "bag", "boot", "sandal", "sneaker")
SMALL = {
    "classes": {"label": "shoes", "pretraining": ["shirt", "coat", "dress", "bag"], "fine_tuning": ["s[an]*", "boot"]},
    "network": {"name": "convnet", "channels": [4, 4], "every": 2},
    "subsets": [{"fraction": 0.2, "repeats": 2}, {"fraction": 1.0, "repeats": 1}],
    "pretraining": {"seeds": [0], "training": {"epochs": 2, "precision": "fp32"}},
    "fine_tuning": {
        "optimizer": {"learning_rate": 0.02},
        "training": {"epochs": 4, "steps_per_epoch": 5, "precision": "fp32"},
    },
    "modes": ["freeze_reinit", "freeze"],
}
PUBLISHED_REPEATS = [
    {"fraction": fraction, "repeats": repeats}
    for fraction, repeats in ((0.001, 25), (0.01, 25), (0.1, 20), (0.5, 5), (1.0, 5))
]


@pytest.fixture(scope="module")
def data():
    """Images whose brightness tells their class."""
    noise = make_image_set(count=280, size=8, channels=1, classes=7)
    images = (noise.images // 4 + 25 * noise.labels[:, None, None, None]).astype(np.uint8)
    image_set = ImageSet.create("grey", images, noise.labels, NAMES, noise.is_test, {})
    return PreparedData(
        image_set,
        make_splits(
            image_set,
            SplitSettings(validation_fraction=0.2, test_fraction=0.2, seed=0, copies="together", long_tail=None),
        ),
        {},
    )


def place(data, folder=Path("runs"), **changes):
    settings = transfer_settings(**merge_settings(SMALL, changes))
    return context_of("transfer_cuts", settings, (data.image_set, data.splits.to_table()), folder)


def full(data, folder=Path("runs"), **changes):
    """The published study's size: six convolutions, 80 subsets."""
    return place(data, folder, network={"channels": [4] * 6}, subsets=PUBLISHED_REPEATS, **changes)


@pytest.mark.parametrize("seeds", [[0], [0, 1, 2]])
@pytest.mark.parametrize(
    ("modes", "rows", "unique"),
    [
        # A baseline and seven cuts of 80 subsets; the baseline is the cut at 0.
        (["freeze_reinit"], 640, 560),
        (["freeze"], 640, 640),
        (["freeze_truncate"], 640, 640),
        # Seven networks of FR (one is the baseline), six more of F, six more of FT.
        (["freeze_reinit", "freeze", "freeze_truncate"], 80 * 22, 80 * 19),
        # R adds five: at 0 it is the baseline, at 6 it tunes everything, as F at 0 and fine_tune do.
        (["freeze_reinit", "freeze", "reinit", "fine_tune", "freeze_truncate"], 80 * 30, 80 * 24),
    ],
)
def test_equal_places_of_the_table_are_one_run(data, modes, rows, unique, seeds):
    study = full(data, modes=modes, pretraining={"seeds": seeds})
    cells = study_cells(study)
    assert len(cells) == rows
    assert len({cell.run.fingerprint for cell in cells}) == unique
    assert len({(cell.run.variant, cell.run.seed) for cell in cells}) == rows
    assert len({run.fingerprint for run in pretraining_runs(study)}) == len(seeds)


def test_a_published_study_has_641_rows_and_561_runs(data):
    study = full(data, modes=["freeze_reinit"])
    everything = [*pretraining_runs(study), *(cell.run for cell in study_cells(study))]
    assert len(everything) == 641
    assert len({run.fingerprint for run in everything}) == 561


def test_which_places_are_one_run(data):
    cells = study_cells(full(data, modes=["freeze_reinit", "freeze", "reinit", "fine_tune", "freeze_truncate"]))
    places: dict[str, set] = {}
    for cell in cells:
        if (cell.fraction, cell.run.seed) == (0.1, 4):
            places.setdefault(cell.run.fingerprint, set()).add((cell.mode, cell.cut))
    assert sorted(sorted(own) for own in places.values() if len(own) > 1) == [
        [("baseline", -1), ("freeze_reinit", 0), ("reinit", 0)],
        [("fine_tune", 0), ("freeze", 0), ("reinit", 6)],
        [("freeze", 6), ("freeze_reinit", 6), ("freeze_truncate", 6)],
    ]


def test_the_table_goes_fraction_by_fraction_and_begins_with_the_baseline(data):
    cells = study_cells(place(data, cuts=[2, 1]))
    assert [(cell.fraction, cell.mode, cell.cut, cell.run.seed) for cell in cells] == [
        (fraction, mode, cut, repeat)
        for fraction, repeats in ((0.2, 2), (1.0, 1))
        for mode, cut in (
            ("baseline", -1),
            *[("freeze_reinit", cut) for cut in (2, 1)],
            *[("freeze", cut) for cut in (2, 1)],
        )
        for repeat in range(repeats)
    ]
    assert all(cell.run.configuration["fraction"] == cell.fraction for cell in cells)


def test_repeats_take_the_pretrained_networks_in_turn(data):
    study = place(data, pretraining={"seeds": [5, 9]}, subsets=[{"fraction": 0.5, "repeats": 5}])
    names = [run.fingerprint for run in pretraining_runs(study)]
    own = {cell.run.seed: cell.run.configuration["pretrained"] for cell in study_cells(study) if cell.mode == "freeze"}
    assert [own[repeat] for repeat in range(5)] == [names[0], names[1], names[0], names[1], names[0]]
    assert {cell.run.configuration["pretrained"] for cell in study_cells(study) if cell.cut == -1} == {None}


def test_another_pretraining_makes_other_runs_of_all_that_use_it(data):
    cells = study_cells(place(data))
    longer = study_cells(place(data, pretraining={"training": {"epochs": 3}}))
    for cell, other in zip(cells, longer, strict=True):
        uses = cell.mode == "freeze" or cell.cut > 0
        assert (cell.run.fingerprint != other.run.fingerprint) == uses
    # What is computed at a time, or asked for besides, changes no run.
    same = study_cells(place(data, stack={"features_mb": 0, "memory_mb": 1}, modes=["freeze", "freeze_reinit"]))
    assert {cell.run.fingerprint for cell in same} == {cell.run.fingerprint for cell in cells}


@pytest.mark.parametrize(
    ("mode", "cut", "fraction", "name"),
    [
        ("baseline", -1, 0.001, "0.1 %: baseline"),
        ("freeze_reinit", 4, 0.01, "1 %: FR, cut 4"),
        ("freeze", 0, 1.0, "100 %: F, cut 0"),
        ("freeze_truncate", 6, 0.5, "50 %: FT, cut 6"),
        ("fine_tune", 0, 0.025, "2.5 %: fine-tune all"),
    ],
)
def test_places_have_names(mode, cut, fraction, name):
    assert cell_name(mode, cut, fraction) == name


def test_classes_are_found_in_the_order_of_the_images(data):
    context = place(data)
    assert study_classes(context, context.settings) == (NAMES[:4], NAMES[4:])
    assert pretraining_runs(place(data))[0].configuration["classes"] == [*NAMES[:4]]
    assert study_cells(place(data))[0].run.configuration["classes"] == [*NAMES[4:]]


@pytest.mark.parametrize(
    ("first", "new", "message"),
    [
        (
            ["coat", "bag"],
            ["boot", "bag"],
            "'bag' is among the classes of pretraining and of fine_tuning; .*take it out",
        ),
        (["*"], ["boot", "sandal"], "'boot' is among the classes of pretraining and of fine_tuning"),
        (["coat", "bags"], ["boot", "sandal"], "^transfer_cuts.classes.pretraining has 'bags'.* Did you mean 'bag'"),
        (["coat", "bag"], ["boot"], r"^transfer_cuts.classes.fine_tuning has one class only \(boot\)"),
    ],
)
def test_classes_that_cannot_be_meant_are_refused(data, first, new, message):
    with pytest.raises(DataError, match=message):
        study_cells(place(data, classes={"label": "shoes", "pretraining": first, "fine_tuning": new}))


def test_runs_of_equal_layers_fraction_and_pretraining_share_a_stack(data, tmp_path):
    study = full(data, folder=tmp_path, modes=["freeze_reinit", "freeze_truncate"], pretraining={"seeds": [0, 1]})
    runs = {cell.run.fingerprint: cell.run for cell in study_cells(study)}
    stacks = stages._stacks(study, [*runs.values()])
    assert Counter(run.fingerprint for stack in stacks for run in stack) == Counter([*runs])
    for stack in stacks:
        first, *rest = ({**run.configuration} for run in stack)
        assert all(own == first for own in rest)
    # Of 13 networks, those at cut 0 (the baseline and FT) know no pretraining, the others know two.
    assert len(stacks) == 5 * (2 + 11 * 2)
    # What the layers before a cut give is kept until other layers come: equal ones follow each other.
    features = [(own.configuration["cut"]["frozen"], own.configuration["pretrained"]) for own, *_ in stacks]
    assert sum(one != other for one, other in pairwise(features)) == len(set(features)) - 1


def test_a_stack_stays_within_its_memory(data, tmp_path):
    roomy = place(data, tmp_path, subsets=[{"fraction": 0.5, "repeats": 30}], modes=["freeze"], cuts=[0])
    runs = [cell.run for cell in study_cells(roomy) if cell.mode == "freeze"]
    assert [len(stack) for stack in stages._stacks(roomy, runs)] == [30]
    # Nine million parameters of 26 bytes: four networks in a thousand million bytes, so six are two stacks.
    wide = {"channels": [1000, 1000]}
    tight = place(data, tmp_path, subsets=[{"fraction": 0.5, "repeats": 6}], modes=["freeze"], cuts=[0], network=wide)
    runs = [cell.run for cell in study_cells(tight) if cell.mode == "freeze"]
    assert [len(stack) for stack in stages._stacks(tight, runs)] == [3, 3]


def test_evaluation_goes_cut_by_cut_whatever_the_fraction(data):
    study = place(data)
    runs = [*{cell.run.fingerprint: cell.run for cell in study_cells(study)}.values()]
    groups = stages._by_layers(runs)
    assert sorted(len(group) for group in groups) == [3] * 5
    assert all(len({run.configuration["fraction"] for run in group}) == 2 for group in groups)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"subsets": [{"fraction": 1.0, "repeats": 1}, {"fraction": 0.03, "repeats": 2}]}, "a fraction of 0.03 of 76"),
        (
            {"fine_tuning": {"validation": "whole"}, "subsets": [{"fraction": 0.01, "repeats": 1}]},
            "one image are needed",
        ),
    ],
)
def test_a_fraction_that_is_too_small_is_refused_before_anything_is_trained(
    data, tmp_path, changes, message, monkeypatch
):
    study = place(data, tmp_path, **changes)
    monkeypatch.setattr(stages, "_pretrain", lambda *arguments, **options: pytest.fail("something is trained"))
    with pytest.raises(DataError, match=message) as found:
        pretrain_networks(study)
    assert str(found.value).count(". ") == 0  # one sentence
    assert not [*tmp_path.iterdir()]
    with pytest.raises(DataError, match=message):
        run_stages(study, FINE_TUNING)
    assert not [*tmp_path.iterdir()]


def test_a_fraction_that_leaves_two_images_is_taken(data):
    check_subsets(data, [cell.run for cell in study_cells(place(data, subsets=[{"fraction": 0.08, "repeats": 1}]))])


@pytest.mark.slow
def test_the_study_from_pretraining_to_its_table(data, tmp_path, monkeypatch):
    study = place(data, tmp_path)
    pretraining, histories = pretrain_networks(study)
    assert pretraining["test_accuracy"].notna().all()
    assert len(histories) == 2
    cells = study_cells(study)
    table, histories = fine_tune_networks(study, pretraining)
    assert len(table) == len(cells)
    assert table["test_accuracy"].isna().all()  # nothing has touched the test split
    unique = {cell.run.fingerprint for cell in cells}
    assert len(histories) == 4 * len(unique)
    results, accuracies = evaluate_networks(study, table)
    assert results["run_fingerprint"].tolist() == [cell.run.fingerprint for cell in cells]
    assert accuracies[["mode", "cut", "fraction", "repeat"]].to_dict("split")["data"] == [
        [cell.mode, cell.cut, cell.fraction, cell.run.seed] for cell in cells
    ]
    assert accuracies["test_accuracy"].between(0, 1).all()
    assert accuracies["train_accuracy"].between(0, 1).all()
    assert (accuracies["status"] == "complete").all()
    # Places that are one run have one row of numbers.
    wide = accuracies.set_index(["mode", "cut", "fraction", "repeat"]).sort_index()
    numbers = ["images", "train_accuracy", "validation_accuracy", "test_accuracy"]
    for one, other in ((("baseline", -1), ("freeze_reinit", 0)), (("freeze_reinit", 2), ("freeze", 2))):
        pd.testing.assert_frame_equal(wide.loc[one, numbers], wide.loc[other, numbers])
    assert not wide.loc[("freeze", 0), numbers].equals(wide.loc[("freeze_reinit", 0), numbers])
    # Validation images are part of the fraction: three classes alike, of 76 images.
    sizes = accuracies.groupby("fraction")["images"].unique()
    assert sizes[0.2].tolist() == [3 * int(76 * 0.2 / 3)]
    assert sizes[1.0].tolist() == [75]
    other = json.loads(results["other_metrics"][0])
    assert other["test_images"] == sum(label >= 4 for label in data.image_set.labels[data.splits.test])
    # All is there already: nothing is trained or scored again.
    for name in ("_train", "_evaluate", "_pretrain"):
        monkeypatch.setattr(stages, name, lambda *arguments, **options: pytest.fail("something is done again"))
    pretrain_networks(study)
    fine_tune_networks(study, pretraining)
    again, _ = evaluate_networks(study, table)
    pd.testing.assert_frame_equal(again, results)


def test_a_pretraining_of_another_configuration_is_refused(data, tmp_path):
    study = place(data, tmp_path)
    pretraining, _ = pretrain_networks(study)
    other = place(data, tmp_path, pretraining={"training": {"epochs": 3}})
    with pytest.raises(DataError, match="made with another configuration"):
        fine_tune_networks(other, pretraining)


def test_a_pretraining_that_diverges_ends_the_study_in_one_sentence(data, tmp_path):
    study = place(data, tmp_path, pretraining={"optimizer": {"learning_rate": 1e36}})
    with pytest.raises(DataError, match=r"seed 0 has not given a network \(the loss was not finite\); lower"):
        pretrain_networks(study)


def test_a_fine_tuning_that_diverges_is_a_row_without_scores(data, tmp_path):
    study = place(data, tmp_path, fine_tuning={"optimizer": {"learning_rate": 1e36}}, modes=["freeze"], cuts=[1])
    pretraining, _ = pretrain_networks(study)
    table, _ = fine_tune_networks(study, pretraining)
    assert set(table["status"]) == {"diverged"}
    _, accuracies = evaluate_networks(study, table)
    assert accuracies["test_accuracy"].isna().all()
    assert set(accuracies["status"]) == {"diverged"}
    assert RunStore(tmp_path).result(study_cells(study)[0].run, stages.EVALUATION) is None
