import json

import pandas as pd

from vision_studies.reports.tables import CAPTIONS, as_texts, study_tables


def rows():
    common = {"pipeline": "cifar_resnet", "study": "demo", "best_epoch": 3, "images_per_second": 100.0}
    plain = {
        "variant": "plain_x",
        "parameters": 2_000_000,
        "macs": 417e6,
        "configuration": '{"model.name": "resnet_small"}',
    }
    learners = [{"model": {"name": "resnet9"}}, {"model": {"name": "resnet9"}}, {"model": {"name": "vit_b_16"}}]
    stack = {
        "variant": "stack",
        "parameters": 4_000_000,
        "macs": 1e9,
        "configuration": json.dumps({"base_learners": learners, "protocol": "published"}),
    }
    return pd.DataFrame(
        [
            common | plain | {"test_accuracy": 0.90, "validation_accuracy": 0.91, "seconds": 9.0},
            common | plain | {"test_accuracy": 0.92, "validation_accuracy": 0.93, "seconds": 11.0},
            common | plain | {"test_accuracy": None, "validation_accuracy": 0.5, "seconds": 99.0},
            common | stack | {"test_accuracy": 0.95, "validation_accuracy": 0.96, "seconds": 20.0, "best_epoch": None},
        ]
    )


RELIABILITY = {
    "cifar_resnet": [{"Variant": "plain_x", "Probabilities": "temperature", "AURC": "0.0100 (0.0080 to 0.0120)"}]
}


def called(pipeline, configuration):
    return json.loads(configuration).get("model.name", "")


def test_means_and_deviations_of_scored_runs():
    tables = study_tables(rows(), called)
    assert tables["configuration_comparison"] == [
        {
            "Configuration": "plain_x",
            "n": "2",
            "Final Accuracy (%)": "91.00 ± 1.41",
            "Total Parameters": "2.00 M",
            "Operations (MACs)": "417 M",
            "Training Time (s)": "10.0 ± 1.4",
        },
        {
            "Configuration": "stack [protocol: published]",
            "n": "1",
            "Final Accuracy (%)": "95.00",
            "Total Parameters": "4.00 M",
            "Operations (MACs)": "1.00 G",
            "Training Time (s)": "20.0",
        },
    ]
    efficiency = tables["efficiency_metrics"][0]
    assert (efficiency["Accuracy per million parameters"], efficiency["Accuracy per second"]) == ("45.500", "9.100")
    times = tables["training_time_and_accuracy"]
    assert [row["Validation Accuracy (%)"] for row in times] == ["92.00 ± 1.41", "96.00"]
    assert [row["Best epoch"] for row in times] == ["3.0 ± 0.0", "–"]
    assert [row["Networks"] for row in tables["architecture_details"]] == ["resnet_small", "–"]


def test_test_images_behind_an_accuracy_are_counted_where_they_are_known():
    found = study_tables(rows(), called, {("cifar_resnet", "plain_x"): 1234})["configuration_comparison"]
    assert [row["Test images"] for row in found] == ["1,234", "–"]
    assert list(found[0])[:3] == ["Configuration", "n", "Test images"]


def test_several_pipelines_are_told_apart():
    mixed = pd.concat([rows(), rows().assign(pipeline="stacking")])
    found = study_tables(mixed, called)["configuration_comparison"]
    assert [row["Pipeline"] for row in found] == ["cifar_resnet"] * 2 + ["stacking"] * 2
    [own] = study_tables(mixed, called, reliability=RELIABILITY)["reliability"]
    assert (own["Pipeline"], own["Variant"], own["AURC"]) == ("cifar_resnet", "plain_x", "0.0100 (0.0080 to 0.0120)")


def test_tables_are_written_for_readers_for_papers_and_for_programs():
    texts = as_texts(study_tables(rows(), called), "demo", "A rehearsal")
    names = {"configuration_comparison", "efficiency_metrics", "training_time_and_accuracy", "architecture_details"}
    assert {kind: set(files) for kind, files in texts.items()} == {"md": names, "tex": names, "csv": names}
    latex = texts["tex"]["configuration_comparison"]
    assert r"\toprule" in latex
    assert r"plain\_x" in latex
    assert r"$\pm$" in latex
    assert (
        texts["csv"]["architecture_details"].splitlines()[0]
        == "Configuration,Networks,Total Parameters,Operations (MACs)"
    )


def test_headings_captions_and_labels_say_the_study():
    for study, title, named in (("a_b+demo", "A rehearsal", "a_b+demo (A rehearsal)"), ("a_b", "a_b", "a_b")):
        texts = as_texts(study_tables(rows(), called, reliability=RELIABILITY), study, title)
        for name, heading in CAPTIONS.items():
            assert texts["md"][name].startswith(f"## {heading}: {named}\n")
            latex = texts["tex"][name]
            assert rf"\caption{{{heading} of the study {named.replace('_', chr(92) + '_')}.}}" in latex
            assert rf"\label{{tab:{study}_{name}}}" in latex


def test_a_study_that_has_scored_nothing_has_no_tables():
    nothing = rows().assign(test_accuracy=float("nan"))
    assert as_texts(study_tables(nothing, called), "demo", "A rehearsal") == {"md": {}, "tex": {}, "csv": {}}
