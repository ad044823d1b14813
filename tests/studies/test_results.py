import pandas as pd
import pytest

from vision_studies.config.merge import flatten, unflatten
from vision_studies.errors import DataError
from vision_studies.studies.results import SCHEMA, merge_results, validate_results


def row(**changes):
    values = {
        "pipeline": "cifar_resnet",
        "study": "demo",
        "variant": "plain",
        "trial": 0,
        "seed": 0,
        "configuration": "{}",
        "status": "complete",
        "run_fingerprint": "f",
        "configuration_hash": "c",
        "data_fingerprint": "d",
        "validation_accuracy": 0.5,
    }
    return values | changes


def test_absent_columns_become_missing_values_and_the_schema_is_kept():
    table = validate_results(pd.DataFrame([row()]))
    assert list(table.columns) == list(SCHEMA.names)
    assert pd.isna(table.loc[0, "test_accuracy"])
    assert pd.isna(table.loc[0, "reason"])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row(colour="red")], "unknown columns"),
        ([row(status="done")], "unknown status"),
        ([row(study=None)], "rows without 'study'"),
        ([row(), row()], "names a run twice"),
        ([row(seed="first")], "wrong type"),
    ],
)
def test_wrong_rows_are_refused(rows, message):
    with pytest.raises(DataError, match=message):
        validate_results(pd.DataFrame(rows))


def test_merging_adds_new_runs_and_replaces_those_of_the_same_name():
    stored = pd.DataFrame([row(seed=0), row(seed=1)])
    new = pd.DataFrame([row(seed=1, validation_accuracy=0.9), row(seed=2)])
    merged = merge_results(stored, new)
    assert merged["seed"].tolist() == [0, 1, 2]
    assert merged["validation_accuracy"].tolist() == [0.5, 0.9, 0.5]


def test_rows_of_another_configuration_or_of_other_data_are_not_averaged_with_the_new_ones():
    stored = pd.DataFrame([row(seed=seed, configuration_hash="long") for seed in (0, 1, 2)])
    short = pd.DataFrame([row(seed=0, configuration_hash="short")])
    assert merge_results(stored, short)["configuration_hash"].tolist() == ["short"]
    beside = pd.DataFrame([row(seed=0, variant="other", configuration_hash="short")])
    assert len(merge_results(stored, beside)) == 4
    elsewhere = pd.DataFrame([row(seed=0, variant="other", data_fingerprint="more images")])
    assert merge_results(stored, elsewhere)["data_fingerprint"].tolist() == ["more images"]


def test_a_variant_that_was_taken_out_leaves_when_the_others_change():
    stored = pd.DataFrame([row(variant=name, seed=seed) for name in ("a", "removed") for seed in (0, 1)])
    changed = pd.DataFrame([row(variant="a", seed=0, configuration_hash="changed")])
    assert merge_results(stored, changed)["variant"].tolist() == ["a"]
    unchanged = pd.DataFrame([row(variant="a", seed=0)])
    assert merge_results(stored, unchanged)["variant"].tolist() == ["a", "a", "removed", "removed"]


def test_variants_stay_in_the_order_of_the_newest_table():
    stored = pd.DataFrame([row(variant=name, seed=seed) for seed in (1, 0) for name in ("z", "a", "m")])
    new = pd.DataFrame([row(variant=name, seed=2) for name in ("z", "m")])
    merged = merge_results(stored, new)
    assert merged["variant"].tolist() == list("zzzmmmaa")
    assert merged["seed"].tolist() == [0, 1, 2, 0, 1, 2, 0, 1]


def test_merging_into_nothing_is_the_new_table():
    assert len(merge_results(None, pd.DataFrame([row()]))) == 1


def test_what_was_flattened_can_be_nested_again():
    settings = {"a": {"b": {"c": 1}, "d": {}}, "e": [{"f": 2}], "g": None}
    assert unflatten(flatten(settings)) == settings


def test_flatten_keeps_empty_groups_and_lists():
    assert flatten({"a": {"b": 1, "c": {}}, "d": [1, 2]}) == {"a.b": 1, "a.c": {}, "d": [1, 2]}
