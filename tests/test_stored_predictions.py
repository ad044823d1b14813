"""Predictions as files: what is written is read, and what cannot be read is said in a sentence."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from vision_studies.files import write_json
from vision_studies.predictions import TOP_CLASSES, Predictions
from vision_studies.run_folders import DESCRIPTION_FILE, predictions_file
from vision_studies.stored_predictions import Unavailable, all_probabilities, read_predictions, write_predictions

DATA = "0123456789abcdef"


def made_up(images=200, classes=10, seed=0) -> Predictions:
    generator = np.random.default_rng(seed)
    labels, indices = generator.integers(0, classes, images), 1000 + generator.permutation(images)
    logits = generator.normal(0, 1.5, (images, classes))
    logits[np.arange(images), labels] += generator.normal(6, 4, images)
    said = np.exp(logits - logits.max(axis=1, keepdims=True))
    made = Predictions.of("test", indices, labels, said / said.sum(axis=1, keepdims=True))
    return replace(made, data_fingerprint=DATA)


@pytest.fixture
def folder(tmp_path):
    write_json(tmp_path / DESCRIPTION_FILE, {"data_fingerprint": DATA})
    return tmp_path


@pytest.mark.parametrize("detail", ["full", "top", "correct"])
@pytest.mark.parametrize("classes", [2, 10, 300])
def test_what_is_written_is_read_in_every_detail(folder, detail, classes):
    whole = made_up(classes=classes)
    asked = replace(whole, marks={"seen": whole.correct}, classes=np.arange(classes)[::-1].copy()).at(detail)
    write_predictions(folder, asked)
    read = read_predictions(folder)
    assert isinstance(read, Predictions)
    for name in ("indices", "labels", "predicted", "correct", "classes"):
        np.testing.assert_array_equal(getattr(read, name), getattr(asked, name))
    np.testing.assert_array_equal(read.marks["seen"], whole.correct)
    few = detail == "top" and classes <= TOP_CLASSES  # all of them are as short
    assert (read.detail, read.accuracy, read.data_fingerprint) == ("full" if few else detail, whole.accuracy, DATA)
    if read.detail == "full":
        np.testing.assert_allclose(read.probabilities, whole.probabilities, rtol=1e-3, atol=1e-7)
    if read.detail == "top":
        assert read.top.classes.shape == (200, TOP_CLASSES)
        np.testing.assert_array_equal(read.top.classes[:, 0], whole.predicted)
        best = -np.sort(-whole.probabilities, axis=1)[:, :TOP_CLASSES]
        np.testing.assert_allclose(read.top.probabilities, best, rtol=1e-3, atol=1e-7)
    without = read_predictions(folder, probabilities=False)
    assert without.detail == "correct"
    assert without.accuracy == whole.accuracy


def test_images_are_in_the_order_of_the_image_set_and_equal_probabilities_keep_their_first_class(folder):
    said = np.array([[0.5, 0.5], [0.2, 0.8], [0.50001, 0.49999]])
    write_predictions(folder, replace(Predictions.of("test", np.array([9, 4, 6]), np.array([0, 1, 0]), said)))
    read = read_predictions(folder, data_fingerprint=None)
    assert isinstance(read, Unavailable)  # it was written for no data
    write_predictions(
        folder, replace(Predictions.of("test", np.array([9, 4, 6]), np.array([0, 1, 0]), said), data_fingerprint=DATA)
    )
    read = read_predictions(folder)
    assert read.indices.tolist() == [4, 6, 9]
    assert read.predicted.tolist() == [1, 0, 0]  # though both are 0.5 in half precision


@pytest.mark.parametrize(("detail", "largest"), [("full", 250_000), ("top", 160_000), ("correct", 16_000)])
def test_files_of_ten_thousand_images_are_as_small_as_the_documentation_says(folder, detail, largest):
    write_predictions(folder, made_up(10_000).at(detail))
    assert predictions_file(folder, "test").stat().st_size < largest


def truncated(file):
    file.write_bytes(file.read_bytes()[:-100])


def cut_in_the_middle(file):
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 3] + content[len(content) // 3 + 50 :])


def a_changed_byte(file):
    content = bytearray(file.read_bytes())
    content[500] ^= 255
    file.write_bytes(content)


def no_file_of_parquet(file):
    file.write_text("index,label\n", encoding="utf-8")


def other_columns(file):
    pd.DataFrame({"index": [1, 2]}).to_parquet(file)


def no_labels(file):
    import pyarrow.parquet as pq

    table = pq.read_table(file)
    pq.write_table(table.drop_columns(["label"]), file)


def fewer_probabilities(file):
    import pyarrow.parquet as pq

    table = pq.read_table(file)
    pq.write_table(table.drop_columns(["probability_3"]), file)


def images_twice(file):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(file)
    pq.write_table(pa.concat_tables([table, table]), file)


def of_other_images(file):
    write_predictions(file.parent, replace(made_up(), data_fingerprint="fedcba9876543210"))


def of_another_split(file):
    write_predictions(file.parent, replace(made_up(), split="validation"))
    shutil.move(predictions_file(file.parent, "validation"), file)


def half_written(file):
    file.rename(file.with_name(f".{file.name}.12345678-1-abc.tmp"))


def a_folder(file):
    file.unlink()
    file.mkdir()


def no_description(file):
    (file.parent / DESCRIPTION_FILE).unlink()


def damaged_description(file):
    (file.parent / DESCRIPTION_FILE).write_text("{", encoding="utf-8")


def no_run(file):
    shutil.rmtree(file.parent)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (truncated, "predictions_test.parquet is damaged"),
        (cut_in_the_middle, "predictions_test.parquet is damaged"),
        (a_changed_byte, "predictions_test.parquet is damaged"),
        (no_file_of_parquet, "predictions_test.parquet is damaged"),
        (other_columns, "predictions_test.parquet is damaged"),
        (no_labels, "is damaged (its columns are not those that were written)"),
        (fewer_probabilities, "is damaged (its columns are not those that were written)"),
        (images_twice, "is damaged (images repeat"),
        (of_other_images, f"is of other images (version fedcba9876543210, and the run is of {DATA})"),
        (of_another_split, "is damaged (it is of another kind: validation"),
        (half_written, "has no predictions of its test images: they were deleted, or the run was scored by an earlier"),
        (a_folder, "predictions_test.parquet is damaged"),
        (no_description, "is no run: it has no description"),
        (damaged_description, "run.json is damaged"),
        (no_run, "is not there any more"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_predictions_that_cannot_be_used_are_told_in_a_sentence(folder, damage, told):
    runs = folder / "run"
    runs.mkdir()
    shutil.copy(folder / DESCRIPTION_FILE, runs)
    write_predictions(runs, made_up())
    damage(predictions_file(runs, "test"))
    answer = read_predictions(runs)
    assert isinstance(answer, Unavailable)
    assert told in answer.reason
    assert answer.reason.endswith(".")
    assert "\n" not in answer.reason


def test_probabilities_that_were_not_kept_are_told(folder):
    for detail, what in (("top", "the most probable classes"), ("correct", "the predicted classes")):
        answer = all_probabilities(folder, made_up().at(detail))
        assert f"keeps only {what} of its test images; set execution.predictions to full" in answer.reason
    np.testing.assert_array_equal(all_probabilities(folder, made_up()), made_up().probabilities)


def test_predictions_of_earlier_versions_are_read(folder):
    said = np.array([[0.2, 0.8], [0.6, 0.4]], np.float32)
    stored = {"indices": np.array([8, 5]), "labels": np.array([1, 1]), "probabilities_1": said}
    save_file(stored | {"probabilities_8": said[:, ::-1].copy()}, folder / "predictions.safetensors")
    plain, views = read_predictions(folder), read_predictions(folder, views=8)
    assert (plain.indices.tolist(), plain.correct.tolist()) == ([5, 8], [False, True])
    np.testing.assert_array_equal(plain.probabilities, said[::-1])
    assert views.correct.tolist() == [True, False]
    assert "has no predictions" in read_predictions(folder, views=16).reason
    (folder / "predictions.safetensors").write_bytes(b"no tensors")
    assert "predictions.safetensors is damaged" in read_predictions(folder).reason
