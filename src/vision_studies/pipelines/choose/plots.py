"""Figures of `choose`."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from vision_studies.figures.marks import cells, colour_scale, values_run
from vision_studies.figures.panels import finished, key, marker_key, nothing_to_draw, single
from vision_studies.figures.style import COLOURS as PALETTE
from vision_studies.figures.style import INK, SOFT, short, styled
from vision_studies.pipelines.choose.candidates import (
    CLASSIFIER,
    COMBINED,
    features_title,
    merits,
    network_titles,
    part_of,
    recipe_of,
)

_SHOWN = 12


@styled
def candidates_map(results: pd.DataFrame) -> Figure:
    """Test accuracy of every family (a column) on all features (a row), in the order of the best of each row."""
    table = _by_features(results)
    if table.empty:
        return nothing_to_draw("No classifier of features has ended.")
    table = table.loc[table.max(axis=1).sort_values(ascending=False, kind="stable").index]
    table = table[table.max(axis=0).sort_values(ascending=False, kind="stable").index]
    values = 100 * table.to_numpy(dtype=float)
    figure, axes = single(max(6.4, 4.6 + 0.95 * table.shape[1]), 2.4 + 0.5 * len(table))
    image = cells(
        axes,
        values,
        "{:.1f}".format,
        rows=[short(name, 44) for name in table.index],
        columns=[short(name, 24) for name in table.columns],
        slanted=True,
        norm=Normalize(np.nanmin(values), max(np.nanmax(values), np.nanmin(values) + 1)),
        cmap="Blues",
    )
    axes.set_title("Test accuracy (%) of classifiers on features")
    colour_scale(axes, image, shrink=0.85)
    return finished(figure)


@styled
def time_lines(results: pd.DataFrame) -> Figure:
    """Test accuracy of every candidate against the seconds after which it had ended, and of what would have been taken."""
    scored = results.dropna(subset=["test_accuracy", "finished_at"]).sort_values("finished_at", kind="stable")
    if scored.empty:
        return nothing_to_draw("No candidate has ended.")
    seconds = _elapsed(scored)
    accuracy, validation = 100 * scored["test_accuracy"].to_numpy(), merits(scored).to_numpy()
    best = [int(np.argmax(validation[: place + 1])) for place in range(len(validation))]
    figure, axes = single(8.4, 4.6)
    dots: dict[str, Any] = {"marker": "o", "color": SOFT, "alpha": 0.8, "markeredgecolor": "white"}
    axes.plot(
        seconds, accuracy, linestyle="", markersize=6, zorder=3, **dots
    )  # over the line, which passes through some
    steps: dict[str, Any] = {"color": PALETTE[0], "linewidth": 2}
    axes.step([*seconds, seconds[-1]], [*accuracy[best], accuracy[best[-1]]], where="post", **steps)
    last = scored.iloc[best[-1]]
    axes.annotate(
        f"{short(last['variant'], 60)}: {accuracy[best[-1]]:.1f} %",
        (seconds[best[-1]], accuracy[best[-1]]),
        xytext=(0, 9),
        textcoords="offset points",
        ha="right" if seconds[best[-1]] > seconds[-1] / 2 else "left",
        fontsize=9,
        color=INK,
    )
    axes.set(xlabel="seconds of work on candidates", ylabel="test accuracy (%)", title="What time buys")
    axes.margins(y=0.14)
    axes.set_xlim(left=0)
    return finished(figure, legend=[key("taken so far, by validation", **steps), marker_key("a candidate", **dots)])


def _elapsed(scored: pd.DataFrame) -> np.ndarray:
    """Seconds of work when each row ended, of rows in their order: features that several share count once."""
    spent, counted, elapsed = 0.0, dict[str, float](), []
    for configuration, others, seconds in zip(
        scored["configuration"], scored["other_metrics"], scored["seconds"], strict=True
    ):
        own = float(json.loads(others)["own_seconds"])
        parts = [json.dumps(part) for part in json.loads(configuration).get("features", [])]
        further = [part for part in parts if part not in counted]
        if further:
            more = max(0.0, float(seconds) - own - sum(counted.get(part, 0.0) for part in parts))
            counted |= dict.fromkeys(further, more / len(further))
            spent += more
        spent += own
        elapsed.append(spent)
    return np.array(elapsed)


@styled
def learning_curve_lines(curve: pd.DataFrame) -> Figure:
    """Accuracy against the number of images learnt from, with the fitted power law and its interval."""
    measured = curve[curve["kind"] == "measured"].sort_values("images")
    fitted = curve[curve["kind"] == "fitted"].sort_values("images")
    if len(measured) < 2:
        return nothing_to_draw("There are too few images for a learning curve.")
    figure, axes = single(8.0, 4.6)
    look: dict[str, Any] = {"marker": "o", "color": PALETTE[0]}
    handles = [marker_key("measured, with its interval", **look)]
    reach = 100 * np.stack([measured["accuracy"] - measured["low"], measured["high"] - measured["accuracy"]])
    axes.errorbar(measured["images"], 100 * measured["accuracy"], yerr=reach, linestyle="", capsize=4, zorder=3, **look)
    if len(fitted):
        line: dict[str, Any] = {"color": PALETTE[1], "linewidth": 1.8}
        axes.plot(fitted["images"], 100 * fitted["accuracy"], **line)
        if fitted["low"].notna().all():
            axes.fill_between(
                fitted["images"], 100 * fitted["low"], 100 * fitted["high"], color=PALETTE[1], alpha=0.15, linewidth=0
            )
        handles.append(key("power law, with its interval", **line))
    sizes = sorted({*measured["images"], *fitted["images"].tail(1)})
    values_run(axes.xaxis, sizes, [f"{size:,.0f}" for size in sizes], 0.07)
    axes.set(xlabel="images learnt from", ylabel="accuracy (%)", title="Would more images help?")
    return finished(figure, legend=handles)


class SuspectRow(NamedTuple):
    """A row of a contact sheet; see `figures.contact_sheet.Row`."""

    title: str
    severity: str
    total: int
    names: Sequence[str]
    images: Sequence[np.ndarray]


def suspect_rows(label_errors: pd.DataFrame, images: np.ndarray) -> list[SuspectRow]:
    """Rows for a contact sheet: likely wrong labels in two, then what no candidate gets right."""
    rows = []
    titles = {
        "label": ("doubtful", "labels worth a look (labelled → looks like)"),
        "hard": ("note", "no candidate is right (labelled → taken for)"),
    }
    for kind, (severity, title) in titles.items():
        own = label_errors[label_errors["kind"] == kind]
        for start in range(0, min(len(own), 2 * _SHOWN), _SHOWN):
            shown = own.iloc[start : start + _SHOWN]
            names = [f"{short(row.label, 6)}→{short(row.suggested, 6)}" for row in shown.itertuples()]
            pictures = [np.asarray(images[index]) for index in shown["index"]]
            rows.append(SuspectRow(title if not start else "the next", severity, len(own), names, pictures))
    return rows


def _by_features(results: pd.DataFrame) -> pd.DataFrame:
    """Mean test accuracy: features as rows, families as columns."""
    rows = []
    for row in results.dropna(subset=["test_accuracy"]).itertuples():
        configuration = json.loads(row.configuration)
        if configuration["kind"] in COMBINED:
            continue
        parts = [part_of(part) for part in configuration["features"]]
        if configuration["kind"] == CLASSIFIER:
            place = features_title(parts), row.variant.split(" on ")[0]
        else:
            place = network_titles(parts, recipe_of(configuration))
        rows.append((*place, row.test_accuracy))
    table = pd.DataFrame(rows, columns=["features", "family", "accuracy"])
    return table.pivot_table(index="features", columns="family", values="accuracy", sort=False)
