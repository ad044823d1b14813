import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import PathPatch, Rectangle
from tests.figures.test_mlp_transfer_plots import overlapping
from tests.figures.test_plots import renderer_of

from vision_studies.pipelines.clustering import plots

WIDTHS = {"input": 1, **{f"conv{place}": 8 for place in range(6)}, "head": 3}
LAYERS = list(WIDTHS)
METHODS = ["kmeans_channels", "agglomerative", "kmeans_vectors"]
REPEATS = {1.0: 2, 0.001: 5, 0.01: 4}
FRACTIONS = sorted(REPEATS)


def table(methods=METHODS, classes=("pretraining", "fine_tuning"), repeats=None):
    random = np.random.default_rng(0)
    rows = [
        {
            "classes": own,
            "fraction": fraction,
            "repeat": repeat,
            "layer": layer,
            "method": method,
            "channel": channel,
            "samples": 60,
            "clusters": 3,
            "ari": random.uniform(),
            "accuracy": random.uniform(0.3, 1),
            "precision": random.uniform(),
            "recall": random.uniform(),
        }
        for own in classes
        for method in methods
        for fraction, count in (repeats or REPEATS).items()
        for repeat in range(count)
        for layer, width in WIDTHS.items()
        for channel in (range(width) if method == "kmeans_channels" else [-1])
    ]
    return pd.DataFrame(rows)


def boxes(axes):
    return [patch for patch in axes.patches if isinstance(patch, PathPatch)]


def medians(axes):
    """Heights of the medians' lines, by their place."""
    lines = [line for line in axes.lines if line.get_linewidth() == 1.5 and line.get_marker() != "D"]
    return {round(float(np.mean(line.get_xdata())), 6): line.get_ydata()[0] for line in lines}


def title(axes):
    return axes.get_title(loc="left")


@pytest.mark.slow
def test_every_layer_and_method_has_its_box_in_the_panel_of_its_share_and_classes():
    own = table()
    drawn = plots.cluster_box_plot(own)
    assert [title(axes) for axes in drawn.axes] == [
        f"{share} of the images, {classes} classes  (n = {count})"
        for share, count in (("0.1 %", 5), ("1 %", 4), ("100 %", 2))
        for classes in ("pretraining", "fine-tuning")
    ]
    assert [len(boxes(axes)) for axes in drawn.axes] == [24] * 4 + [0] * 2  # of two values there is no box
    axes = drawn.axes[1]
    few = own[(own["fraction"] == 0.001) & (own["classes"] == "fine_tuning")]
    step = 0.84 / 3
    for number, method in enumerate(METHODS):
        for place, layer in enumerate(LAYERS):
            scores = few[(few["method"] == method) & (few["layer"] == layer)].groupby("repeat")["ari"].mean()
            assert medians(axes)[round(place + (number - 1) * step, 6)] == pytest.approx(scores.median())
    assert [label.get_text() for label in drawn.axes[-1].get_xticklabels()] == LAYERS
    legend = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert legend[1:] == ["agglomerative, channel means", "K-means of channel means"]
    colours = {to_hex(box.get_edgecolor()) for box in boxes(axes)}
    assert len(colours) == 3


def test_one_set_of_classes_needs_no_name_and_missing_boxes_leave_a_gap():
    own = table(["agglomerative"], ["fine_tuning"]).drop(columns="classes")
    own.loc[(own["layer"] == "conv1") & (own["fraction"] == 0.01), "precision"] = np.nan
    own.loc[(own["layer"] == "conv2") & (own["repeat"] == 0), "precision"] = np.nan
    drawn = plots.cluster_box_plot(own, "precision")
    assert [title(axes) for axes in drawn.axes] == [
        "0.1 % of the images  (n = 4 to 5)",
        "1 % of the images  (n = 3 to 4)",
        "100 % of the images  (n = 1 to 2)",
    ]
    assert [len(boxes(axes)) for axes in drawn.axes] == [8, 6, 0]  # of fewer than four values there is no box
    assert set(medians(drawn.axes[1])) == {0, 1, 3, 4, 5, 6, 7}
    assert drawn.axes[0].get_ylabel() == "pairwise precision"


def test_channels_have_a_box_a_layer_with_their_mean():
    own = table()
    drawn = plots.channel_box_plot(own)
    assert len(drawn.axes) == 6
    axes = drawn.axes[4]
    assert title(axes) == "100 % of the images, pretraining classes"
    assert len(boxes(axes)) == 6  # of one and of three values there is no box
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == [f"{layer}\nn = {width}" for layer, width in WIDTHS.items()]
    one = own[(own["fraction"] == 1) & (own["classes"] == "pretraining") & (own["method"] == "kmeans_channels")]
    channels = one.groupby(["layer", "channel"])["ari"].mean()
    marks = {int(line.get_xdata()[0]): line.get_ydata()[0] for line in axes.lines if line.get_marker() == "D"}
    for place, layer in enumerate(LAYERS):
        assert marks[place] == pytest.approx(channels[layer].mean())
        assert medians(axes)[place] == pytest.approx(channels[layer].median())
    renderer = renderer_of(drawn)
    assert not overlapping(axes.get_xticklabels(), renderer)


def test_a_line_a_layer_with_means_and_deviations():
    own = table()
    drawn = plots.score_lines(own, "recall")
    assert len(drawn.axes) == 6
    axes = drawn.axes[2]
    assert title(axes) == "agglomerative, channel means\npretraining classes"
    assert axes.get_xscale() == "log"
    assert len(axes.containers) == 8
    one = own[(own["method"] == "agglomerative") & (own["classes"] == "pretraining")]
    for container, layer in zip(axes.containers, LAYERS, strict=True):
        line, _, (bars,) = container.lines
        groups = one[one["layer"] == layer].groupby("fraction")["recall"]
        assert line.get_ydata() == pytest.approx(groups.mean().to_numpy())
        assert line.get_xdata() == pytest.approx(100 * np.array(FRACTIONS), rel=0.2)
        lengths = [segment[1, 1] - segment[0, 1] for segment in bars.get_segments()]
        assert lengths == pytest.approx(2 * groups.std().to_numpy())
    assert [label.get_text() for label in drawn.axes[-1].get_xticklabels()] == ["0.1 %", "1 %", "100 %"]
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == LAYERS


def test_labels_of_ten_shares_and_of_one_repeat_can_be_read():
    shares = (0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.3, 0.5, 0.8, 1.0)
    own = table(["kmeans_vectors"], ["fine_tuning"], dict.fromkeys(shares, 1))
    drawn = plots.score_lines(own)
    (axes,) = drawn.axes
    renderer = renderer_of(drawn)
    assert [label.get_text() for label in axes.get_xticklabels()][-3:] == ["50 %", "80 %", "100 %"]
    assert not overlapping(axes.get_xticklabels(), renderer)
    for container in axes.containers:
        bars = container.lines[2][0]
        assert [segment[1, 1] - segment[0, 1] for segment in bars.get_segments()] == [0] * 10


@pytest.mark.parametrize("draw", [plots.cluster_box_plot, plots.channel_box_plot, plots.score_lines])
def test_an_empty_table_says_so(draw):
    empty = draw(table().head(0))
    assert empty.axes[0].texts[0].get_text() == "No subset has images of two classes."


def test_every_image_is_a_point_in_the_colour_of_its_class():
    random = np.random.default_rng(0)
    labels = random.integers(0, 9, 300)
    labels[labels == 4] = 5
    positions = random.normal(size=(300, 2))
    names = [f"class {number}" for number in range(9)]
    drawn = plots.scatter(
        positions, labels, names, "t-SNE of conv2, fine-tuning classes, a title that needs two lines here"
    )
    (axes,) = drawn.axes
    present = [number for number in range(9) if number != 4]
    for number, line in zip(present, axes.lines, strict=True):
        assert np.column_stack([line.get_xdata(), line.get_ydata()]) == pytest.approx(positions[labels == number])
    assert len({(line.get_color(), line.get_marker()) for line in axes.lines}) == 8
    legend = axes.get_legend()
    counts = np.bincount(labels)
    assert [text.get_text() for text in legend.get_texts()] == [f"class {n} ({counts[n]})" for n in present]
    renderer = renderer_of(drawn)
    assert drawn._suptitle.get_text().startswith("t-SNE of conv2")
    assert not legend.get_window_extent(renderer).overlaps(drawn._suptitle.get_window_extent(renderer))


def test_bars_are_effective_ranks_below_their_largest():
    networks = ["pretrained", "from scratch"]
    ranks = pd.DataFrame(
        [
            {"layer": layer, "network": network, "effective_rank": 3.25 + place + number, "largest": 64}
            for number, network in enumerate(networks)
            for place, layer in enumerate(LAYERS)
            if (layer, network) != ("head", "from scratch")
        ]
    )
    drawn = plots.effective_rank_bars(ranks)
    (axes,) = drawn.axes
    bars = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    filled = [bar for bar in bars if bar.get_facecolor()[3] == 1]
    assert [bar.get_height() for bar in filled] == pytest.approx(ranks["effective_rank"].to_numpy())
    assert {bar.get_height() for bar in bars if bar.get_facecolor()[3] == 0} == {64}
    centres = [round(bar.get_x() + bar.get_width() / 2) for bar in filled]
    assert centres == [*range(8), *range(7)]
    assert sorted(text.get_text() for text in axes.texts) == sorted(f"{rank:.3g}" for rank in ranks["effective_rank"])
    assert [label.get_text() for label in axes.get_xticklabels()] == LAYERS
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == [*networks, "largest possible"]
    renderer = renderer_of(drawn)
    assert not overlapping([axes.xaxis.label, *drawn.legends[0].get_texts()], renderer)
