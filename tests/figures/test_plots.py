import gc
import io
import weakref

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from vision_studies.figures import classification, comparison, training
from vision_studies.figures.style import FAINT, short, style
from vision_studies.pipelines.data_prep import plots as data_prep
from vision_studies.statistics.calibration import expected_calibration_error, reliability_table
from vision_studies.statistics.comparisons import compare_variants

TEN = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "<script>$x")
GRAPHS = ("loss_figure", "validation_figure", "learning_rate_figure", "learning_curves")


def history(epochs, run="plain-seed0", variant="plain", shift=0.0):
    epoch = np.arange(1, epochs + 1)
    return pd.DataFrame(
        {
            "run": run,
            "variant": variant,
            "epoch": epoch,
            "train_loss": 2 / epoch + shift,
            "validation_loss": 1.5 / epoch + shift,
            "validation_accuracy": 0.9 - 0.5 / epoch + shift / 10,
            "learning_rate": 0.1 * (1 - epoch / epochs),
        }
    )


def histories(variants, seeds, epochs=4):
    return pd.concat(
        [history(epochs, f"v{v}-seed{s}", f"v{v}", 0.01 * (3 * v + s)) for v in range(variants) for s in range(seeds)]
    )


def predictions(classes, count=400, seed=0):
    random = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), random.integers(0, classes, max(0, count - classes))])
    logits = random.normal(0, 1.5, (len(labels), classes))
    logits[np.arange(len(labels)), labels] += 3
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return labels, probabilities


def prediction_table(labels, probabilities):
    columns = [f"probability_{label}" for label in range(probabilities.shape[1])]
    table = pd.DataFrame({"label": labels, "prediction": probabilities.argmax(axis=1)})
    return pd.concat([table, pd.DataFrame(probabilities, columns=columns)], axis=1)


def card(counts, channels=3, name="cifar10"):
    classes = len(counts)
    return {
        "name": name,
        "images": 10 * classes,
        "image_shape": [8, 8, channels],
        "own_test_split": True,
        "counts": {"train": counts, "validation": [1] * classes, "test": [2] * classes},
        "channel_mean": [0.5] * channels,
        "channel_standard_deviation": [0.2] * channels,
        "duplicates": {"train and test": {"images": 3, "pairs": []}, "within train": {"images": 1}},
    }


def results(variants, seeds):
    random = np.random.default_rng(0)
    names = [f"variant_{number}_with_a_rather_long_name" for number in range(variants)]
    return pd.DataFrame(
        [
            {"variant": name, "seed": seed, "test_accuracy": 0.9 + random.normal(0, 0.01)}
            for name in names
            for seed in range(seeds)
        ]
    )


def compared(table):
    return compare_variants(table.assign(value=table["test_accuracy"]), baseline=table["variant"].iloc[0])


def labels_and_probabilities_figures():
    labels, probabilities = predictions(10)
    bins = reliability_table(probabilities, labels)
    images = np.zeros((6, 8, 8, 1), np.uint8)
    table = prediction_table(labels[:6], probabilities[:6])
    many_labels, many = predictions(100, 2000)
    return {
        "confusion matrix": classification.confusion_matrix(labels, probabilities.argmax(axis=1), TEN),
        "confusion matrix of 100": classification.confusion_matrix(
            many_labels, many.argmax(axis=1), [f"class number {k}" for k in range(100)]
        ),
        "reliability": classification.reliability_diagram(bins, expected_calibration_error(probabilities, labels)),
        "prediction grid": classification.prediction_grid(images, table, TEN, 0.9),
    }


def every_figure():
    yield from labels_and_probabilities_figures().items()
    for name in GRAPHS:
        yield f"{name} of one run", getattr(training, name)(history(3))
        yield f"{name} of many", getattr(training, name)(histories(9, 2))
    images, labels = np.zeros((20, 8, 8, 3), np.uint8), np.arange(20) % 10
    yield "data card", data_prep.data_card_figure(card([7] * 10), images, labels, TEN)
    yield "data card of digits", data_prep.data_card_figure(card([7] * 10, 1), images[..., :1], labels, TEN)
    yield (
        "data card of 100",
        data_prep.data_card_figure(card([7] * 100), images, labels, [f"class number {k}" for k in range(100)]),
    )
    for variants, seeds in ((1, 1), (4, 3), (9, 1)):
        table = results(variants, seeds)
        yield f"comparison {variants} x {seeds}", comparison.comparison_figure(table, compared(table))


def renderer_of(figure):
    """What measures a figure's texts, all of which have their places: a legend's have none until it is drawn."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    with renderer._draw_disabled():
        figure.draw(renderer)
    return renderer


def visible_texts(figure):
    renderer = renderer_of(figure)
    hidden = hidden_texts(figure)
    for text in figure.findobj(mpl.text.Text):
        if text.get_text().strip() and text.get_visible() and text not in hidden:
            yield text, text.get_window_extent(renderer)


def hidden_texts(figure):
    """Ticks outside the limits of an axis, and those of an axis that is switched off, exist but are not drawn."""
    hidden = set()
    for axes in figure.axes:
        for axis, low, high in ((axes.xaxis, *axes.get_xlim()), (axes.yaxis, *axes.get_ylim())):
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                if not (axes.axison and min(low, high) <= tick.get_loc() <= max(low, high)):
                    hidden |= {tick.label1, tick.label2}
            if not axes.axison:
                hidden |= {axis.label, axis.offsetText}
    return hidden


def legend_labels(figure):
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes if axes.get_legend())]
    return [text.get_text() for legend in legends for text in legend.get_texts()]


@pytest.fixture(scope="module")
def figures():
    return dict(every_figure())


@pytest.fixture(scope="module")
def texts(figures):
    """Name of a figure -> its texts with their boxes."""
    return {name: [*visible_texts(figure)] for name, figure in figures.items()}


@pytest.mark.slow
def test_every_figure_is_a_figure_that_pyplot_does_not_hold(figures):
    assert all(isinstance(figure, Figure) for figure in figures.values())
    assert plt.get_fignums() == []


def test_figures_go_when_their_last_user_goes():
    drawn = training.loss_figure(history(2))
    reference = weakref.ref(drawn)
    del drawn
    gc.collect()
    assert reference() is None


def test_the_style_ends_with_its_block():
    before = dict(mpl.rcParams)
    with style():
        assert mpl.rcParams["text.parse_math"] is False
    training.loss_figure(history(2))
    assert dict(mpl.rcParams) == before


@pytest.mark.slow
def test_no_text_is_cut_by_the_edge(figures, texts):
    for name, figure in figures.items():
        width, height = figure.get_size_inches() * figure.dpi
        for text, box in texts[name]:
            assert box.x0 >= -2, (name, text)
            assert box.y0 >= -2, (name, text)
            assert box.x1 <= width + 2, (name, text)
            assert box.y1 <= height + 2, (name, text)


@pytest.mark.slow
def test_no_two_texts_overlap(texts):
    for name, found in texts.items():
        # Slanted labels have upright boxes that overlap though the letters do not.
        boxes = [(text, box) for text, box in found if text.get_rotation() in (0, 90)]
        for index, (text, box) in enumerate(boxes):
            for other, other_box in boxes[index + 1 :]:
                width = min(box.x1, other_box.x1) - max(box.x0, other_box.x0)
                height = min(box.y1, other_box.y1) - max(box.y0, other_box.y0)
                assert not (width > 2 and height > 2), (name, text, other)


def test_every_drawn_axis_has_a_label(figures):
    for name in (f"{graph} of {what}" for graph in GRAPHS for what in ("one run", "many")):
        axes = figures[name].axes
        assert all(panel.get_ylabel() for panel in axes), name
        assert "epoch" in [panel.get_xlabel() for panel in axes], name


def test_labels_keep_their_size_when_saved_outside_the_style(figures):
    ticks = figures["reliability"].axes[1].get_xticklabels()
    assert {label.get_fontsize() for label in ticks} == {10}


@pytest.mark.parametrize("graph", GRAPHS)
def test_long_histories_have_no_dense_markers(graph):
    figure = getattr(training, graph)(history(200))
    assert all(line.get_marker() in ("None", "*") for axes in figure.axes for line in axes.get_lines())
    short_history = getattr(training, graph)(history(3))
    assert any(line.get_marker() == "o" for axes in short_history.axes for line in axes.get_lines())


def test_one_run_has_loss_and_accuracy_on_two_axes_and_its_best_epoch_in_the_legend():
    figure = training.validation_figure(history(5))
    left, right = figure.axes
    assert left.bbox.bounds == right.bbox.bounds
    assert "best: 80.00 % in epoch 5" in " ".join(legend_labels(figure))


def test_without_a_run_no_star_stands_in_the_legend():
    assert legend_labels(training.validation_figure(history(5).head(0))) == ["loss (left)"]
    unmeasured = history(5).assign(validation_accuracy=np.nan)
    assert legend_labels(training.validation_figure(unmeasured)) == ["loss (left)", "accuracy (right)"]


def test_runs_of_a_variant_share_a_colour_and_a_legend_entry():
    figure = training.loss_figure(histories(2, 3))
    assert {"v0 (3 runs)", "v1 (3 runs)"} < set(legend_labels(figure))
    solid = [line for line in figure.axes[0].get_lines() if line.get_linestyle() == "-"]
    assert len(solid) == 6
    assert len({line.get_color() for line in solid}) == 2


def test_more_variants_than_colours_leave_the_best_told_apart():
    labels = legend_labels(training.loss_figure(histories(9, 1)))
    assert "v8" in labels
    assert "v0" not in labels
    assert "2 others (2 runs)" in labels
    greys = [line for line in training.loss_figure(histories(9, 1)).axes[0].get_lines() if line.get_color() == FAINT]
    assert len(greys) == 4


def test_a_name_with_a_leading_underscore_keeps_its_legend_entry():
    two = pd.concat([history(3, "a", "_private"), history(3, "b", "other")])
    assert "_private" in [label.strip() for label in legend_labels(training.loss_figure(two))]


def test_one_history_without_names_is_enough():
    assert training.learning_curves(history(2).drop(columns=["run", "variant"])).axes


def test_a_blow_up_does_not_flatten_the_rest_and_gaps_are_left_out():
    broken = history(20)
    broken.loc[15, "validation_loss"] = 1e6
    broken.loc[19, ["train_loss", "validation_loss", "validation_accuracy"]] = [np.inf, np.nan, np.nan]
    axes = training.loss_figure(broken).axes[0]
    assert axes.get_ylim()[1] < 10
    assert "cut off" in axes.get_ylabel()


def test_runs_of_one_schedule_share_one_line():
    assert len(training.learning_rate_figure(histories(2, 2)).axes[0].get_lines()) == 1
    assert len(training.learning_rate_figure(pd.concat([history(3), history(4, "b", "b")])).axes[0].get_lines()) == 2


def test_the_confusion_matrix_tells_counts_and_shares_of_rows():
    figure = classification.confusion_matrix(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]), ("cat", "dog"))
    texts = {text.get_text() for text in figure.axes[0].texts}
    assert texts == {"2\n67 %", "1\n33 %", "1\n100 %"}
    assert "3 of 4 images are right (75.0 %)" in figure.get_suptitle().replace("\n", " ")


def test_a_class_without_images_is_drawn_as_unknown_not_as_wrong():
    figure = classification.confusion_matrix(np.array([0, 0]), np.array([0, 0]), ("cat", "dog"))
    shares = figure.axes[0].images[0].get_array()
    assert np.isnan(np.ma.filled(shares, np.nan)[1]).all()


def test_many_classes_get_all_their_names_and_a_list_of_confusions(figures):
    matrix, beside = figures["confusion matrix of 100"].axes[:2]
    assert len(matrix.get_yticklabels()) == 100
    assert not matrix.texts
    assert " taken for " in beside.texts[0].get_text()


def test_the_reliability_diagram_counts_the_images_of_each_bin():
    labels, probabilities = predictions(10)
    bins = reliability_table(probabilities, labels)
    upper, lower = classification.reliability_diagram(bins, 0.1234).axes
    filled = bins[bins["images"] > 0]
    assert len(lower.patches) == len(filled)
    assert [text.get_text() for text in lower.texts] == [str(count) for count in filled["images"]]
    assert [bar.get_height() for bar in upper.patches] == pytest.approx((100 * filled["accuracy"]).tolist())


def test_no_bar_or_text_covers_an_image():
    labels, probabilities = predictions(10)
    table = prediction_table(labels[:5], probabilities[:5])
    figure = classification.prediction_grid(np.zeros((5, 8, 8, 1), np.uint8), table, TEN, 0.9)
    pictures = [axes for axes in figure.axes if axes.images]
    others = [axes for axes in figure.axes if axes.patches]
    assert (len(pictures), len(others)) == (5, 5)
    renderer = renderer_of(figure)
    for picture in pictures:
        inside = picture.get_window_extent(renderer)
        assert not any(inside.overlaps(axes.get_window_extent(renderer)) for axes in others)
        assert not any(inside.overlaps(text.get_window_extent(renderer)) for axes in others for text in axes.texts)


def test_right_and_wrong_are_told_by_word_and_the_rate_of_errors_is_said():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.7, 0.2, 0.1]])
    table = prediction_table(np.array([0, 1]), probabilities)
    grid = classification.prediction_grid(
        np.zeros((2, 8, 8, 3), np.uint8), table, ("cat", "dog", "bird"), 0.94, selection="chosen by hand"
    )
    titles = [axes.get_title() for axes in grid.axes if axes.images]
    assert titles == ["cat\ncorrect", "dog\nwrong"]
    assert grid.get_suptitle() == "2 test images chosen by hand: 1 wrong here, 6.0 % of all"
    texts = [text.get_text() for axes in grid.axes if axes.patches for text in axes.texts]
    assert texts[:6] == ["cat", "70 %", "dog", "20 %", "bird", "10 %"]


def test_fewer_classes_than_the_top_are_shown_all():
    table = prediction_table(np.array([0]), np.array([[0.6, 0.4]]))
    grid = classification.prediction_grid(np.zeros((1, 8, 8, 1), np.uint8), table, ("a", "b"), 1.0, top=5)
    assert sum(len(axes.patches) for axes in grid.axes if not axes.images) == 4  # two bars on two grounds


def test_the_comparison_shows_every_seed_the_n_and_the_paired_differences():
    table = results(3, 4)
    figure = comparison.comparison_figure(table, compared(table))
    left, right = figure.axes
    names = [label.get_text() for label in left.get_yticklabels()]
    assert all(name.endswith("n = 4") for name in names)
    dots = [line for line in left.get_lines() if line.get_marker() == "o"]
    assert [len(line.get_xdata()) for line in dots] == [4, 4, 4]
    assert sum(line.get_marker() == "o" for line in right.get_lines()) == 2
    expected = 100 * compared(table)["difference"].dropna()
    diamonds = [line.get_xdata()[0] for line in right.get_lines() if line.get_marker() == "D"]
    assert diamonds == pytest.approx(expected.tolist())


def test_one_variant_has_no_panel_of_differences_and_one_run_no_interval():
    table = results(1, 1)
    figure = comparison.comparison_figure(table, compared(table))
    assert len(figure.axes) == 1
    assert "One run has no interval." in figure.get_supxlabel()


def test_a_comparison_read_back_from_json_is_drawn_alike():
    table = results(2, 2)
    stored = pd.read_json(io.StringIO(compared(table).to_json(orient="records")), orient="records")
    assert len(comparison.comparison_figure(table, stored).axes) == 2


def test_the_data_card_counts_images_by_class_and_split():
    images, labels = np.zeros((4, 8, 8, 3), np.uint8), np.array([0, 0, 1, 1])
    figure = data_prep.data_card_figure(card([30, 40]), images, labels, ("cat", "dog"))
    counts = next(axes for axes in figure.axes if axes.get_title(loc="left") == "Images per class and split")
    assert [bar.get_width() for bar in counts.patches] == [30, 40, 1, 1, 2, 2]
    assert [text.get_text() for text in counts.texts] == ["33", "43"]
    assert "train (70)" in legend_labels(figure)


def test_each_sample_stands_in_the_row_of_its_class():
    images = np.stack([np.full((8, 8, 1), value, np.uint8) for value in (10, 20, 30)])
    figure = data_prep.data_card_figure(card([5, 5], 1), images, np.array([1, 0, 0]), ("cat", "dog"))
    sheet = next(axes for axes in figure.axes if axes.images).images[0].get_array()
    assert sheet.shape == (17, 17)
    assert (sheet[:8, :8] == 20).all()
    assert (sheet[:8, 9:] == 30).all()
    assert (sheet[9:, :8] == 10).all()
    assert (sheet[9:, 9:] == 255).all()


@pytest.mark.slow
def test_a_saved_figure_is_not_blank(figures):
    for name, figure in figures.items():
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=40)
        assert np.asarray(Image.open(file).convert("L")).std() > 5, name


def test_long_names_are_cut():
    assert short("automobile", 10) == "automobile"
    assert short("automobiles", 10) == "automobil…"
