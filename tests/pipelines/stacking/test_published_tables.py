"""The tables of a study, and the two files that the published project has of it."""

import pandas as pd

from vision_studies.config.study import StudySettings
from vision_studies.pipelines.stacking.nodes import tabulate_study

STUDY = StudySettings(name="alpha_study", title="Weight of the base learners' losses", question="?")
SCORES = [("alpha_1", 0.90, 10.0), ("alpha_1", 0.92, 12.0), ("alpha_0.1", 0.80, 12.0), ("average", 0.95, 9.0)]


def entry(name, role, parts=()):
    return {"name": name, "role": role, "stacks": [name], "parts": [*parts]}


def tables():
    common = {"pipeline": "stacking", "configuration": "{}", "parameters": 7.4e6, "macs": 4e8, "best_epoch": 3}
    common |= {"images_per_second": 100.0, "validation_accuracy": 0.9}
    rows = [common | {"variant": name, "test_accuracy": own, "seconds": time} for name, own, time in SCORES]
    part = {"part": "resnet9", "parameters": 2.2e6, "macs": 1e8}
    plan = [entry(name, "stack", [part]) for name in ("alpha_1", "alpha_0.1", "never_scored")]
    return tabulate_study(STUDY, pd.DataFrame(rows), [*plan, entry("average", "average")])


def test_the_published_files_have_the_variants_and_the_others_their_opponents_too():
    markdown, latex = tables()
    assert markdown.keys() - latex.keys() == {"alpha_study_report"}
    assert latex.keys() - markdown.keys() == {"alpha_study_table"}
    for name in ("configuration_comparison", "efficiency_metrics", "training_time_and_accuracy"):
        assert "average" in markdown[name]
    assert "average" not in markdown["alpha_study_report"] + latex["alpha_study_table"]
    body = latex["alpha_study_table"].split(r"\midrule")[1].split(r"\bottomrule")[0]
    assert body.strip().splitlines() == [
        r"alpha\_1 & 91.00 $\pm$ 1.41 & 7.40 M & 11.0 $\pm$ 1.4 \\",
        r"alpha\_0.1 & 80.00 & 7.40 M & 12.0 \\",
    ]


def test_they_say_which_study_it_is():
    markdown, latex = tables()
    named = "alpha_study (Weight of the base learners' losses)"
    assert markdown["alpha_study_report"].startswith("# Weight of the base learners' losses\n")
    headings = [line for line in markdown["alpha_study_report"].splitlines() if line.startswith("## ")]
    sections = ("Configuration comparison", "Efficiency metrics", "Model architecture details")
    assert headings == [f"## {section}: {named}" for section in sections]
    assert rf"\caption{{Results of the study {named.replace('_', chr(92) + '_')}." in latex["alpha_study_table"]
    assert r"\label{tab:alpha_study}" in latex["alpha_study_table"]
