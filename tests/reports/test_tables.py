import json

from vision_studies.reports.tables import configuration_table, gaps


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


def test_settings_that_another_pipeline_lacks_do_not_differ():
    runs = [run("a", lr=0.1, depth=3), run("b", lr=0.1, depth=4), run("c", pipeline="two", lr=0.1, width=8)]
    names, rows = configuration_table(runs)
    assert names == ["a", "b", "c"]
    found = {row["key"]: (row["values"], row["value"], row["differs"]) for row in rows}
    assert found == {
        "depth": (["3", "4", None], "3", True),
        "lr": (["0.1", "0.1", "0.1"], "0.1", False),
        "width": ([None, None, "8"], "8", False),
    }


def test_having_a_setting_or_not_differs_within_a_pipeline():
    _, rows = configuration_table([run("a", dropout=0.1), run("b")])
    assert rows == [{"key": "dropout", "values": ["0.1", None], "value": "0.1", "differs": True}]
