"""Stacked classifiers: what their parts do, what they cost, and where their hyperparameters were looked for."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from vision_studies.figures.marks import logarithmic, names, whole_numbers, with_unit
from vision_studies.figures.panels import finished, key, same_heights, single, small_multiples
from vision_studies.figures.style import COLOURS, FAINT, INK, SOFT, WRONG, colour, numbered, short, styled

_DIVERSITY = {
    "validation_disagreement": "disagreement",
    "validation_q_statistic": "Q statistic",
    "validation_error_correlation": "error correlation",
}
_FEWEST_FOR_A_DENSITY = 5
_FEWEST_CORRELATED = 8  # trials; of fewer a correlation says nothing
_LOGARITHMIC = 20.0  # a hyperparameter above 0 that varies by such a factor was drawn on a log scale
_MOST_BANDS = 3  # of more, the bands would hide each other
_COSTS = {"parameters": "parameters", "macs": "operations for an image (MACs)", "seconds": "training time (s)"}
_STATUSES: dict[str, dict[str, Any]] = {
    "complete": {"color": COLOURS[0], "linestyle": "-"},
    "pruned": {"color": WRONG, "linestyle": "--"},
}
_OTHER_STATUS: dict[str, Any] = {"color": SOFT, "linestyle": ":"}


@styled
def parts_figure(histories: pd.DataFrame) -> Figure:
    """Validation accuracy of meta-learner and base learners by epoch, and how differently the learners err.

    Args:
        histories: columns variant, seed, epoch, validation_accuracy and, of joint stacks, validation_accuracy_base_<n> and
            the measures of diversity; means over seeds are drawn.
    """
    variants = list(histories.groupby("variant", sort=False))
    columns = min(4, len(variants))
    # Each variant has two panels, one below the other.
    count = 2 * columns * -(-len(variants) // columns)
    panels = small_multiples(count, columns=columns, size=(3.3, 3.0), margin=(1.5, 1.3), sharex=True)
    accuracies = [axes for number, axes in enumerate(panels.axes) if number // columns % 2 == 0]
    diversities = [axes for number, axes in enumerate(panels.axes) if number // columns % 2 == 1]
    for (name, rows), upper, lower in zip(variants, accuracies, diversities, strict=False):
        means = rows.groupby("epoch").mean(numeric_only=True)
        bases = means.filter(regex=r"^validation_accuracy_base_\d+$")
        for column in bases:
            upper.plot(means.index, 100 * bases[column], color=COLOURS[1], alpha=0.55, linewidth=1.1)
        upper.plot(means.index, 100 * means["validation_accuracy"], color=COLOURS[0], linewidth=1.9)
        upper.set_title(short(str(name), 24), fontsize=11)
        for number, measure in enumerate(_DIVERSITY, start=2):
            if measure in means and means[measure].notna().any():
                lower.plot(means.index, means[measure], color=COLOURS[number], linewidth=1.7)
        if not lower.lines:
            lower.text(0.5, 0.5, "not measured", transform=lower.transAxes, ha="center", color=SOFT)
        lower.set_xlabel("epoch")
        whole_numbers(lower.xaxis)
        lower.xaxis.set_tick_params(labelbottom=True)
    for which, label in ((accuracies, "validation accuracy (%)"), (diversities, "diversity of learners")):
        same_heights(which[: len(variants)])
        for number, axes in enumerate(which):
            axes.set_ylabel(label, visible=number % columns == 0)
        for axes in which[len(variants) :]:
            axes.set_visible(False)
    handles = [
        key("stack", color=COLOURS[0], linewidth=1.9),
        key("base learners", color=COLOURS[1], linewidth=1.1),
        *(key(label, color=colour(number), linewidth=1.7) for number, label in enumerate(_DIVERSITY.values(), start=2)),
    ]
    return finished(panels.figure, "Stacks and their parts", legend=handles, columns=min(5, 2 * columns))


@styled
def efficiency_figure(results: pd.DataFrame) -> Figure:
    """Test accuracy against parameters, operations for an image, and training time: means over seeds.

    Args:
        results: one row a run: variant, role ("stack" or "opponent"), test_accuracy, parameters, macs, seconds.
    """
    scored = results.dropna(subset=["test_accuracy"])
    means = scored.groupby(["variant", "role"], sort=False)[["test_accuracy", *_COSTS]].mean().reset_index()
    height = 4.6 + 0.2 * -(-len(means) // 4)
    panels = small_multiples(3, columns=3, size=(13 / 3, height), margin=(0, 0), sharey=True)
    handles, numbers = [], numbered(results["variant"])
    for row in means.to_dict("records"):
        number = numbers[str(row["variant"])]
        look: dict[str, Any] = {"color": colour(number), "linestyle": "none"}
        if row["role"] == "stack":
            look |= {"marker": "o", "markeredgecolor": INK, "markersize": 10}
        else:
            look |= {"marker": "s^DvPX<>"[number % 8], "markeredgecolor": "white", "markersize": 8}
        for axes, column in zip(panels.axes, _COSTS, strict=True):
            if not np.isnan(row[column]):
                axes.plot(row[column], 100 * row["test_accuracy"], **look)
        handles.append(key(short(row["variant"], 30), **look))
    for axes, (column, label) in zip(panels.axes, _COSTS.items(), strict=True):
        if means[column].notna().any():
            logarithmic(axes.xaxis, write=with_unit)
            axes.tick_params(axis="x", labelrotation=30)
        axes.set_xlabel(label)
        axes.set_ylabel("test accuracy (%)", visible=axes is panels.axes[0])
        axes.margins(x=0.12, y=0.12)
    title = "Accuracy and cost (round, outlined: stacks; else: opponents)"
    return finished(panels.figure, title, legend=handles, columns=4, fontsize=9)


@styled
def members_figure(members: pd.DataFrame) -> Figure:
    """Accuracy and log loss against the number of members, with bands for the intervals of those few that leave them seen.

    Args:
        members: columns variant, members, accuracy, log_loss and the ends `_low` and `_high` of both; may have no row.
    """
    numbers = numbered(members["variant"])
    panels = small_multiples(2, columns=2, size=(6, 4.2 + 0.2 * -(-len(numbers) // 4)), margin=(0, 0))
    handles = []
    for name, number in numbers.items():
        rows = members[members["variant"] == name]
        look: dict[str, Any] = {"color": colour(number), "marker": "os^DvPX<>"[number % 9]}
        for axes, (column, factor) in zip(panels.axes, {"accuracy": 100, "log_loss": 1}.items(), strict=True):
            axes.plot(rows["members"], factor * rows[column], linewidth=1.7, markersize=5, **look)
            if len(numbers) <= _MOST_BANDS:
                ends = (factor * rows[f"{column}_{end}"] for end in ("low", "high"))
                axes.fill_between(rows["members"], *ends, color=colour(number), alpha=0.12, linewidth=0)
        handles.append(key(short(name, 30), linewidth=1.7, **look))
    for axes, label in zip(panels.axes, ("test accuracy (%)", "test log loss (nats)"), strict=True):
        axes.set(xlabel="members", ylabel=label)
        whole_numbers(axes.xaxis)
        if not numbers:
            axes.text(0.5, 0.5, "nothing has several members", transform=axes.transAxes, ha="center", color=SOFT)
    title = "How many members are enough"
    return finished(panels.figure, title, legend=handles or None, columns=4, fontsize=9)


@styled
def trial_histories(histories: pd.DataFrame, variant: str) -> Figure:
    """Validation accuracy of every trial of a search by epoch.

    Args:
        histories: columns trial, epoch, validation_accuracy and status.
    """
    figure, axes = single(9, 5)
    for _, trial in histories.dropna(subset=["validation_accuracy"]).sort_values("epoch").groupby("trial"):
        look = _STATUSES.get(str(trial["status"].iloc[0]), _OTHER_STATUS)
        marker = "o" if len(trial) == 1 else None
        axes.plot(trial["epoch"], 100 * trial["validation_accuracy"], alpha=0.45, marker=marker, **look)
    counts = histories.groupby("trial")["status"].first().value_counts()
    axes.set(xlabel="epoch", ylabel="validation accuracy (%)", title=f"Trials of {short(variant, 40)}")
    whole_numbers(axes.xaxis)
    handles = [key(f"{name} ({n})", **_STATUSES.get(str(name), _OTHER_STATUS)) for name, n in counts.items()]
    return finished(figure, legend=handles, columns=4)


@styled
def hyperparameter_figure(trials: pd.DataFrame, parameters: Sequence[str], best: int, variant: str) -> Figure:
    """Validation accuracy of every trial against each hyperparameter; the best trial is marked.

    Args:
        trials: columns number, value (fraction; missing where there is none), status and one a hyperparameter.
        parameters: columns that are hyperparameters.
    """
    panels = small_multiples(len(parameters), columns=3, size=(3.9, 3.1), margin=(0.6, 1.1), sharey=True)
    for axes, name in zip(panels.axes, parameters, strict=True):
        shown = trials.dropna(subset=["value", name])
        values = shown[name]
        if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
            options = sorted(values.astype(str).unique())
            positions = values.astype(str).map(options.index).to_numpy(float)
            names(axes, "x", [short(option, 12) for option in options])
        else:
            positions = values.to_numpy(float)
            if _is_logarithmic(positions):
                logarithmic(axes.xaxis, None, with_unit)
        accuracies, status = 100 * shown["value"].to_numpy(float), shown["status"].to_numpy()
        for kind in ("pruned", "complete"):
            dots: dict[str, Any] = {"color": _STATUSES[kind]["color"], "alpha": 0.6, "markersize": 6}
            axes.plot(positions[status == kind], accuracies[status == kind], "o", **dots)
        chosen = (shown["number"] == best).to_numpy()
        axes.plot(positions[chosen], accuracies[chosen], "*", color=INK, markersize=15, markeredgecolor="white")
        axes.set_title(short(name.removeprefix("training."), 30), fontsize=10)
    panels.label("", "validation accuracy (%)")
    small_print = "Blue: trials that ran to their end. Orange: pruned, at their last value. Star: the best."
    return finished(panels.figure, f"Hyperparameters tried for {short(variant, 30)}", small_print=small_print)


@styled
def density_figure(trials: pd.DataFrame, statistics: Mapping[str, Mapping[str, Any]], variant: str) -> Figure:
    """How the values of each numerical hyperparameter are spread over the complete trials; the best trial's is marked.

    A kernel density estimate (Gaussian, Scott's bandwidth; of logarithms where values were drawn so) between the least and the
    largest value; each trial is a dot. Fewer than five values, or equal ones, are dots alone.

    Args:
        trials: complete ones, with a column a hyperparameter; missing where it was not drawn.
        statistics: hyperparameter -> best_trial_value and correlation_with_accuracy, each of which may be None.
    """
    from scipy.stats import gaussian_kde

    panels = small_multiples(len(statistics), columns=3, size=(3.9, 2.6), margin=(0.6, 1.3))
    for axes, (name, own) in zip(panels.axes, statistics.items(), strict=True):
        values = trials[name].dropna().to_numpy(float)
        change, back = (np.log10, lambda x: 10.0**x) if _is_logarithmic(values) else (np.array, np.array)
        if _is_logarithmic(values):
            logarithmic(axes.xaxis, None, with_unit)
        else:
            axes.locator_params(axis="x", nbins=5)
        height = 1.0
        if len(values) >= _FEWEST_FOR_A_DENSITY and np.ptp(values) > 0:
            grid = np.linspace(change(values.min()), change(values.max()), 200)
            density = gaussian_kde(change(values))(grid)
            height = float(density.max())
            axes.fill_between(back(grid), density, color=COLOURS[0], alpha=0.3, linewidth=0)
            axes.plot(back(grid), density, color=COLOURS[0])
        axes.plot(values, np.full(len(values), -0.06 * height), "o", color=COLOURS[0], alpha=0.6, markersize=5)
        if own["best_trial_value"] is not None:
            star: dict[str, Any] = {"color": INK, "markersize": 15, "markeredgecolor": "white"}
            axes.plot(own["best_trial_value"], -0.06 * height, "*", **star)
        axes.set(ylim=(-0.15 * height, 1.1 * height), yticks=[])
        correlation = own["correlation_with_accuracy"] if len(values) >= _FEWEST_CORRELATED else None
        told = "" if correlation is None else f"\ncorrelation with accuracy {correlation:+.2f}".replace("-", "−")
        axes.set_title(f"{short(name.removeprefix('training.'), 30)}{told}", fontsize=10)
    panels.label("", "density")
    small_print = "Dots: trials that ran to their end. Star: the best."
    return finished(panels.figure, f"Numbers drawn for {short(variant, 30)}", small_print=small_print)


@styled
def bar_figure(statistics: Mapping[str, Mapping[str, Any]], variant: str) -> Figure:
    """How many complete trials had each option of each hyperparameter; the best trial's is marked.

    Args:
        statistics: hyperparameter -> value_counts (option -> complete trials) and best_trial_value, which may be None.
    """
    panels = small_multiples(len(statistics), columns=3, size=(3.9, 2.8), margin=(0.6, 1.1))
    for axes, (name, own) in zip(panels.axes, statistics.items(), strict=True):
        counts = dict(sorted(own["value_counts"].items()))
        is_best = [option == str(own["best_trial_value"]) for option in counts]
        axes.bar(range(len(counts)), list(counts.values()), color=[COLOURS[0] if best else FAINT for best in is_best])
        names(axes, "x", [short(option, max(4, 36 // len(counts))) for option in counts])
        whole_numbers(axes.yaxis)
        axes.set_title(short(name.removeprefix("training."), 30), fontsize=10)
    panels.label("", "complete trials")
    small_print = "Blue: the option of the best trial."
    return finished(panels.figure, f"Options drawn for {short(variant, 30)}", small_print=small_print)


def _is_logarithmic(values: np.ndarray) -> bool:
    """Whether numbers were drawn on a logarithmic scale, as far as they show it."""
    return len(values) > 0 and values.min() > 0 and values.max() / values.min() > _LOGARITHMIC


@styled
def importance_figure(importance: Mapping[str, float], variant: str) -> Figure:
    """Share of the accuracy's variance that each hyperparameter explains."""
    figure, axes = single(8, 1.6 + 0.45 * len(importance))
    labels = [short(name.removeprefix("training."), 34) for name in importance]
    axes.barh(range(len(labels)), list(importance.values())[::-1], color=COLOURS[0])
    axes.set_yticks(range(len(labels)), labels[::-1])
    axes.set_xlabel("share of the variance explained")
    axes.set_xlim(0, 1)
    axes.grid(visible=False, axis="y")
    small_print = "What was not drawn in every trial, such as an option of one schedule alone, is left out."
    return finished(figure, f"What decided the accuracy of {short(variant, 30)}", small_print=small_print)
