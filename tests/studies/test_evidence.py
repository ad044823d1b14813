"""Runs of a study as evidence: seeds side by side, image by image, or by seed with the reason."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from vision_studies.outcomes import DIVERGED, Outcome
from vision_studies.predictions import Predictions
from vision_studies.run_folders import CACHE, predictions_file
from vision_studies.stored_predictions import hash_of_images, read_digest, read_predictions, write_predictions
from vision_studies.studies import evidence
from vision_studies.studies.evidence import read_evidence, variant_runs
from vision_studies.studies.predictions import kept
from vision_studies.studies.results import results_table
from vision_studies.studies.run_store import RunStore
from vision_studies.studies.runs import Run

CLASSES = 6
LABELS = np.arange(40) % CLASSES
IMAGES = np.arange(100, 140)


def said(seed, images=IMAGES, labels=LABELS):
    logits = np.random.default_rng(seed).normal(0, 1, (len(images), CLASSES))
    logits[np.arange(len(images)), labels] += 1.5
    probabilities = np.exp(logits)
    return Predictions.of("test", images, labels, probabilities / probabilities.sum(axis=1, keepdims=True))


def run_of(variant, seed):
    return Run("cifar_resnet", "study", variant, 0, seed, {"variant": variant}, "data", 1)


class Study:
    """Runs of two variants in a folder, with what they have said."""

    def __init__(self, folder, detail="full"):
        self.store, self.runs, self.said = RunStore(folder / "runs"), [], {}
        for variant in ("plain", "wide"):
            for seed in (3, 5, 8):
                self.add(variant, seed, said(len(self.runs)), detail)

    def add(self, variant, seed, predictions, detail="full"):
        run = run_of(variant, seed)
        self.store.begin(run)
        self.store.record(run, "training", Outcome({"validation_accuracy": 0.25 + seed / 100}))
        outcome = Outcome({"test_accuracy": predictions.accuracy}, predictions=(predictions,))
        self.store.record(run, "evaluation", kept(outcome, detail))
        self.runs = [other for other in self.runs if other.fingerprint != run.fingerprint] + [run]
        self.said[variant, seed] = predictions

    def table(self):
        return results_table(self.runs, self.store, ["training", "evaluation"])

    def read(self, wanted="correct"):
        return read_evidence(variant_runs(self.table()), self.store.folder, wanted)

    def file(self, variant, seed):
        return predictions_file(self.store.path(run_of(variant, seed)), "test")


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path)


def test_seeds_of_a_variant_stand_side_by_side(study):
    plain, wide = study.read("probabilities")
    assert [found.runs.name for found in (plain, wide)] == ["plain", "wide"]
    for found in (plain, wide):
        variant, shown = found.runs.variant, found.evidence
        assert (found.seeds_only, found.aligned, found.no_probabilities) == (None, None, None)
        assert shown.seeds.tolist() == [3, 5, 8]
        np.testing.assert_array_equal(shown.images, IMAGES)
        np.testing.assert_array_equal(shown.labels, LABELS)
        for row, seed in enumerate((3, 5, 8)):
            expected = study.said[variant, seed]
            np.testing.assert_array_equal(shown.correct[row], expected.correct)
            np.testing.assert_array_equal(shown.predicted[row], expected.predicted)
            np.testing.assert_allclose(shown.probabilities[row], expected.probabilities, atol=1e-3)
            assert shown.values[row] == expected.accuracy
            assert shown.validation[row] == pytest.approx(0.25 + seed / 100)


@pytest.mark.parametrize(
    ("wanted", "there"), [("correct", (False, False)), ("predicted", (True, False)), ("probabilities", (True, True))]
)
def test_no_more_is_read_than_is_asked_for(study, wanted, there):
    shown = study.read(wanted)[0].evidence
    assert (shown.predicted is not None, shown.probabilities is not None) == there


def test_probabilities_that_were_not_kept_are_told(tmp_path):
    found = Study(tmp_path, "correct").read("probabilities")[0]
    assert found.evidence.images.size == len(IMAGES)
    assert found.evidence.predicted is not None
    assert found.evidence.probabilities is None
    assert "keeps only the predicted classes" in found.no_probabilities


def test_runs_that_did_not_end_well_or_were_not_scored_are_left_out(study):
    table = study.table()
    table.loc[table["seed"] == 5, "status"] = DIVERGED
    table.loc[table["variant"] == "wide", "test_accuracy"] = np.nan
    [plain] = variant_runs(table)
    assert (plain.name, plain.seeds) == ("plain", (3, 8))


def test_conditions_and_trials_are_variants_of_their_own(study):
    table = study.table()
    more = pd.concat([table.assign(condition="few"), table.assign(condition="many"), table.assign(trial=2)])
    groups = variant_runs(more)
    assert [(group.condition, group.name) for group in groups] == [
        ("few", "plain"),
        ("few", "wide"),
        ("many", "plain"),
        ("many", "wide"),
        (None, "plain, trial 2"),
        (None, "wide, trial 2"),
    ]
    assert all(group.seeds == (3, 5, 8) for group in groups)


def missing(study):
    study.file("plain", 5).unlink()


def truncated(study):
    file = study.file("plain", 5)
    file.write_bytes(file.read_bytes()[:-40])


def of_other_images(study):
    run = run_of("plain", 5)
    study.store.record(replace(run, data_fingerprint="other"), "evaluation", Outcome({}, predictions=(said(1),)))
    other = replace(run, data_fingerprint="other")
    shutil.copy(predictions_file(study.store.path(other), "test"), study.file("plain", 5))


def half_written(study):
    file = study.file("plain", 5)
    file.rename(file.with_name(f".{file.name}.12345678-1-abc.tmp"))


def of_another_scoring(study):
    shutil.copy(study.file("wide", 3), study.file("plain", 5))


def gone(study):
    shutil.rmtree(study.store.path(run_of("plain", 5)))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (missing, "has no predictions of its test images"),
        (truncated, "predictions_test.parquet is damaged"),
        (of_other_images, "is of other images (version other, and the run is of data)"),
        (half_written, "has no predictions of its test images"),
        (of_another_scoring, "says of its test images other than its result"),
        (gone, "is not there any more"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_variant_without_usable_predictions_is_told_of_by_seed_with_the_reason(study, damage, told):
    table = study.table()
    damage(study)
    plain, wide = read_evidence(variant_runs(table), study.store.folder)
    assert plain.seeds_only.startswith("The predictions of 1 of its 3 runs cannot be used: ")
    assert told in plain.seeds_only
    assert plain.evidence.images.size == 0
    assert plain.evidence.values.tolist() == [study.said["plain", seed].accuracy for seed in (3, 5, 8)]
    assert wide.seeds_only is None
    assert wide.evidence.images.size == len(IMAGES)


def test_seeds_that_share_most_of_their_test_images_are_compared_on_these(study):
    study.add("plain", 5, said(9, IMAGES[4:], LABELS[4:]))
    study.add("plain", 8, said(10, IMAGES[:-2], LABELS[:-2]))
    plain, wide = study.read("predicted")
    shown = plain.evidence
    np.testing.assert_array_equal(shown.images, IMAGES[4:-2])
    np.testing.assert_array_equal(shown.labels, LABELS[4:-2])
    np.testing.assert_array_equal(shown.correct[0], study.said["plain", 3].correct[4:-2])
    np.testing.assert_array_equal(shown.correct[1], study.said["plain", 5].correct[:-2])
    np.testing.assert_array_equal(shown.predicted[2], study.said["plain", 8].predicted[4:])
    assert plain.aligned == (
        "The runs of plain were tested with different images (36 to 40); the 34 that all of them share are compared."
    )
    assert wide.aligned is None


@pytest.mark.parametrize(
    ("images", "labels", "told"),
    [
        (IMAGES + 35, LABELS, "of which all share 5), so that they cannot be compared image by image."),
        (IMAGES + 1000, LABELS, "of which all share 0)"),
        (IMAGES[1:], (LABELS[1:] + 1) % CLASSES, "number the classes of the test images differently"),
    ],
    ids=["folds that overlap", "folds", "other numbers of classes"],
)
def test_seeds_that_cannot_stand_side_by_side_are_told_of_by_seed(study, images, labels, told):
    study.add("plain", 5, said(9, images, labels))
    plain = study.read()[0]
    assert told in plain.seeds_only
    assert plain.evidence.images.size == 0


class Reads:
    """How many files of predictions are read, all of them whole, as those of an earlier version."""

    def __init__(self, monkeypatch):
        self.number, read = 0, evidence.read_predictions

        def counted(*arguments, **options):
            self.number += 1
            return read(*arguments, **options)

        monkeypatch.setattr(evidence, "read_predictions", counted)
        monkeypatch.setattr(evidence, "read_digest", lambda *_: None)
        monkeypatch.setattr(evidence, "_WORTH_KEEPING", 1)


def alike(first, second):
    for one, other in zip(first, second, strict=True):
        assert (one.seeds_only, one.aligned) == (other.seeds_only, other.aligned)
        np.testing.assert_array_equal(one.evidence.correct, other.evidence.correct)
        np.testing.assert_array_equal(one.evidence.images, other.evidence.images)
        np.testing.assert_array_equal(one.evidence.values, other.evidence.values)


def test_what_many_runs_got_right_is_read_from_one_file_the_next_time(study, monkeypatch):
    plainly, reads = study.read(), Reads(monkeypatch)
    alike(study.read(), plainly)
    assert (reads.number, (study.store.folder / CACHE).is_file()) == (6, True)
    alike(study.read(), plainly)
    assert reads.number == 6
    study.add("wide", 8, said(77))
    changed = study.read()
    assert reads.number == 7
    np.testing.assert_array_equal(changed[1].evidence.correct[2], said(77).correct)
    assert changed[1].aligned is None


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 half"])
def test_a_damaged_file_of_many_runs_is_made_again(study, monkeypatch, content):
    plainly, reads = study.read(), Reads(monkeypatch)
    (study.store.folder / CACHE).write_bytes(content)
    alike(study.read(), plainly)
    alike(study.read(), plainly)
    assert reads.number == 6


def test_runs_whose_predictions_went_are_not_taken_from_the_file_of_many(study, monkeypatch):
    Reads(monkeypatch)
    study.read()
    study.file("plain", 5).unlink()
    assert "has no predictions" in study.read()[0].seeds_only
    assert "has no predictions" in study.read()[0].seeds_only


def test_a_folder_that_cannot_be_written_is_no_error(study, monkeypatch):
    plainly = study.read()
    Reads(monkeypatch)
    (study.store.folder / CACHE).mkdir()
    (study.store.folder / CACHE / "something").touch()
    alike(study.read(), plainly)


@pytest.mark.parametrize("worth_keeping", [1, 200])
@pytest.mark.parametrize("divided_alike", [True, False])
def test_folds_are_those_in_which_images_were_held_out(tmp_path, monkeypatch, worth_keeping, divided_alike):
    monkeypatch.setattr(evidence, "_WORTH_KEEPING", worth_keeping)
    study, folds = Study(tmp_path), np.arange(40) % 5 + 1
    held_out = [folds if divided_alike else np.roll(folds, seed) for seed in (3, 5, 8)]
    for seed, own in zip((3, 5, 8), held_out, strict=True):
        study.add("wide", seed, replace(said(seed), folds=own))
    for _ in range(2):  # the second time from the file of many runs, where that is worth it
        plain, wide = study.read()
        assert plain.evidence.folds is None
        assert plain.evidence.number_of_folds == 0
        np.testing.assert_array_equal(wide.evidence.folds, held_out)
        assert (wide.evidence.number_of_folds, wide.aligned, wide.seeds_only) == (5, None, None)
        np.testing.assert_array_equal(wide.evidence.correct[1], study.said["wide", 5].correct)


def test_of_images_that_are_known_the_digest_alone_is_read(study, monkeypatch):
    plainly = study.read()
    read = []

    def counted(folder, *arguments, **options):
        read.append(folder.name)
        return read_predictions(folder, *arguments, **options)

    monkeypatch.setattr(evidence, "read_predictions", counted)
    alike(study.read(), plainly)
    assert len(read) == 1
    monkeypatch.setattr(evidence, "read_digest", lambda *_: None)
    alike(study.read(), plainly)
    assert len(read) == 1 + len(study.said)


def rewritten(file, change):
    """A file of predictions with other metadata, and a checksum of them only where `change` makes one."""
    table = pq.read_table(file)
    about = json.loads(table.schema.metadata[b"predictions"])
    pq.write_table(table.replace_schema_metadata({b"predictions": json.dumps(change(about))}), file)


@pytest.mark.parametrize(
    "change",
    [
        lambda about: about | {"digest": about["digest"] | {"correct": "AAAAAAA="}},
        lambda about: about | {"data_fingerprint": "other"},
        lambda about: {name: value for name, value in about.items() if name not in ("digest", "checksum")},
        lambda about: about | {"digest": None},
    ],
    ids=["other bits", "other data", "of an earlier version", "none"],
)
def test_a_digest_that_is_not_what_was_written_is_not_read(tmp_path, change):
    predictions = replace(said(3), data_fingerprint="data")
    write_predictions(tmp_path, predictions)
    digest = read_digest(tmp_path, "data")
    assert digest is not None
    assert digest.images == hash_of_images(predictions.indices, predictions.labels, None)
    right = np.unpackbits(np.frombuffer(digest.bits, np.uint8), count=len(predictions.indices)).astype(bool)
    np.testing.assert_array_equal(right, predictions.correct)
    assert read_digest(tmp_path, "other data") is None
    assert read_digest(tmp_path / "elsewhere", "data") is None
    rewritten(predictions_file(tmp_path, "test"), change)
    assert read_digest(tmp_path, "data") is None
