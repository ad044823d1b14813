"""Nodes of `alphanet` that write down what was found."""

from typing import Any

import pandas as pd

from vision_studies.config.reporting import ReportingSettings
from vision_studies.pipelines.alphanet.settings import AlphanetSettings

_TITLES = {
    "top_1": "Top-1 test accuracy",
    "top_5": "Top-5 test accuracy",
    "nearest": "Test accuracy, neighbours by features counted as right",
    "semantic": "Test accuracy, neighbours by meaning counted as right",
}
_LISTED_CLASSES = 5


def compare_splits(
    settings: AlphanetSettings, reporting: ReportingSettings, accuracies: pd.DataFrame, feature_sets: pd.DataFrame
) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Means, spreads, gains and tests of every experiment and split, and what they say.

    Returns:
        The tables `<metric>`, `<metric>_gains` and `<metric>_tests`, and sentences.
    """
    from vision_studies.pipelines.alphanet.long_tail import paired_gains, summarise
    from vision_studies.pipelines.alphanet.long_tail_sentences import gain_sentences

    statistics = {}
    for metric in _metrics(accuracies):
        statistics[metric] = summarise(accuracies, metric=metric, gain=False, confidence=reporting.confidence)
        statistics[f"{metric}_gains"] = summarise(accuracies, metric=metric, gain=True, confidence=reporting.confidence)
        statistics[f"{metric}_tests"] = paired_gains(accuracies, reporting.confidence, metric=metric)
    said = gain_sentences(statistics["top_1_tests"], confidence=reporting.confidence)
    # Without validation the last epoch is kept, whatever the policy.
    if settings.training.selection.policy == "first_eligible" and "validation_images" in feature_sets:
        said.append(
            f"Of every run the network of epoch {settings.training.minimum_epochs} was kept, whatever its validation, as "
            "the published code does in fact."
        )
    return statistics, said


def tabulate(
    accuracies: pd.DataFrame, changes: pd.DataFrame, classes: pd.DataFrame, relations: pd.DataFrame
) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Tables of splits in Markdown, in LaTeX and as comma-separated means.

    Returns:
        For each format: top_1, top_5, nearest and, where there is WordNet, semantic.
    """
    from vision_studies.pipelines.alphanet import result_tables as alphanet_tables

    tables = {metric: (accuracies, metric) for metric in _metrics(accuracies)}
    for name, kind in (("nearest", "all"), ("semantic", "semantic")):
        own = relations[relations["kind"] == kind]
        if len(own):
            tables[name] = (adjusted(accuracies, changes, classes, own), "adjusted")
    markdown, latex, comma_separated = {}, {}, {}
    for name, (table, metric) in tables.items():
        markdown[name] = alphanet_tables.spreads(table, metric, _TITLES[name]).markdown()
        label = f"tab:alphanet_{name}"
        latex[name] = alphanet_tables.spreads(table, metric, _TITLES[name], label=label, style="superscript").latex()
        comma_separated[name] = alphanet_tables.means(table, metric).csv(1)
    return markdown, latex, comma_separated


def list_combinations(
    class_accuracies: pd.DataFrame, combinations: pd.DataFrame, changes: pd.DataFrame
) -> tuple[dict[str, str], dict[str, str]]:
    """What the few classes that gain most have learnt in every experiment, as text and in Markdown."""
    from vision_studies.pipelines.alphanet.combinations_text import combinations_markdown, combinations_text
    from vision_studies.pipelines.alphanet.learnt_combinations import learnt_combinations, select_classes

    text, markdown = {}, {}
    for experiment in dict.fromkeys(combinations["experiment"]):
        labels = select_classes(class_accuracies, experiment, by="gain", largest=True, number=_LISTED_CLASSES)
        found = learnt_combinations(class_accuracies, combinations, changes, experiment=experiment, labels=labels)
        name = file_name(experiment)
        text[name], markdown[name] = combinations_text(found), combinations_markdown(found)
    return text, markdown


def adjusted(
    accuracies: pd.DataFrame, changes: pd.DataFrame, classes: pd.DataFrame, relations: pd.DataFrame
) -> pd.DataFrame:
    """The rows of `accuracies` of which predictions are known class by class, with the column `adjusted`.

    A prediction counts as right where it is the image's class or one of its neighbours.
    """
    from vision_studies.pipelines.alphanet.prediction_groups import adjusted_accuracy

    labels = {split: own["label"].tolist() for split, own in classes.groupby("split")}
    labels["overall"] = classes["label"].tolist()
    found = []
    for (classifier, experiment), own in changes.groupby(["classifier", "experiment"], sort=False):
        neighbours = relations.loc[relations["classifier"] == classifier, ["label", "neighbour"]]
        for split, members in labels.items():
            rows = adjusted_accuracy(own, neighbours, members)
            for column, name in (("after", experiment), ("before", classifier)):
                known = {"classifier": classifier, "experiment": name, "split": split}
                found.append(rows[["repeat"]].assign(**known, adjusted=rows[column]))
    keys = ["classifier", "experiment", "split", "repeat"]
    return accuracies.merge(pd.concat(found).drop_duplicates(keys), on=keys, how="inner")


def file_name(experiment: str) -> str:
    """An experiment's name as that of a file."""
    return experiment.replace(", ", "_").replace(" ", "_")


def _metrics(accuracies: pd.DataFrame) -> list[Any]:
    return [metric for metric in ("top_1", "top_5") if accuracies[metric].notna().any()]
