import json

import pandas as pd

from vision_studies.reports.tables import answers, configuration_table, gaps


def run(variant, seed=0, pipeline="one", condition=None, **configuration):
    return {
        "pipeline": pipeline,
        "variant": variant,
        "seed": seed,
        "condition": condition,
        "status": "complete",
        "reason": None,
        "test_accuracy": 0.5,
        "configuration": json.dumps(configuration),
    }


def test_a_seed_is_missing_only_where_others_of_its_condition_have_it():
    runs = [run("a", seed, condition="few") for seed in range(3)] + [run("b", 0, condition="many")]
    assert gaps(runs) == []
    assert gaps([*runs, run("c", 2, condition="many")]) == ["b, seed 2: not run", "c, seed 0: not run"]
    assert gaps([{**own, "condition": None} for own in runs]) == ["b, seed 1: not run", "b, seed 2: not run"]


def test_settings_of_variants_stand_side_by_side():
    names, rows = configuration_table(
        [run("a", lr=0.1, depth=3), run("a", seed=1, lr=0.1, depth=3), run("b", lr=0.1, depth=4)]
    )
    assert names == ["a", "b"]
    assert rows == [
        {"key": "depth", "values": ["3", "4"], "value": "3", "differs": True},
        {"key": "lr", "values": ["0.1", "0.1"], "value": "0.1", "differs": False},
    ]


def test_having_a_setting_or_not_differs():
    _, rows = configuration_table([run("a", dropout=0.1), run("b")])
    assert rows == [{"key": "dropout", "values": ["0.1", None], "value": "0.1", "differs": True}]


def test_a_pipeline_s_own_answer_takes_the_place_of_its_comparisons_and_the_others_keep_theirs():
    compared = pd.DataFrame(
        [
            {"pipeline": pipeline, "metric": metric, "sentence": f"{pipeline} {metric}"}
            for pipeline in ("one", "two", "three")
            for metric in ("test_accuracy", "test_loss")
        ]
    )
    compared.loc[compared["pipeline"] == "three", "sentence"] = None
    assert answers(compared, {"two": ["It does."]}) == {"one": ["one test_accuracy"], "two": ["It does."]}
    assert answers(compared[["metric", "sentence"]].head(1), {}) == {"": ["one test_accuracy"]}
    assert answers(None, {}) == {}
