"""Nodes of `alphanet` that draw."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from vision_studies.config.reporting import ReportingSettings
from vision_studies.pipelines.alphanet.settings import AlphanetSettings
from vision_studies.pipelines.alphanet.tables import file_name
from vision_studies.pipelines.partitions import loaded
from vision_studies.studies.method import Context

if TYPE_CHECKING:
    from vision_studies.data.prepared import PreparedData

_MAPPED_CLASSES = 2  # with the largest gain, and as many with the smallest
_EXAMPLES = 8


def plot_study(
    settings: AlphanetSettings,
    reporting: ReportingSettings,
    statistics: dict[str, Any],
    class_accuracies: pd.DataFrame,
    combinations: pd.DataFrame,
    changes: pd.DataFrame,
    relations: pd.DataFrame,
) -> tuple[Figure, Figure, Figure, Figure]:
    """What a reader wants first: splits, and classes, coefficients and predictions of the first experiment's classifier."""
    from vision_studies.pipelines.alphanet.plots.class_bars import class_gain_bars
    from vision_studies.pipelines.alphanet.plots.coefficients import coefficient_densities

    classifier = settings.improved[0]
    experiment = _experiments(class_accuracies, classifier)[0]
    return (
        _over(settings, loaded(statistics["top_1"]), gain=False, confidence=reporting.confidence),
        class_gain_bars(_of(class_accuracies, classifier)),
        coefficient_densities(_of(combinations, classifier)),
        _changes(_of(changes, classifier, experiment), _of(relations, classifier), class_accuracies, "all", experiment),
    )


def plot_every_kind(
    settings: AlphanetSettings,
    reporting: ReportingSettings,
    statistics: dict[str, Any],
    class_accuracies: pd.DataFrame,
    combinations: pd.DataFrame,
    changes: pd.DataFrame,
    relations: pd.DataFrame,
) -> dict[str, Figure]:
    """Every kind of figure that tables are enough for, for all splits, every classifier and every experiment."""
    from vision_studies.pipelines.alphanet.plots.splits import split_points

    figures = {}
    for name, table in statistics.items():
        if name.endswith("_tests"):
            continue
        metric, gain = ("top_5" if name.startswith("top_5") else "top_1"), name.endswith("_gains")
        options: dict[str, Any] = {"gain": gain, "metric": metric, "confidence": reporting.confidence}
        summary = loaded(table)
        figures[f"{name}/points"] = split_points(summary, **options)
        figures[f"{name}/lines"] = _over(settings, summary, **options)
    for classifier in settings.improved:
        own = _of(class_accuracies, classifier)
        figures |= {f"{classifier}/{name}": drawn for name, drawn in _class_figures(own, reporting.confidence)}
        for experiment in _experiments(class_accuracies, classifier):
            place = f"{classifier}/{file_name(experiment)}"
            of_experiment = _of(changes, classifier, experiment), _of(combinations, classifier, experiment)
            predictions = _prediction_figures(*of_experiment, _of(relations, classifier), own, experiment)
            figures |= {f"{place}/{name}": drawn for name, drawn in predictions}
    return figures


def plot_examples(
    context: Context[AlphanetSettings], class_accuracies: pd.DataFrame, combinations: pd.DataFrame
) -> dict[str, Figure]:
    """Classifiers and test features on a plane, and examples of a few class with its neighbours; of each first repeat."""
    from vision_studies.pipelines.alphanet.maps import class_maps
    from vision_studies.pipelines.alphanet.plan import Plan
    from vision_studies.pipelines.alphanet.plots.map import template_figure

    plan = Plan(context)
    figures: dict[str, Figure] = {}
    for classifier in context.settings.improved:
        own = _of(class_accuracies, classifier)
        mapped = min(_MAPPED_CLASSES, max(1, len(_few(own)) // 2))  # none on both sides
        for experiment in _experiments(class_accuracies, classifier):
            for side, largest in (("largest", True), ("smallest", False)):
                maps, names = class_maps(plan, own, experiment, number=mapped, largest=largest)
                title = f"Classes with the {side} gain, {experiment}: classifiers and test images"
                figures[f"{classifier}/{file_name(experiment)}/map_{side}_gain"] = template_figure(maps, names, title)
        if context.data is not None:
            first = _experiments(class_accuracies, classifier)[0]
            figures[f"{classifier}/examples"] = _examples(
                context.data, own, _of(combinations, classifier, first), first
            )
    return figures


def _class_figures(own: pd.DataFrame, confidence: float) -> Iterator[tuple[str, Figure]]:
    from vision_studies.pipelines.alphanet.long_tail import distance_lines, image_lines
    from vision_studies.pipelines.alphanet.plots import class_bars as alphanet_class_bars
    from vision_studies.pipelines.alphanet.plots import class_lines as alphanet_class_lines

    yield "class_gains", alphanet_class_bars.class_gain_bars(own)
    yield "accuracy_and_images", alphanet_class_bars.accuracy_and_images(own)
    lines = image_lines(own, confidence=confidence)
    images = alphanet_class_lines.accuracy_against_images(lines, own, confidence=confidence)
    yield "accuracy_against_images", images
    values: tuple[Any, ...] = ("accuracy", "baseline_accuracy", "gain")
    for value in values:
        lines = distance_lines(own, value=value, confidence=confidence)
        distance = alphanet_class_lines.accuracy_against_distance(own, lines, value=value, confidence=confidence)
        yield f"{value}_against_distance", distance


def _prediction_figures(
    changes: pd.DataFrame,
    combinations: pd.DataFrame,
    relations: pd.DataFrame,
    class_accuracies: pd.DataFrame,
    experiment: str,
) -> Iterator[tuple[str, Figure]]:
    from vision_studies.pipelines.alphanet.plots.coefficients import coefficient_densities
    from vision_studies.pipelines.alphanet.plots.predictions import prediction_counts
    from vision_studies.pipelines.alphanet.prediction_groups import count_groups

    yield "coefficients", coefficient_densities(combinations)
    few = _few(class_accuracies)
    base = sorted(set(class_accuracies["label"]) - set(few))
    for split, labels, kind in (("few", few, "base"), ("base", base, "few")):
        neighbours = relations.loc[relations["kind"] == kind, ["label", "neighbour"]]
        sides: tuple[tuple[Literal["before", "after"], str], ...] = (("before", "baseline"), ("after", "AlphaNet"))
        for which, name in sides:
            counts = count_groups(changes, neighbours, labels, which)
            title = f"Test images of {split} classes, {experiment}: {name}"
            yield f"predictions_{split}_{which}", prediction_counts(counts, title)
    for kind in ("few", "base", "all", "semantic"):
        if (relations["kind"] == kind).any():
            yield f"changes_{kind}", _changes(changes, relations, class_accuracies, kind, experiment)


def _changes(
    changes: pd.DataFrame, relations: pd.DataFrame, class_accuracies: pd.DataFrame, kind: str, experiment: str
) -> Figure:
    """Flows of predictions; images of few classes among base neighbours, of base classes among few ones, or of all."""
    from vision_studies.pipelines.alphanet.plots.predictions import prediction_changes
    from vision_studies.pipelines.alphanet.prediction_groups import group_flows

    few = _few(class_accuracies)
    everything = sorted(set(class_accuracies["label"]))
    shown = {"few": few, "base": sorted(set(everything) - set(few))}.get(kind, everything)
    # A few class is mistaken for base classes, and a base class for few ones: that is what AlphaNet changes.
    among = {"few": "base", "base": "few"}.get(kind, kind)
    neighbours = relations.loc[relations["kind"] == among, ["label", "neighbour"]]
    flows = group_flows(changes, neighbours, shown, few=few)
    of = {
        "few": "images of few classes",
        "base": "images of base classes",
        "semantic": "all images, neighbours by meaning",
    }
    return prediction_changes(flows, f"What becomes of predictions, {experiment}: {of.get(kind, 'all test images')}")


def _examples(data: "PreparedData", own: pd.DataFrame, combinations: pd.DataFrame, experiment: str) -> Figure:
    from vision_studies.pipelines.alphanet.learnt_combinations import select_classes
    from vision_studies.pipelines.alphanet.plots.examples import class_examples

    [label] = select_classes(own, experiment, by="gain", largest=True, number=1)
    repeat = combinations["repeat"].min()
    learnt = combinations[(combinations["label"] == label) & (combinations["repeat"] == repeat)].sort_values("position")
    names = dict(own[["label", "name"]].drop_duplicates().to_numpy())
    labels = [label, *learnt["neighbour"]]
    known = data.image_set.labels[data.splits.train]
    each = min(_EXAMPLES, *(int((known == one).sum()) for one in labels))
    chosen = [data.splits.train[known == one][:each] for one in labels]
    images = np.stack([data.image_set.images[positions] for positions in chosen])
    shown = [str(names[label])] + [
        f"{name}\n{coefficient:+.2f}"
        for name, coefficient in zip(learnt["neighbour_name"], learnt["coefficient"], strict=True)
    ]
    return class_examples(
        images, shown, f"The first training images of each class; coefficients of {experiment}, repeat {repeat}."
    )


def _over(settings: AlphanetSettings, summary: pd.DataFrame, **options: Any) -> Figure:
    """Splits against what the study varies."""
    from vision_studies.pipelines.alphanet.plots.splits import split_lines, split_points

    if len(settings.rhos) > 1:
        return split_lines(summary, over="rho", **options)
    if len(settings.neighbours) > 1:
        return split_lines(summary, over="neighbours", **options)
    return split_points(summary, **options)


def _of(table: pd.DataFrame, classifier: str, experiment: str | None = None) -> pd.DataFrame:
    own = table[table["classifier"] == classifier]
    return own if experiment is None else own[own["experiment"] == experiment]


def _experiments(class_accuracies: pd.DataFrame, classifier: str) -> list[str]:
    own = _of(class_accuracies, classifier)
    return list(dict.fromkeys(own.loc[~own["baseline"].astype(bool), "experiment"]))


def _few(class_accuracies: pd.DataFrame) -> list[int]:
    return sorted(set(class_accuracies.loc[class_accuracies["split"] == "few", "label"]))
