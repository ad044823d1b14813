import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from matplotlib.patches import PathPatch, Rectangle
from scipy.stats import gaussian_kde
from tests.figures.test_plots import renderer_of

from vision_studies.pipelines.alphanet.plots.neighbours import (
    class_examples,
    coefficient_densities,
    template_figure,
    template_panels,
)
from vision_studies.pipelines.alphanet.plots.predictions import GROUP_COLOURS, prediction_changes, prediction_counts

GROUPS = ("correct", "neighbour", "other")
LONG = "soft-coated wheaten terrier, a dog of Ireland with a silky coat"


def combinations(neighbours=5, experiments=("crt, rho 0.5",), classes=20, repeats=5, seed=0):
    generator = np.random.default_rng(seed)
    rows = []
    for experiment in experiments:
        for label, repeat in np.ndindex(classes, repeats):
            raw = generator.normal(np.linspace(1, -0.2, neighbours), 0.5)
            rows += [
                {
                    "experiment": experiment,
                    "repeat": repeat,
                    "label": label,
                    "position": position,
                    "coefficient": coefficient,
                }
                for position, coefficient in enumerate(raw / np.abs(raw).sum(), start=1)
            ]
    return pd.DataFrame(rows)


def flows(images, few=(True, False)):
    rows = [(before, after, kind) for kind in few for before in GROUPS for after in GROUPS]
    return pd.DataFrame(rows, columns=["before_group", "after_group", "few"]).assign(images=np.asarray(images, float))


def map_of(neighbours=2, images=30, seed=0):
    generator = np.random.default_rng(seed)
    groups = ["correct", *(f"neighbour {place}" for place in range(1, neighbours + 1)), "other"]
    places = generator.normal(size=(1 + neighbours + images, 2))
    kinds = ["classifier"] + ["neighbour"] * neighbours + ["feature"] * images
    panels = []
    for panel in ("before", "after"):
        moved = places.copy()
        moved[0] += 0.8 * (panel == "after")
        predicted = generator.choice(groups, images).tolist()
        panels.append(
            pd.DataFrame(
                {
                    "x": moved[:, 0],
                    "y": moved[:, 1],
                    "kind": kinds,
                    "panel": panel,
                    "position": [0, *range(1, neighbours + 1), *[0] * images],
                    "group": [*groups[:-1], *predicted],
                }
            )
        )
    return pd.concat(panels, ignore_index=True)


def visible(drawn):
    return [axes for axes in drawn.axes if axes.get_visible()]


def boxes(texts, drawn):
    """float [n, 4]: left, lower, right and upper end of every text that is not empty."""
    renderer = renderer_of(drawn)
    shown = [text for text in texts if text.get_text() and text.get_visible()]
    return np.array([text.get_window_extent(renderer).extents for text in shown]).reshape(-1, 4)


def assert_apart(found):
    low, high = found[:, None, :2], found[:, None, 2:]
    overlap = ((low < found[None, :, 2:]) & (found[None, :, :2] < high)).all(axis=2)
    assert overlap.sum() == len(found)  # each with itself


def assert_inside(found, drawn):
    assert (found[:, :2] >= 0).all()
    assert (found[:, 2:] <= drawn.bbox.extents[2:]).all()


def test_curves_are_the_densities_of_each_position():
    table = combinations(neighbours=3)
    (axes,) = visible(coefficient_densities(table))
    curves = [line for line in axes.lines if len(line.get_xdata()) == 401]
    assert len(curves) == 3
    for row, curve in enumerate(curves):
        values = table.loc[table["position"] == row + 1, "coefficient"].to_numpy()
        estimate, grid = gaussian_kde(values), curve.get_xdata()
        density = estimate(grid) + estimate(-2 - grid) + estimate(2 - grid)
        assert np.trapezoid(density, grid) == pytest.approx(1, abs=1e-3)
        np.testing.assert_allclose(row - curve.get_ydata(), 0.82 * density / density.max(), atol=1e-9)
        assert axes.texts[row].get_text() == f"{values.mean():+.2f}".replace("-", "−")
    assert axes.get_xlim() == (-1, 1)
    low, high = axes.get_ylim()
    assert low > high  # the nearest neighbour stands at the top


def test_few_or_equal_coefficients_are_dots():
    few = combinations(neighbours=2, classes=2, repeats=2)
    (axes,) = visible(coefficient_densities(few))
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert [sorted(line.get_xdata()) for line in dots] == [
        sorted(few.loc[few["position"] == position, "coefficient"]) for position in (1, 2)
    ]
    assert not [line for line in axes.lines if len(line.get_xdata()) == 401]
    (axes,) = visible(coefficient_densities(combinations(neighbours=1, classes=1, repeats=1).assign(coefficient=1.0)))
    assert [line.get_xdata().tolist() for line in axes.lines if line.get_marker() == "o"] == [[1.0]]
    equal = combinations(neighbours=1).assign(coefficient=-1.0)
    (axes,) = visible(coefficient_densities(equal))
    assert len(next(line for line in axes.lines if line.get_marker() == "o").get_xdata()) == len(equal)


@pytest.mark.slow
@pytest.mark.parametrize(("experiments", "neighbours"), [(1, 2), (2, 10), (5, 3), (12, 5)])
def test_every_experiment_has_a_readable_panel(experiments, neighbours):
    names = [f"crt, rho {place / 4:g}" for place in range(experiments)]
    drawn = coefficient_densities(combinations(neighbours, names, classes=4, repeats=3))
    panels = visible(drawn)
    assert [axes.get_title(loc="left") for axes in panels] == names
    for axes in panels:
        ticks = [label.get_text() for label in axes.get_yticklabels()]
        assert ticks == [str(position) for position in range(1, neighbours + 1)]
    texts = [text for axes in panels for text in [*axes.texts, *axes.get_yticklabels(), axes.title, axes._left_title]]
    found = boxes(texts, drawn)
    assert_apart(found)
    assert_inside(found, drawn)


def test_experiments_with_other_numbers_of_neighbours_share_the_colours():
    table = pd.concat([combinations(k, [f"k {k}"], classes=4) for k in (1, 3)])
    one, three = visible(coefficient_densities(table))
    first = [[line for line in axes.lines if len(line.get_xdata()) == 401] for axes in (one, three)]
    assert len(first[0]) <= 1
    assert len(first[1]) == 3
    dots = [next(line for line in axes.lines if line.get_marker() == "o") for axes in (one, three)]
    assert to_rgba(dots[0].get_color()) == to_rgba(dots[1].get_color())
    assert one.get_ylim() == three.get_ylim()


def test_no_coefficients_are_said_to_be_none():
    drawn = coefficient_densities(combinations().assign(coefficient=np.nan))
    assert drawn.axes[0].texts[0].get_text() == "There are no coefficients to draw."


def test_bars_are_the_counts_with_their_shares():
    counts = pd.DataFrame({"group": GROUPS, "images": [12.4, 1680.0, 307.6], "share": [0.0062, 0.84, 0.1538]})
    drawn = prediction_counts(counts, "Few classes: crt")
    (axes,) = drawn.axes
    assert [bar.get_width() for bar in axes.patches] == [12.4, 1680.0, 307.6]
    assert [bar.get_facecolor() for bar in axes.patches] == [to_rgba(GROUP_COLOURS[group]) for group in GROUPS]
    assert [text.get_text() for text in axes.texts] == ["12.4 (0.6 %)", "1,680 (84.0 %)", "308 (15.4 %)"]
    assert_inside(boxes(axes.texts, drawn), drawn)


def test_no_images_are_bars_of_nothing():
    counts = pd.DataFrame({"group": GROUPS, "images": [0.0] * 3, "share": [np.nan] * 3})
    drawn = prediction_counts(counts, "Few classes: crt")
    assert [text.get_text() for text in drawn.axes[0].texts] == ["0", "0", "0"]


def segments(axes, side):
    """Height and hatch of the parts of a column, from the top."""
    columns = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    own = [patch for patch in columns if (patch.get_x() < 0.5) == (side == "before")]
    return [(patch.get_height(), patch.get_hatch()) for patch in sorted(own, key=lambda patch: patch.get_y())]


IMAGES = [40, 5, 5, 20, 30, 10, 10, 5, 25, 500, 30, 20, 60, 90, 10, 40, 20, 80]


def test_columns_and_bands_are_as_high_as_their_images():
    table = flows(IMAGES)
    (axes,) = prediction_changes(table, "All classes").axes
    for side in ("before", "after"):
        sums = table.groupby([f"{side}_group", "few"])["images"].sum() / sum(IMAGES)
        expected = [sums[group, few] for group in GROUPS for few in (True, False)]
        found = segments(axes, side)
        assert [height for height, _ in found] == pytest.approx(expected)
        assert [bool(hatch) for _, hatch in found] == [True, False] * 3
    bands = [patch for patch in axes.patches if isinstance(patch, PathPatch)]
    assert len(bands) == 18
    for row, band in zip(table.itertuples(), bands, strict=True):
        corners = band.get_path().vertices
        share = row.images / sum(IMAGES)
        assert corners[7][1] - corners[0][1] == pytest.approx(share)
        assert corners[4][1] - corners[3][1] == pytest.approx(share)
        assert band.get_facecolor()[:3] == to_rgba(GROUP_COLOURS[row.before_group])[:3]
        assert bool(band.get_hatch()) == row.few


def test_bands_end_in_the_group_they_lead_to():
    table = flows(IMAGES)
    (axes,) = prediction_changes(table, "All classes").axes
    bands = [patch for patch in axes.patches if isinstance(patch, PathPatch)]
    kinds = pd.MultiIndex.from_product([GROUPS, [True, False]])  # few classes above
    for side, corner in (("before", 0), ("after", 3)):
        ends = table.groupby([f"{side}_group", "few"])["images"].sum().reindex(kinds).cumsum() / sum(IMAGES)
        starts = ends.shift(fill_value=0)
        tops = [band.get_path().vertices[corner][1] for band in bands]
        for row, top in zip(table.to_dict("records"), tops, strict=True):
            own = (row[f"{side}_group"], row["few"])
            assert starts[own] - 1e-9 <= top <= ends[own] - row["images"] / sum(IMAGES) + 1e-9
        order = np.argsort(tops)
        before = np.cumsum([0, *table["images"].to_numpy()[order][:-1]])
        np.testing.assert_allclose(np.array(tops)[order], before / sum(IMAGES), atol=1e-9)


def test_labels_of_the_columns_tell_counts_and_the_footnote_what_changed():
    drawn = prediction_changes(flows(IMAGES), "All classes")
    texts = [text.get_text() for text in drawn.axes[0].texts]
    assert "correct\n600 (60.0 %)\nfew 50, base 550" in texts
    assert "correct\n670 (67.0 %)\nfew 70, base 600" in texts
    assert drawn._supxlabel.get_text().startswith("Of 1,000 images 130 turn from wrong to correct and 60 from")


def test_one_kind_of_class_is_not_hatched():
    (axes,) = prediction_changes(flows(IMAGES[:9], few=[True]), "Few classes").axes
    assert not [patch for patch in axes.patches if patch.get_hatch()]
    assert axes.get_legend() is None
    assert "correct\n50 (33.3 %)" in [text.get_text() for text in axes.texts]


@pytest.mark.parametrize(
    "images",
    [
        IMAGES,
        [10, 0.4, 0.2, 1, 4, 0, 0, 0, 0.8, 9000, 20, 10, 30, 50, 2, 12, 3, 40],
        [0.2, 0, 0, 0, 3, 0, 0, 0, 1, 2, 0, 0, 0, 3, 0, 5, 5, 900],
        [5, 1, 0, 0, 0, 0, 0, 0, 0, 900, 1, 0, 0, 0, 0, 0, 0, 0],
    ],
)
def test_labels_keep_apart_where_groups_are_thin(images):
    drawn = prediction_changes(flows(images), f"All classes: {LONG}")
    (axes,) = drawn.axes
    assert_apart(boxes(axes.texts, drawn))
    assert_inside(boxes([*axes.texts, *axes.get_legend().get_texts()], drawn), drawn)


def test_no_flows_are_said_to_be_none():
    drawn = prediction_changes(flows([0] * 18), "All classes")
    assert [text.get_text() for text in drawn.axes[0].texts] == ["There are no such images."]


def test_points_of_a_map_are_where_the_table_has_them():
    table = map_of()
    drawn = template_panels(table, "Classifier of truck", ["ship", "automobile"])
    panels = drawn.axes[:2]
    for axes, panel in zip(panels, ("before", "after"), strict=True):
        own = table[(table["panel"] == panel)]
        for group in own.loc[own["kind"] == "feature", "group"].unique():
            line = next(line for line in axes.lines if line.get_label() == group)
            expected = own[(own["kind"] == "feature") & (own["group"] == group)]
            np.testing.assert_array_equal(line.get_xydata(), expected[["x", "y"]])
        star = [line for line in axes.lines if line.get_marker() == "*"][-1]
        np.testing.assert_array_equal(star.get_xydata(), own.loc[own["kind"] == "classifier", ["x", "y"]])
        diamonds = np.concatenate([line.get_xydata() for line in axes.lines if line.get_marker() == "D"])
        np.testing.assert_array_equal(diamonds, own.loc[own["kind"] == "neighbour", ["x", "y"]])
        assert [text.get_text() for text in axes.texts if text.get_text()] == ["1", "2"]
        low, high = axes.get_xlim()
        assert low < table["x"].min() < table["x"].max() < high
    assert panels[0].get_xlim() == panels[1].get_xlim()
    assert panels[0].get_ylim() == panels[1].get_ylim()


def test_the_legend_counts_predictions_before_and_after():
    table = map_of(neighbours=2)
    drawn = template_panels(table, "Classifier of truck", ["ship", "automobile"])
    features = table[table["kind"] == "feature"]
    counts = features.groupby(["group", "panel"]).size()
    names = {
        "correct": "the class itself",
        "neighbour 1": "1 ship",
        "neighbour 2": "2 automobile",
        "other": "another class",
    }
    expected = [f"{name}: {counts[group, 'before']} → {counts[group, 'after']}" for group, name in names.items()]
    assert [text.get_text() for text in drawn.axes[2].get_legend().get_texts()] == expected


@pytest.mark.parametrize("neighbours", [1, 5, 10])
def test_neighbours_of_a_map_can_be_told_apart_and_legends_fit(neighbours):
    drawn = template_panels(map_of(neighbours, 200), f"Classifier of {LONG}: crt, rho 0.5", [LONG] * neighbours)
    legend = drawn.axes[2].get_legend()
    looks = {(str(handle.get_color()), handle.get_marker()) for handle in legend.get_lines()}
    assert len(looks) == neighbours + 2
    texts = [text for part in (legend, drawn.axes[2].artists[0]) for text in part.get_texts()]
    found = boxes(texts, drawn)
    assert_apart(found)
    assert_inside(found, drawn)


def test_a_map_without_images_shows_the_classifiers():
    drawn = template_panels(map_of(images=0), "Classifier of truck", ["ship", "automobile"])
    assert "the class itself: 0 → 0" in [text.get_text() for text in drawn.axes[2].get_legend().get_texts()]


def test_an_arrow_shows_a_classifier_that_moves_visibly():
    def arrows(table):
        drawn = template_panels(table, "Classifier of truck", ["ship", "automobile"])
        return [len([text for text in axes.texts if text.arrow_patch is not None]) for axes in drawn.axes[:2]]

    table = map_of()
    assert arrows(table) == [0, 1]
    still = table.copy()
    own = still["kind"] == "classifier"
    still.loc[own, ["x", "y"]] = still.loc[own, ["x", "y"]].iloc[0].to_numpy()
    assert arrows(still) == [0, 0]


def test_several_classes_have_a_row_each():
    names = [f"{LONG[:27]} (+12.3 points)", "truck (−1.0 points)", "cat (+3.0 points)"]
    maps = {name: map_of(seed=seed) for seed, name in enumerate(names)}
    drawn = template_figure(maps, {name: ["ship", LONG] for name in names}, "The largest gains")
    assert len(drawn.axes) == 9
    titles = [axes.get_title(loc="left") for axes in drawn.axes]
    assert titles[0::3] == [f"{name}\nbaseline" for name in names]
    assert titles[1::3] == ["\nAlphaNet"] * 3
    for row, table in enumerate(maps.values()):
        star = next(line for line in drawn.axes[3 * row].lines if line.get_marker() == "*")
        own = table[(table["kind"] == "classifier") & (table["panel"] == "before")]
        np.testing.assert_array_equal(star.get_xydata(), own[["x", "y"]])
    assert_inside(boxes([axes._left_title for axes in drawn.axes], drawn), drawn)


@pytest.mark.parametrize("channels", [1, 3])
def test_examples_stand_in_rows_beside_their_labels(channels):
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 8, 8, channels)).astype(np.uint8)
    names = ["cat\n12 training images", "dog\n+0.71", f"{LONG}\n-0.29"]
    drawn = class_examples(images, names, "Drawn at random.")
    assert len(drawn.axes) == 3 * 5
    for place, axes in enumerate(drawn.axes):
        row, column = divmod(place, 5)
        if column:
            np.testing.assert_array_equal(axes.images[0].get_array(), images[row, column - 1].squeeze())
    labels = [drawn.axes[5 * row].texts[0] for row in range(3)]
    assert [label.get_text() for label in labels[:2]] == names[:2]
    assert labels[2].get_text().endswith("…\n-0.29")
    assert_apart(boxes(labels, drawn))
    assert_inside(boxes(labels, drawn), drawn)
    assert drawn._supxlabel.get_text() == "Drawn at random."


def test_one_example_of_a_class_without_neighbours_is_drawn():
    drawn = class_examples(np.zeros((1, 1, 32, 32, 3), np.uint8), ["cat"], "")
    assert_inside(boxes([drawn.axes[0].texts[0], drawn._suptitle], drawn), drawn)
