"""Nodes of `alphanet` that draw."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from vision_studies.config.study import ReportingSettings
from vision_studies.pipelines.alphanet import long_tail
from vision_studies.pipelines.alphanet.learnt_combinations import select_classes
from vision_studies.pipelines.alphanet.plots import accuracies, neighbours, predictions
from vision_studies.pipelines.alphanet.plots import trade_offs as of_all
from vision_studies.pipelines.alphanet.prediction_groups import count_groups, group_flows
from vision_studies.pipelines.alphanet.settings import AlphanetSettings
from vision_studies.pipelines.alphanet.tables import file_name
from vision_studies.pipelines.alphanet.trade_offs import AREAS, GAPS
from vision_studies.pipelines.partitions import loaded
from vision_studies.studies.method import Context

if TYPE_CHECKING:
    from vision_studies.data.prepared import PreparedData

_MAPPED_CLASSES = 2  # with the largest gain, and as many with the smallest
_EXAMPLES = 8
_SHOWN = {
    "few": "images of few classes",
    "base": "images of base classes",
    "all": "all test images",
    "semantic": "all images, neighbours by meaning",
}


def plot_study(
    settings: AlphanetSettings, reporting: ReportingSettings, statistics: dict[str, Any], *tables: pd.DataFrame
) -> tuple[Figure, Figure, Figure, Figure]:
    """What a reader wants first: splits, and classes, coefficients and predictions of the first experiment's classifier.

    The tables are class_accuracies, combinations, changes and relations.
    """
    class_accuracies, combinations, changes, relations = tables
    class_accuracies = long_tail.first_tail(class_accuracies)
    classifier = settings.improved[0]
    experiment = _experiments(class_accuracies, classifier)[0]
    return (
        _over(settings, loaded(statistics["top_1"]), gain=False, **_intervals(reporting)),
        accuracies.class_gain_bars(_of(class_accuracies, classifier)),
        neighbours.coefficient_densities(_of(combinations, classifier)),
        _changes(_of(changes, classifier, experiment), _of(relations, classifier), class_accuracies, "all", experiment),
    )


def plot_every_kind(
    settings: AlphanetSettings, reporting: ReportingSettings, statistics: dict[str, Any], *tables: pd.DataFrame
) -> dict[str, Figure]:
    """Every kind of figure that the tables of `plot_study` are enough for, for all splits, classifiers and experiments.

    Trade-offs come after these tables.
    """
    class_accuracies, combinations, changes, relations, trade_offs = tables
    figures = {
        "accuracy_against_frequency": of_all.accuracy_against_frequency(
            class_accuracies, confidence=reporting.confidence, interval=reporting.interval
        ),
        "few_against_many": of_all.few_against_many(trade_offs, loaded(statistics[AREAS])),
    }
    class_accuracies = long_tail.first_tail(class_accuracies)
    for name, table in statistics.items():
        if name.endswith("_tests") or name in (AREAS, GAPS):
            continue
        options: dict[str, Any] = {"gain": name.endswith("_gains"), "metric": name.removesuffix("_gains")}
        options |= _intervals(reporting)
        summary = loaded(table)
        figures[f"{name}/points"] = accuracies.split_points(summary, **options)
        figures[f"{name}/lines"] = _over(settings, summary, **options)
    for classifier in settings.improved:
        classes = _of(class_accuracies, classifier)
        for name, figure in class_figures(classes, **_intervals(reporting)):
            figures[f"{classifier}/{name}"] = figure
        for experiment in _experiments(class_accuracies, classifier):
            learnt, changed = _of(combinations, classifier, experiment), _of(changes, classifier, experiment)
            figures[f"{classifier}/{file_name(experiment)}/coefficients"] = neighbours.coefficient_densities(learnt)
            for name, figure in _prediction_figures(changed, _of(relations, classifier), classes, experiment):
                figures[f"{classifier}/{file_name(experiment)}/{name}"] = figure
    return figures


def plot_examples(
    context: Context[AlphanetSettings], class_accuracies: pd.DataFrame, combinations: pd.DataFrame
) -> dict[str, Figure]:
    """Classifiers and test features on a plane, and examples of a few class with its neighbours; of each first repeat."""
    from vision_studies.pipelines.alphanet.plan import Plan
    from vision_studies.pipelines.alphanet.template_map import class_maps

    plan = Plan(context)
    class_accuracies = long_tail.first_tail(class_accuracies)
    figures: dict[str, Figure] = {}
    for classifier in context.settings.improved:
        classes = _of(class_accuracies, classifier)
        mapped = min(_MAPPED_CLASSES, max(1, len(_few(classes)) // 2))  # none on both sides
        experiments = _experiments(class_accuracies, classifier)
        for experiment in experiments:
            for side in ("largest", "smallest"):
                maps, names = class_maps(plan, classes, experiment, number=mapped, largest=side == "largest")
                title = f"Classes with the {side} gain, {experiment}: classifiers and test images"
                figure = neighbours.template_figure(maps, names, title)
                figures[f"{classifier}/{file_name(experiment)}/map_{side}_gain"] = figure
        if context.data is not None:
            learnt = _of(combinations, classifier, experiments[0])
            figures[f"{classifier}/examples"] = _examples(plan.prepared(), classes, learnt, experiments[0])
    return figures


def _intervals(reporting: ReportingSettings) -> dict[str, Any]:
    return {"confidence": reporting.confidence, "interval": reporting.interval}


def class_figures(classes: pd.DataFrame, **intervals: Any) -> Iterator[tuple[str, Figure]]:
    """Figures that the table of class accuracies is enough for, by name; `intervals` are their confidence and interval."""
    yield "class_gains", accuracies.class_gain_bars(classes)
    yield "accuracy_and_images", accuracies.accuracy_and_images(classes)
    lines = long_tail.image_lines(classes, **intervals)
    yield "accuracy_against_images", accuracies.accuracy_against_images(lines, classes, **intervals)
    for value in get_args(long_tail.Value):
        lines = long_tail.distance_lines(classes, value=value, **intervals)
        figure = accuracies.accuracy_against_distance(classes, lines, value=value, **intervals)
        yield f"{value}_against_distance", figure


def _prediction_figures(
    changes: pd.DataFrame, relations: pd.DataFrame, classes: pd.DataFrame, experiment: str
) -> Iterator[tuple[str, Figure]]:
    sides: dict[Literal["before", "after"], str] = {"before": "baseline", "after": "AlphaNet"}
    for split in ("few", "base"):
        labels, related = _labels_and_neighbours(split, relations, classes)
        for which, name in sides.items():
            counts = count_groups(changes, related, labels, which)
            title = f"Test images of {split} classes, {experiment}: {name}"
            yield f"predictions_{split}_{which}", predictions.prediction_counts(counts, title)
    for kind in _SHOWN:
        if (relations["kind"] == kind).any():
            yield f"changes_{kind}", _changes(changes, relations, classes, kind, experiment)


def _changes(
    changes: pd.DataFrame, relations: pd.DataFrame, classes: pd.DataFrame, kind: str, experiment: str
) -> Figure:
    """Flows of predictions; images of few classes among base neighbours, of base classes among few ones, or of all."""
    labels, related = _labels_and_neighbours(kind, relations, classes)
    flows = group_flows(changes, related, labels, few=_few(classes))
    return predictions.prediction_changes(flows, f"What becomes of predictions, {experiment}: {_SHOWN[kind]}")


def _labels_and_neighbours(kind: str, relations: pd.DataFrame, classes: pd.DataFrame) -> tuple[list[int], pd.DataFrame]:
    """True classes that are shown, and neighbours that they may be mistaken for."""
    few, everything = _few(classes), sorted(set(classes["label"]))
    labels = {"few": few, "base": sorted(set(everything) - set(few))}.get(kind, everything)
    # A few class is mistaken for base classes, and a base class for few ones: that is what AlphaNet changes.
    among = {"few": "base", "base": "few"}.get(kind, kind)
    return labels, relations.loc[relations["kind"] == among, ["label", "neighbour"]]


def _examples(data: "PreparedData", classes: pd.DataFrame, combinations: pd.DataFrame, experiment: str) -> Figure:
    [label] = select_classes(classes, experiment, by="gain", largest=True, number=1)
    repeat = combinations["repeat"].min()
    learnt = combinations[(combinations["label"] == label) & (combinations["repeat"] == repeat)].sort_values("position")
    train = data.splits.train
    examples = [train[data.image_set.labels[train] == one] for one in (label, *learnt["neighbour"])]
    each = min(_EXAMPLES, *map(len, examples))
    images = np.stack([data.image_set.images[positions[:each]] for positions in examples])
    names = [str(classes.loc[classes["label"] == label, "name"].iloc[0])]
    names += [f"{row.neighbour_name}\n{row.coefficient:+.2f}" for row in learnt.itertuples()]
    note = f"The first training images of each class; coefficients of {experiment}, repeat {repeat}."
    return neighbours.class_examples(images, names, note)


def _over(settings: AlphanetSettings, summary: pd.DataFrame, **options: Any) -> Figure:
    """Splits against what the study varies."""
    if len(settings.rhos) > 1:
        return accuracies.split_lines(summary, over="rho", **options)
    if len(settings.neighbours) > 1:
        return accuracies.split_lines(summary, over="neighbours", **options)
    return accuracies.split_points(summary, **options)


def _of(table: pd.DataFrame, classifier: str, experiment: str | None = None) -> pd.DataFrame:
    rows = table["classifier"] == classifier
    return table[rows if experiment is None else rows & (table["experiment"] == experiment)]


def _experiments(class_accuracies: pd.DataFrame, classifier: str) -> list[str]:
    of_classifier = _of(class_accuracies, classifier)
    return list(of_classifier.loc[~of_classifier["baseline"].astype(bool), "experiment"].unique())


def _few(classes: pd.DataFrame) -> list[int]:
    return sorted(set(classes.loc[classes["split"] == "few", "label"]))
