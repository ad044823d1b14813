"""Nodes of `alphanet` that write down what was found, and the tables of accuracies that they and the command write.

These are made from the table `accuracies` (see `long_tail`); a column `data`, where there is one, tells data sets apart.
"""

from typing import Any, Literal, get_args

import pandas as pd

from vision_studies.config.study import ReportingSettings
from vision_studies.errors import ParameterError
from vision_studies.pipelines.alphanet import learnt_combinations as learnt
from vision_studies.pipelines.alphanet.long_tail import (
    METRIC_NAMES,
    Metric,
    first_tail,
    gain_sentences,
    paired_gains,
    summarise,
)
from vision_studies.pipelines.alphanet.prediction_groups import adjusted_accuracy
from vision_studies.pipelines.alphanet.settings import AlphanetSettings
from vision_studies.pipelines.alphanet.trade_offs import AREAS, GAPS, areas, gaps
from vision_studies.pipelines.alphanet.trade_offs import sentences as trade_off_sentences
from vision_studies.reports.formatting import is_missing, spread
from vision_studies.reports.table import Latex, Table

Style = Literal["superscript", "plus_minus"]
"""How a standard deviation stands beside its mean."""

TITLES = {
    "top_1": "Top-1 test accuracy",
    "top_5": "Top-5 test accuracy",
    "nearest": "Test accuracy, neighbours by features counted as right",
    "semantic": "Test accuracy, neighbours by meaning counted as right",
}
SPLITS = ("few", "medium", "many", "overall")
"""Groups of classes, by how many training images they have, and all of them together."""

_HEADINGS = ("Few", "Med.", "Many", "Overall")
_SPREADS = {
    "plus_minus": "mean ± sample standard deviation",
    "superscript": "mean with the sample standard deviation as superscript",
}
_CELLS = {
    ("superscript", False): "${:4.1f}^{{{:0{}.2f}}}$",
    ("superscript", True): "{:4.1f}^{:0{}.2f}^",
    ("plus_minus", False): "{:4.1f} ± {:{}.2f}",
    ("plus_minus", True): "{:4.1f}^±{:0{}.2f}^",
}
"""By style and whether it is for the web: mean, deviation and the width of the deviation."""

_LISTED_CLASSES = 5


def compare_splits(
    settings: AlphanetSettings,
    reporting: ReportingSettings,
    accuracies: pd.DataFrame,
    feature_sets: pd.DataFrame,
    trade_offs: pd.DataFrame,
) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Means, spreads, gains and tests of every experiment and split, and what they say.

    Returns:
        The tables `<metric>`, `<metric>_gains` and `<metric>_tests`, areas under trade-offs and what AlphaNet has beside
        them, and sentences.
    """
    statistics = {}
    for metric in _metrics(accuracies):
        for name, gain in ((metric, False), (f"{metric}_gains", True)):
            intervals: dict[str, Any] = {"confidence": reporting.confidence, "interval": reporting.interval}
            statistics[name] = summarise(accuracies, metric=metric, gain=gain, **intervals)
        statistics[f"{metric}_tests"] = paired_gains(accuracies, reporting.confidence, metric=metric)
    statistics[AREAS] = areas(trade_offs, confidence=reporting.confidence, interval=reporting.interval)
    statistics[GAPS] = gaps(trade_offs, confidence=reporting.confidence)
    sentences = gain_sentences(statistics["top_1_tests"], confidence=reporting.confidence)
    sentences += trade_off_sentences(statistics[AREAS], statistics[GAPS])
    # Without validation the last epoch is kept, whatever the policy.
    if settings.training.selection.policy == "first_eligible" and "validation_images" in feature_sets:
        sentences.append(
            f"Of every run the network of epoch {settings.training.minimum_epochs} was kept, whatever its validation, as "
            "the published code does in fact."
        )
    return statistics, sentences


def tabulate(
    accuracies: pd.DataFrame, changes: pd.DataFrame, classes: pd.DataFrame, relations: pd.DataFrame
) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Tables of splits in Markdown, in LaTeX and as comma-separated means.

    Returns:
        For each format: top_1, top_5, nearest and, where there is WordNet, semantic.
    """
    tables: dict[str, tuple[pd.DataFrame, str]] = {metric: (accuracies, metric) for metric in _metrics(accuracies)}
    for name, kind in (("nearest", "all"), ("semantic", "semantic")):
        related = relations[relations["kind"] == kind]
        if len(related):
            tables[name] = (adjusted(accuracies, changes, classes, related), "adjusted")
    markdown, latex, comma_separated = {}, {}, {}
    for name, (table, metric) in tables.items():
        markdown[name] = spreads(table, metric, TITLES[name]).markdown()
        label = f"tab:alphanet_{name}"
        latex[name] = spreads(table, metric, TITLES[name], label=label, style="superscript").latex()
        comma_separated[name] = means(table, metric).csv(1)
    return markdown, latex, comma_separated


def list_combinations(
    class_accuracies: pd.DataFrame, combinations: pd.DataFrame, changes: pd.DataFrame
) -> tuple[dict[str, str], dict[str, str]]:
    """What the few classes that gain most have learnt in every experiment, as text and in Markdown."""
    listings, markdown = {}, {}
    class_accuracies = first_tail(class_accuracies)
    for experiment in combinations["experiment"].unique():
        labels = learnt.select_classes(class_accuracies, experiment, by="gain", largest=True, number=_LISTED_CLASSES)
        tables = (class_accuracies, combinations, changes)
        of_classes = learnt.learnt_combinations(*tables, experiment=experiment, labels=labels)
        listings[file_name(experiment)] = learnt.combinations_text(of_classes)
        markdown[file_name(experiment)] = learnt.combinations_markdown(of_classes)
    return listings, markdown


def adjusted(
    accuracies: pd.DataFrame, changes: pd.DataFrame, classes: pd.DataFrame, relations: pd.DataFrame
) -> pd.DataFrame:
    """The rows of `accuracies` of which predictions are known class by class, with the column `adjusted`.

    A prediction counts as right where it is the image's class or one of its neighbours.
    """
    labels = {split: rows["label"].tolist() for split, rows in classes.groupby("split")}
    labels["overall"] = classes["label"].tolist()
    tables = []
    for classifier, changed in changes.groupby("classifier", sort=False):
        neighbours = relations.loc[relations["classifier"] == classifier, ["label", "neighbour"]]
        for split, members in labels.items():
            rows = adjusted_accuracy(changed, neighbours, members).assign(split=split)
            tables += [rows.assign(adjusted=rows["after"]), rows.assign(adjusted=rows["before"], experiment=classifier)]
    keys = ["classifier", "experiment", "split", "repeat"]
    fractions = pd.concat(tables)[[*keys, "adjusted"]].drop_duplicates(keys)
    return accuracies.merge(fractions, on=keys, how="inner")


def split_table(accuracies: pd.DataFrame, *, metric: str) -> pd.DataFrame:
    """Sum up every experiment over its repeats.

    Args:
        accuracies: columns classifier, experiment, baseline (bool), split and the metric; optionally data.
        metric: a column of fractions, such as top_1; missing values do not count.

    Returns:
        One row an experiment, by data set and classifier in the order of the input, baselines first among those of a
        classifier: data (if the input has it), classifier, experiment, baseline, and for each of `SPLITS`
        `<split>_mean`, `<split>_deviation` (of the sample; NaN for fewer than two repeats) and `<split>_n`.

    Raises:
        ParameterError: a column is missing, or there is no row.
    """
    missing = [name for name in ("classifier", "experiment", "baseline", "split", metric) if name not in accuracies]
    if missing:
        raise ParameterError(
            f"The table of accuracies has no column '{missing[0]}'; its columns are {list(accuracies.columns)}."
        )
    if accuracies.empty:
        raise ParameterError("The table of accuracies has no rows; train an experiment first or choose others.")
    groups = [name for name in ("data", "classifier") if name in accuracies]
    keys = [*groups, "experiment", "baseline"]
    table = accuracies[keys].drop_duplicates(ignore_index=True)
    order = table[groups].apply(lambda names: pd.factorize(names)[0]).assign(later=~table["baseline"].astype(bool))
    table = table.loc[order.sort_values([*groups, "later"], kind="stable").index].reset_index(drop=True)
    for split in SPLITS:
        rows = accuracies[accuracies["split"] == split].groupby(keys, sort=False)[metric]
        described = rows.agg(["mean", "std", "count"]).set_axis(["mean", "deviation", "n"], axis=1)
        table = table.join(described.add_prefix(f"{split}_"), on=keys)
    counts = [f"{split}_n" for split in SPLITS]
    return table.assign(**table[counts].fillna(0).astype(int))


def spreads(
    accuracies: pd.DataFrame, metric: str, title: str, *, label: str = "", style: Style = "plus_minus"
) -> Table:
    """Mean and standard deviation of every experiment and split in percent, with the number of repeats in its note.

    Args:
        accuracies: as for `split_table`; several data sets have a column for their name.
        metric: a column of fractions.
        title: its heading.
        label: to refer to it by.
        style: 39.7 ± 1.42 or, for LaTeX alone, `$39.7^{1.42}$`.
    """
    table = split_table(accuracies, metric=metric)
    groups = table[[name for name in ("data", "classifier") if name in table]]
    begins = [number for number, new in enumerate(groups.ne(groups.shift()).any(axis=1)) if new]
    names = table[["experiment"]].astype(str).set_axis(["Experiment"], axis=1)
    if _several(table):  # a data set is named in the first of its rows alone
        names.insert(0, "Data", table["data"].astype(str).where(table["data"].ne(table["data"].shift()), ""))
    rows = [
        name | {heading: _spread(row, split, style) for split, heading in zip(SPLITS, _HEADINGS, strict=True)}
        for name, row in zip(names.to_dict("records"), table.to_dict("records"), strict=True)
    ]
    align = "l" * len(names.columns) + "r" * len(SPLITS)
    return Table(rows, title, label=label, note=_note(table, metric, style), align=align, begins=begins)


def means(accuracies: pd.DataFrame, metric: str) -> Table:
    """Means alone, in percent, as numbers for a spreadsheet.

    Args:
        accuracies: as for `split_table`; several data sets have a column for their name.
        metric: a column of fractions.
    """
    table = split_table(accuracies, metric=metric)
    names = [*(["data"] if _several(table) else []), "experiment"]
    percentages = {split.capitalize(): 100 * table[f"{split}_mean"] for split in SPLITS}
    return Table(table[names].rename(columns=str.capitalize).assign(**percentages).to_dict("records"))


def text(
    accuracies: pd.DataFrame,
    metric: str,
    *,
    style: Style = "superscript",
    web: bool = False,
    number_width: int | None = None,
    name_width: int | None = None,
    deviation_width: int | None = None,
    heading: str = "Experiment",
    show_headings: bool = True,
) -> str:
    """Columns of fixed width for the terminal, in the layout of the AlphaNet project.

    Deviations of a column have equal width, so that the decimal points of its means stand below each other. Each of
    several data sets has a table of its own below its underlined name.

    Args:
        accuracies: as for `split_table`.
        metric: a column of fractions.
        style: `$47.6^{1.60}$`, or 47.6 ± 1.60.
        web: superscripts between circumflexes, 47.6^1.60^ (47.6^±1.60^ if the style is plus_minus).
        number_width: characters of each column of numbers; if missing, what its widest cell needs.
        name_width: characters of the column of experiments; if missing, what the longest name needs.
        deviation_width: characters of a deviation; if missing, 4, or 5 where one of the column is 10 points or more.
        heading: above the names.
        show_headings: print the line of headings and the dashes below it.

    Raises:
        ParameterError: a width is too small for what the column holds.
    """
    table = split_table(accuracies, metric=metric)
    blocks = []
    for name, rows in table.groupby("data", sort=False) if _several(table) else [("", table)]:
        columns = [rows["experiment"].astype(str).tolist()]
        columns += [_aligned(rows, split, _CELLS[style, web], deviation_width) for split in SPLITS]
        if show_headings:
            columns = [[title, *cells] for title, cells in zip((heading, *_HEADINGS), columns, strict=True)]
        options = [("name_width", name_width), *[("number_width", number_width)] * len(SPLITS)]
        widths = [_width(*option, max(map(len, cells))) for option, cells in zip(options, columns, strict=True)]
        lines = [
            "  ".join([first.ljust(widths[0]), *map(str.rjust, others, widths[1:])])
            for first, *others in zip(*columns, strict=True)
        ]
        if show_headings:
            lines.insert(1, "  ".join("-" * width for width in widths))
        title = f"{name}:\n{'=' * (len(str(name)) + 1)}\n\n" if name else ""
        blocks.append(title + "\n".join(lines))
    return "\n\n".join(blocks)


def file_name(experiment: str) -> str:
    """An experiment's name as that of a file."""
    return experiment.replace(", ", "_").replace(" ", "_")


def _metrics(accuracies: pd.DataFrame) -> list[Metric]:
    return [metric for metric in get_args(Metric) if accuracies[metric].notna().any()]


def _several(table: pd.DataFrame) -> bool:
    return "data" in table and table["data"].nunique() > 1


def _spread(row: dict[Any, Any], split: str, style: Style) -> str:
    mean, deviation = 100 * row[f"{split}_mean"], 100 * row[f"{split}_deviation"]
    if style == "plus_minus" or is_missing(deviation):
        return spread(mean, deviation, 1, 2)
    return Latex(f"${mean:.1f}^{{{deviation:.2f}}}$")


def _note(table: pd.DataFrame, metric: str, style: Style) -> str:
    """What the numbers are, how many repeats most experiments have, and which have another number."""
    repeats = table[[f"{split}_n" for split in SPLITS]].max(axis=1)
    usual = int(repeats.mode().max())
    names = table["experiment"].astype(str) + (" on " + table["data"].astype(str) if _several(table) else "")
    others = names[repeats != usual].groupby(repeats[repeats != usual]).agg("; ".join)
    exceptions = ", ".join(f"n = {n}: {experiments}" for n, experiments in others.items())
    counted = f"n = {usual} {'repeat' if usual == 1 else 'repeats'}" + (f" ({exceptions})" if exceptions else "")
    name = METRIC_NAMES.get(metric, metric)
    return f"{name[:1].upper()}{name[1:]} in percent, {_SPREADS[style]}, {counted}."


def _aligned(table: pd.DataFrame, split: str, pattern: str, width: int | None) -> list[str]:
    """The cells of a column, with deviations of one width; spaces fill it where the cell is no formula."""
    means, deviations = 100 * table[f"{split}_mean"], 100 * table[f"{split}_deviation"]
    needed = max([4, *(len(f"{deviation:.2f}") for deviation in deviations.dropna())])
    width = _width("deviation_width", width, needed, "a deviation")
    return [
        spread(mean, deviation, 1) if is_missing(deviation) else pattern.format(mean, deviation, width)
        for mean, deviation in zip(means, deviations, strict=True)
    ]


def _width(name: str, wanted: int | None, needed: int, what: str = "its column") -> int:
    if wanted is not None and wanted < needed:
        raise ParameterError(f"{name} is {wanted}, but {what} needs {needed} characters; raise it to {needed}.")
    return wanted or needed
