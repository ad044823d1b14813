from functools import cache

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from tests.figures.test_cut_plots import texts_of
from tests.figures.test_plots import renderer_of

from vision_studies.pipelines.alphanet.long_tail import class_means
from vision_studies.pipelines.alphanet.plots.accuracies import (
    SPLIT_COLOURS,
    accuracy_against_distance,
    accuracy_against_images,
    accuracy_and_images,
    class_gain_bars,
    points,
    split_lines,
    split_points,
)

CIFAR = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
RHOS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 3)
SPLITS = ["overall", "few", "medium", "many"]
CLASS_SPLITS = ("few", "medium", "many")


def summary(
    *, classifiers=("crt", "lws"), rhos=(0.1, 0.5, 1.0), neighbours=(5,), distances=("euclidean",), n=5, gain=False
):
    generator = np.random.default_rng(0)
    rows = []
    for classifier in classifiers:
        settings = [] if gain else [(classifier, True, np.nan, np.nan, None)]
        settings += [
            (f"{classifier}, rho {rho:g}, k {k}, {distance}", False, rho, float(k), distance)
            for distance in distances
            for k in neighbours
            for rho in rhos
        ]
        for experiment, baseline, rho, k, distance in settings:
            repeats = 1 if baseline else n
            for place, split in enumerate(SPLITS):
                mean = (0.1 - 0.05 * place if gain else 0.6 - 0.05 * place) + generator.normal(0, 0.02)
                reach = np.nan if repeats == 1 else generator.uniform(0.002, 0.03)
                row = {"classifier": classifier, "experiment": experiment, "baseline": baseline, "rho": rho}
                row |= {"neighbours": k, "distance": distance, "split": split, "n": repeats, "mean": mean}
                rows.append(row | {"deviation": reach, "low": mean - reach, "high": mean + reach})
    return pd.DataFrame(rows)


def class_table(classes=10, classifiers=("crt", "lws"), rhos=(0.1, 0.5, 1.0), repeats=2):
    generator = np.random.default_rng(0)
    images = np.geomspace(500, 4, classes).round().astype(int)
    splits = np.where(images < 20, "few", np.where(images > 100, "many", "medium"))
    names = (
        CIFAR if classes == 10 else [f"black-footed albatross, Diomedea nigripes {label}" for label in range(classes)]
    )
    tables = []
    for classifier in classifiers:
        before, distances = generator.uniform(0.1, 0.9, classes), generator.uniform(1, 9, classes)
        for rho in (None, *rhos):
            for repeat in range(repeats if rho else 1):
                after = before + (
                    np.where(splits == "few", 0.1, -0.02) + generator.normal(0, 0.03, classes) if rho else 0
                )
                table = pd.DataFrame({"label": range(classes), "name": names, "split": splits, "train_images": images})
                experiment = f"{classifier}, rho {rho:g}" if rho else classifier
                table = table.assign(
                    classifier=classifier, experiment=experiment, baseline=rho is None, repeat=repeat, test_images=100
                )
                table = table.assign(accuracy=after, baseline_accuracy=before)
                tables.append(table.assign(neighbour_distance=distances if rho else np.nan))
    return pd.concat(tables, ignore_index=True)


def lines_for(table, keys, x, value):
    """Lines by numpy: through the classes, with a band of one point to both sides."""
    means = class_means(table)
    rows = []
    for names, own in means.groupby(keys, sort=False):
        places = own[x].to_numpy(dtype=float)
        known = np.isfinite(places) & own[value].notna().to_numpy()
        if known.sum() < 3:
            continue
        slope, intercept = np.polyfit(places[known], own[value][known], 1)
        grid = np.linspace(places[known].min(), places[known].max(), 20)
        fitted = intercept + slope * grid
        line = pd.DataFrame({"x": grid, "fitted": fitted, "low": fitted - 0.01, "high": fitted + 0.01, "r": -0.45})
        rows.append(line.assign(**dict(zip(keys, names, strict=True))))
    return pd.concat(rows, ignore_index=True)


def distance_lines(table, value="gain"):
    return lines_for(table[~table["baseline"]], ["experiment", "split"], "neighbour_distance", value)


def image_lines(table):
    return lines_for(table, ["classifier", "experiment"], "train_images", "accuracy")


DRAWN = {
    "points": lambda: split_points(summary(), gain=False),
    "gain points": lambda: split_points(summary(gain=True), gain=True),
    "points of one": lambda: split_points(summary(classifiers=("crt",), rhos=(0.5,), n=1), gain=False),
    "points of many": lambda: split_points(summary(rhos=RHOS, gain=True), gain=True),
    "lines": lambda: split_lines(summary(rhos=RHOS), over="rho", gain=False),
    "lines of one": lambda: split_lines(summary(classifiers=("crt",), rhos=(0.5,), n=1), over="rho", gain=False),
    "lines over k": lambda: split_lines(
        summary(
            classifiers=("crt",), rhos=(0.5, 1.0), neighbours=range(1, 11), distances=("euclidean", "cosine"), gain=True
        ),
        over="neighbours",
        gain=True,
    ),
    "gain bars": lambda: class_gain_bars(class_table()),
    "gain bars of many classes": lambda: class_gain_bars(class_table(1000)),
    "images": lambda: accuracy_and_images(class_table(classifiers=("crt",))),
    "images of many classes": lambda: accuracy_and_images(class_table(1000, ("crt",), RHOS[:9])),
    "distances": lambda: accuracy_against_distance(class_table(), distance_lines(class_table()), value="gain"),
    "against images": lambda: accuracy_against_images(image_lines(class_table(30)), class_table(30)),
}


@cache
def figure_of(name):
    """A figure drawn once for all the tests that look at it."""
    return DRAWN[name]()


@pytest.mark.slow
@pytest.mark.parametrize("name", DRAWN)
def test_no_text_overlaps_another_or_leaves_the_figure(name):
    drawn = figure_of(name)
    renderer = renderer_of(drawn)
    texts = texts_of(drawn)
    for axes in drawn.axes:
        if axes.get_legend() is not None:
            texts += axes.get_legend().get_texts()
    turned = [text for text in texts if text.get_rotation() not in (0, 90)]  # their boxes overlap where they do not
    shown = [(text.get_text(), text.get_window_extent(renderer)) for text in texts]
    upright = [(text.get_text(), text.get_window_extent(renderer)) for text in texts if text not in turned]
    assert len(shown) > 6
    for label, box in shown:
        assert box.x0 >= -1, label
        assert box.y0 >= -1, label
        assert box.x1 <= drawn.bbox.x1 + 1, label
        assert box.y1 <= drawn.bbox.y1 + 1, label
    for place, (label, box) in enumerate(upright):
        assert not [other for other, second in upright[place + 1 :] if box.overlaps(second)], label


def markers_of(axes):
    """Position and colour of every marker that a point plot draws, and whether it is hollow."""
    return [
        (x, y, to_hex(line.get_color()), line.get_markerfacecolor() == "white")
        for line in axes.lines
        if line.get_marker() not in ("", "None", None)
        for x, y in zip(*line.get_data(), strict=True)
    ]


@pytest.mark.parametrize(("rhos", "upright"), [((0.1, 0.5), True), ((*RHOS, 4, 5), False)])
def test_points_stand_where_the_means_are_and_bars_reach_over_the_intervals(rhos, upright):
    table = summary(rhos=rhos)
    (axes,) = split_points(table, gain=False).axes
    experiments = list(table["experiment"].drop_duplicates())
    found = markers_of(axes)
    assert len(found) == len(table)
    ticks = axes.get_xticklabels() if upright else axes.get_yticklabels()
    assert [tick.get_text().replace("\n", " ") for tick in ticks] == experiments
    for row in table.to_dict("records"):
        own = [
            (x, y) if upright else (y, x)
            for x, y, colour, hollow in found
            if colour == SPLIT_COLOURS[row["split"]].lower() and hollow == row["baseline"]
        ]
        place = experiments.index(row["experiment"])
        (value,) = [value for at, value in own if abs(at - place) < 0.5]
        assert value == pytest.approx(100 * row["mean"])
    for split, bars in zip(SPLITS, axes.collections, strict=True):
        rows = table[table["split"] == split]
        segments = np.array(bars.get_segments())[:, :, 1 if upright else 0]
        expected = 100 * rows[["low", "high"]].to_numpy()
        expected[np.isnan(expected)] = np.repeat(100 * rows["mean"].to_numpy()[np.isnan(rows["low"])], 2)
        assert segments == pytest.approx(expected)


def test_one_repeat_has_no_interval_and_the_figure_says_so():
    drawn = figure_of("points of one")
    assert drawn.legends[0].get_title().get_text() == "One repeat each: no intervals."
    assert all(np.ptp(segment[:, 1]) == 0 for bars in drawn.axes[0].collections for segment in bars.get_segments())
    some = split_points(summary(rhos=(0.5,)), gain=False)
    assert "points without a bar have one repeat" in some.legends[0].get_title().get_text()


def test_gains_are_named_and_have_a_line_at_nought():
    drawn = split_points(summary(gain=True), gain=True, metric="top_5", confidence=0.9)
    assert drawn.axes[0].get_ylabel() == "change in top-5 accuracy (points)"
    assert drawn.get_suptitle() == "Change in top-5 accuracy of each experiment"
    assert "90 % interval" in drawn.legends[0].get_title().get_text()
    assert "hollow: baseline" not in [text.get_text() for text in drawn.legends[0].get_texts()]


def test_lines_go_through_the_means_of_their_classifier():
    table = summary(rhos=RHOS)
    drawn = figure_of("lines")
    assert [axes.get_title(loc="left") for axes in drawn.axes] == ["crt", "lws"]
    for axes, classifier in zip(drawn.axes, ("crt", "lws"), strict=True):
        own = table[(table["classifier"] == classifier) & ~table["baseline"]]
        assert len(axes.containers) == 4
        for split, bars in zip(SPLITS, axes.containers, strict=True):
            rows = own[own["split"] == split]
            line, _, (segments,) = bars
            assert line.get_ydata() == pytest.approx(100 * rows["mean"].to_numpy())
            assert line.get_xdata() == pytest.approx(np.array(RHOS), rel=0.05)
            ends = np.array(segments.get_segments())[:, :, 1]
            assert ends == pytest.approx(100 * rows[["low", "high"]].to_numpy())
        dashed = [line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == "--"]
        baseline = table[(table["experiment"] == classifier)]["mean"]
        assert dashed == pytest.approx((100 * baseline).tolist())
        assert axes.get_xscale() == "log"


def test_what_varies_beside_the_axis_has_its_panels():
    titles = [axes.get_title(loc="left") for axes in figure_of("lines over k").axes]
    assert titles == [
        *("crt, distance euclidean, rho 0.5", "crt, distance euclidean, rho 1"),
        *("crt, distance cosine, rho 0.5", "crt, distance cosine, rho 1"),
    ]
    assert not [line for axes in figure_of("lines over k").axes for line in axes.lines if line.get_linestyle() == "--"]


@pytest.mark.parametrize("over", ["rho", "neighbours"])
def test_a_setting_of_nought_and_missing_values_are_no_obstacle(over):
    table = summary(rhos=(0.0, 0.5))
    table.loc[table.index[8], "mean"] = np.nan
    before = table.copy(deep=True)
    FigureCanvasAgg(split_lines(table, over=over, gain=False)).draw()
    FigureCanvasAgg(split_points(table, gain=False)).draw()
    pd.testing.assert_frame_equal(table, before)


def test_without_values_a_figure_says_so():
    table = summary().assign(mean=np.nan)
    assert split_points(table, gain=False).axes[0].texts[0].get_text() == "No experiment has a value for this metric."
    assert split_lines(table, over="rho", gain=False).axes[0].texts[0].get_text() == "No experiment has a value of rho."
    baselines = class_table().query("baseline")
    lines = distance_lines(class_table())
    for drawn in (
        class_gain_bars(baselines),
        accuracy_and_images(baselines),
        accuracy_against_distance(baselines, lines, value="gain"),
    ):
        assert len(drawn.axes[0].texts) == 1


def test_bars_are_the_sorted_mean_gains_of_each_split():
    table = class_table()
    drawn = figure_of("gain bars")
    means = class_means(table[~table["baseline"]])
    assert len(drawn.axes) == 6
    for axes, (experiment, own) in zip(drawn.axes, means.groupby("experiment", sort=False), strict=True):
        ordered = pd.concat([own[own["split"] == split].sort_values("gain", ascending=False) for split in CLASS_SPLITS])
        assert [bar.get_height() for bar in axes.patches] == pytest.approx((100 * ordered["gain"]).tolist())
        assert [tick.get_text() for tick in axes.get_xticklabels()] == ordered["name"].tolist()
        colours = [to_hex(bar.get_facecolor()) for bar in axes.patches]
        assert colours == [SPLIT_COLOURS[split].lower() for split in ordered["split"]]
        by_split = own.groupby("split")["gain"].agg(["mean", "size"])
        assert [text.get_text() for text in axes.texts] == [
            f"{split} ({by_split.loc[split, 'size']}): {points(by_split.loc[split, 'mean'])}" for split in CLASS_SPLITS
        ]
        levels = [line.get_ydata()[0] for line in axes.lines]
        assert levels == pytest.approx([*(100 * by_split.loc[list(CLASS_SPLITS), "mean"]), 0, 100 * own["gain"].mean()])
        assert axes.get_title(loc="left") == f"{experiment}: overall {points(own['gain'].mean())}"


def test_thousands_of_bars_are_one_shape_a_split():
    table = class_table(1000)
    own = class_means(table[table["experiment"] == "crt, rho 0.1"])
    axes = figure_of("gain bars of many classes").axes[0]
    assert len(axes.patches) == 3
    for split, shape in zip(CLASS_SPLITS, axes.patches, strict=True):
        expected = np.sort(100 * own.loc[own["split"] == split, "gain"].to_numpy())[::-1]
        assert shape.get_data().values == pytest.approx(expected)
    assert not axes.get_xticklabels()


def test_classes_are_ordered_by_their_images():
    table = class_table(classifiers=("crt",)).sample(frac=1, random_state=3)
    drawn = accuracy_and_images(table)
    experiments = list(table[~table["baseline"]]["experiment"].drop_duplicates())
    for axes, second, experiment in zip(drawn.axes[:3], drawn.axes[3:], experiments, strict=True):
        own = class_means(table[table["experiment"] == experiment]).sort_values("train_images", ascending=False)
        before, after = axes.lines
        assert before.get_ydata() == pytest.approx((100 * own["baseline_accuracy"]).to_numpy())
        assert after.get_ydata() == pytest.approx((100 * own["accuracy"]).to_numpy())
        assert [tick.get_text() for tick in axes.get_xticklabels()] == CIFAR
        assert second.get_yscale() == "log"
        assert second.lines[0].get_ydata() == pytest.approx(own["train_images"].to_numpy())
        strip = [(to_hex(part.get_facecolor()), part.get_x(), part.get_width()) for part in axes.patches]
        assert [colour for colour, *_ in strip] == [SPLIT_COLOURS[split].lower() for split in ("many", "medium", "few")]
        assert sum(width for *_, width in strip) == pytest.approx(10)


def test_running_means_do_not_cross_the_edge_of_a_split():
    table = class_table(1000, ("crt",), (0.1,))
    axes = accuracy_and_images(table).axes[0]
    own = class_means(table[~table["baseline"]]).sort_values(["train_images", "label"], ascending=[False, True])
    smooth = [line for line in axes.lines if line.get_marker() == "None"]
    assert len(smooth) == 6
    few = 100 * own.loc[own["split"] == "few", "accuracy"].to_numpy()
    assert smooth[-1].get_ydata()[0] == pytest.approx(few[:20].mean())
    assert smooth[-1].get_ydata()[100] == pytest.approx(few[80:120].mean())


def test_a_class_without_training_images_or_accuracy_is_no_obstacle():
    table = class_table(classifiers=("crt",), rhos=(0.5,))
    table.loc[table["label"] == 9, "train_images"] = 0
    table.loc[table["label"] == 4, "accuracy"] = np.nan
    before = table.copy(deep=True)
    for drawn in (
        class_gain_bars(table),
        accuracy_and_images(table),
        accuracy_against_images(image_lines(table), table),
    ):
        FigureCanvasAgg(drawn).draw()
    pd.testing.assert_frame_equal(table, before)


@pytest.mark.slow
@pytest.mark.parametrize("value", ["accuracy", "gain"])
def test_distances_show_every_class_and_the_line_of_its_split(value):
    table = class_table(100, ("crt",))
    lines = distance_lines(table, value)
    drawn = accuracy_against_distance(table, lines, value=value)
    means = class_means(table[~table["baseline"]])
    assert len(drawn.axes) == 3
    for axes, (experiment, own) in zip(drawn.axes, means.groupby("experiment", sort=False), strict=True):
        assert axes.get_title(loc="left") == experiment
        dots, fits = axes.lines[-6::2], axes.lines[-5::2]
        for split, scatter, fit in zip(CLASS_SPLITS, dots, fits, strict=True):
            rows = own[own["split"] == split]
            assert scatter.get_xdata() == pytest.approx(rows["neighbour_distance"].to_numpy())
            assert scatter.get_ydata() == pytest.approx(100 * rows[value].to_numpy())
            line = lines[(lines["experiment"] == experiment) & (lines["split"] == split)]
            assert fit.get_ydata() == pytest.approx(100 * line["fitted"].to_numpy())
        assert len(axes.collections) == 3
        assert [text.get_text() for text in axes.get_legend().get_texts()] == [f"{s}: r = −0.45" for s in CLASS_SPLITS]


def test_splits_of_few_classes_have_no_band_and_those_without_a_line_no_correlation():
    table = class_table()
    lines = distance_lines(table)
    axes = accuracy_against_distance(table, lines[lines["split"] != "many"], value="gain").axes[0]
    assert not axes.collections
    assert [text.get_text() for text in axes.get_legend().get_texts()][2] == "many: r = –"
    assert [line.get_linestyle() for line in axes.lines].count("--") == 2


def test_a_baseline_is_drawn_once_for_each_set_of_distances():
    table = class_table()
    lines = distance_lines(table, "baseline_accuracy")
    drawn = accuracy_against_distance(table, lines, value="baseline_accuracy")
    assert [axes.get_title(loc="left") for axes in drawn.axes] == ["crt", "lws"]
    moved = table["experiment"] == "crt, rho 1"
    table.loc[moved, "neighbour_distance"] += 1
    drawn = accuracy_against_distance(table, distance_lines(table, "baseline_accuracy"), value="baseline_accuracy")
    titles = [axes.get_title(loc="left") for axes in drawn.axes]
    assert titles == ["crt, neighbours of crt, rho 0.1", "crt, neighbours of crt, rho 1", "lws"]


def test_lines_against_images_have_the_baseline_dashed_and_dots_where_there_is_room():
    table = class_table(10)
    drawn = accuracy_against_images(image_lines(table), table)
    for axes, classifier in zip(drawn.axes, ("crt", "lws"), strict=True):
        assert axes.get_xscale() == "log"
        labels = [text.get_text() for text in axes.get_legend().get_texts()]
        assert labels == [f"{classifier}{rest} (r = −0.45)" for rest in ("", ", rho 0.1", ", rho 0.5", ", rho 1")]
        assert [line.get_linestyle() for line in axes.lines if line.get_marker() == "None"] == ["--", "-", "-", "-"]
        assert len([line for line in axes.lines if line.get_marker() == "o"]) == 4
    many = class_table(300, ("crt",), RHOS)
    (axes,) = accuracy_against_images(image_lines(many), many).axes
    (dots,) = [line for line in axes.lines if line.get_marker() == "o"]
    baseline = many[many["baseline"]]
    assert dots.get_ydata() == pytest.approx((100 * baseline["accuracy"]).to_numpy())
    assert len({to_hex(line.get_color()) for line in axes.lines if line.get_marker() == "None"}) == 13
    assert len(axes.collections) == 1


def test_points_of_a_difference_have_a_sign_but_nought_has_none():
    assert [points(value) for value in (0.1234, -0.05, 0.0, -0.0001, np.nan)] == ["+12.3", "−5.0", "0.0", "0.0", "–"]
