import pandas as pd
import pytest

from vision_studies.config.merge import flatten, unflatten
from vision_studies.errors import DataError
from vision_studies.studies.results import SCHEMA, in_order, validate_results


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


def test_rows_stand_by_variant_in_their_first_order_and_by_seed():
    table = in_order(pd.DataFrame([row(variant=name, seed=seed) for seed in (2, 0) for name in ("z", "a", "m")]))
    assert table["variant"].tolist() == list("zzaamm")
    assert table["seed"].tolist() == [0, 2, 0, 2, 0, 2]


def test_what_was_flattened_can_be_nested_again():
    settings = {"a": {"b": {"c": 1}, "d": {}}, "e": [{"f": 2}], "g": None}
    assert unflatten(flatten(settings)) == settings


def test_flatten_keeps_empty_groups_and_lists():
    assert flatten({"a": {"b": 1, "c": {}}, "d": [1, 2]}) == {"a.b": 1, "a.c": {}, "d": [1, 2]}
