"""Accuracies of few, medium and many classes as tables, and as plain text in the layout of the AlphaNet project.

They are made from the table `accuracies`, which has one row a run and split: classifier, experiment, baseline, repeat, split
and fractions such as top_1 and top_5. A column `data`, where there is one, tells studies or data sets apart.
"""

from typing import Any, Literal

import pandas as pd

from vision_studies.errors import ParameterError
from vision_studies.reports.formatting import MISSING, is_missing, spread
from vision_studies.reports.table import Latex, Table

SPLITS = ("few", "medium", "many", "overall")
"""Groups of classes, by how many training images they have, and all of them together."""

Style = Literal["superscript", "plus_minus"]
"""How a standard deviation stands beside its mean."""

_HEADINGS = ("Few", "Med.", "Many", "Overall")
_NEEDED = ("classifier", "experiment", "baseline", "split")
_METRIC_NAMES = {
    "top_1": "Top-1 accuracy",
    "top_5": "Top-5 accuracy",
    "adjusted": "Accuracy with neighbours counted as right",
}
_SPREADS = {
    "plus_minus": "mean ± sample standard deviation",
    "superscript": "mean with the sample standard deviation as superscript",
}


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
    missing = [name for name in (*_NEEDED, metric) if name not in accuracies]
    if missing:
        raise ParameterError(
            f"The table of accuracies has no column '{missing[0]}'; its columns are {list(accuracies.columns)}."
        )
    if accuracies.empty:
        raise ParameterError("The table of accuracies has no rows; train an experiment first or choose others.")
    keys = [name for name in ("data", "classifier", "experiment", "baseline") if name in accuracies]
    groups = [name for name in ("data", "classifier") if name in keys]
    experiments = accuracies[keys].drop_duplicates(ignore_index=True)
    order = experiments[groups].apply(lambda names: pd.factorize(names)[0])
    order = order.assign(later=~experiments["baseline"].astype(bool)).sort_values([*groups, "later"], kind="stable")
    described = accuracies.groupby([*keys, "split"], sort=False)[metric].agg(["mean", "std", "count"])
    nothing = (float("nan"), float("nan"), 0)
    rows = []
    for row in experiments.loc[order.index].to_dict("records"):
        for split in SPLITS:
            cell = (*(row[key] for key in keys), split)
            mean, deviation, n = described.loc[cell] if cell in described.index else nothing
            row |= {f"{split}_mean": float(mean), f"{split}_deviation": float(deviation), f"{split}_n": int(n)}
        rows.append(row)
    return pd.DataFrame(rows)


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
    several = _several(table)
    groups = table[[name for name in ("data", "classifier") if name in table]]
    begins = [place for place, new in enumerate(groups.ne(groups.shift()).any(axis=1)) if new]
    rows: list[dict[str, Any]] = []
    above = None
    for row in table.to_dict("records"):
        # A data set is named in the first of its rows alone.
        name = {"Data": "" if row["data"] == above else str(row["data"])} if several else {}
        above = row["data"] if several else None
        cells = {
            heading: _spread(100 * row[f"{split}_mean"], 100 * row[f"{split}_deviation"], style)
            for split, heading in zip(SPLITS, _HEADINGS, strict=True)
        }
        rows.append({**name, "Experiment": str(row["experiment"]), **cells})
    align = ("ll" if several else "l") + "r" * len(SPLITS)
    return Table(rows, title, label=label, note=_note(table, metric, style), align=align, begins=begins)


def means(accuracies: pd.DataFrame, metric: str) -> Table:
    """Means alone, in percent, as numbers for a spreadsheet.

    Args:
        accuracies: as for `split_table`; several data sets have a column for their name.
        metric: a column of fractions.
    """
    table = split_table(accuracies, metric=metric)
    names = {"data": "Data"} if _several(table) else {}
    names |= {"experiment": "Experiment"}
    return Table(
        [
            {heading: row[name] for name, heading in names.items()}
            | {split.capitalize(): 100 * row[f"{split}_mean"] for split in SPLITS}
            for row in table.to_dict("records")
        ]
    )


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
        columns = [[*rows["experiment"].astype(str)]]
        columns += [_aligned(rows, split, style=style, web=web, width=deviation_width) for split in SPLITS]
        headings = [heading, *_HEADINGS] if show_headings else [""] * 5
        widths = [_width("name_width", name_width, [headings[0], *columns[0]])]
        widths += [_width("number_width", number_width, [headings[i], *columns[i]]) for i in range(1, 5)]
        lines = [headings, ["-" * width for width in widths]] if show_headings else []
        lines += [list(row) for row in zip(*columns, strict=True)]
        title = f"{name}:\n{'=' * (len(str(name)) + 1)}\n\n" if name else ""
        blocks.append(title + "\n".join(_line(line, widths) for line in lines))
    return "\n\n".join(blocks)


def _several(table: pd.DataFrame) -> bool:
    return "data" in table and table["data"].nunique() > 1


def _spread(mean: float, deviation: float, style: Style) -> str:
    if style == "plus_minus" or is_missing(deviation):
        return spread(mean, deviation, 1, 2)
    return Latex(f"${mean:.1f}^{{{deviation:.2f}}}$")


def _note(table: pd.DataFrame, metric: str, style: Style) -> str:
    """What the numbers are, how many repeats most experiments have, and which have another number."""
    repeats = table[[f"{split}_n" for split in SPLITS]].max(axis=1)
    usual = int(repeats.mode().max())
    names = table["experiment"].astype(str) + (" on " + table["data"].astype(str) if _several(table) else "")
    others = names[repeats != usual].groupby(repeats[repeats != usual]).agg("; ".join)
    exceptions = ", ".join(f"n = {n}: {own}" for n, own in others.items())
    counted = f"n = {usual} {'repeat' if usual == 1 else 'repeats'}" + (f" ({exceptions})" if exceptions else "")
    return f"{_METRIC_NAMES.get(metric, metric)} in percent, {_SPREADS[style]}, {counted}."


def _aligned(table: pd.DataFrame, split: str, *, style: Style, web: bool, width: int | None) -> list[str]:
    """The cells of a column, with deviations of one width; spaces fill it where the cell is no formula."""
    means, deviations = 100 * table[f"{split}_mean"], 100 * table[f"{split}_deviation"]
    needed = max([4, *(len(f"{deviation:.2f}") for deviation in deviations.dropna())])
    if width is not None and width < needed:
        raise ParameterError(
            f"deviation_width is {width}, but a deviation needs {needed} characters; raise it to {needed}."
        )
    before, after = ("^", "^") if web else ("^{", "}$")
    if style == "plus_minus":
        before, after = ("^±", "^") if web else (" ± ", "")
    fill = "" if style == "plus_minus" and not web else "0"
    start = "" if web or style == "plus_minus" else "$"
    cells = []
    for mean, deviation in zip(means, deviations, strict=True):
        if is_missing(mean):
            cells.append(MISSING)
        elif is_missing(deviation):
            cells.append(f"{mean:.1f}")
        else:
            cells.append(f"{start}{mean:4.1f}{before}{deviation:{fill}{width or needed}.2f}{after}")
    return cells


def _width(name: str, wanted: int | None, cells: list[str]) -> int:
    needed = max(len(cell) for cell in cells)
    if wanted is not None and wanted < needed:
        raise ParameterError(f"{name} is {wanted}, but its column needs {needed} characters; raise it to {needed}.")
    return wanted or needed


def _line(cells: list[str], widths: list[int]) -> str:
    numbers = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return "  ".join([cells[0].ljust(widths[0]), *numbers])
