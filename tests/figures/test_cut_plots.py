from functools import cache

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from tests.figures.test_plots import renderer_of

from vision_studies.figures.marks import have_room
from vision_studies.figures.style import stamped
from vision_studies.pipelines.transfer_cuts import plots as cuts

REPEATS = {0.001: 25, 0.01: 25, 0.1: 20, 0.5: 5, 1.0: 5}
CUTS = [-1, 0, 1, 2, 3, 4, 5, 6]
VERDICTS = ["higher", "lower", "no difference", "higher", "lower", "no difference", "higher"]


def accuracies():
    generator = np.random.default_rng(0)
    rows = [
        {
            "mode": "baseline" if cut == -1 else "freeze",
            "cut": cut,
            "fraction": fraction,
            "repeat": repeat,
            "test_accuracy": 0.75 + 0.01 * cut + 0.04 * place + generator.normal(0, 0.015),
            "images": round(16200 * fraction),
        }
        for place, (fraction, count) in enumerate(REPEATS.items())
        for cut in CUTS
        for repeat in range(count)
    ]
    return pd.DataFrame(rows)


def ranks():
    return pd.DataFrame(
        [
            {
                "fraction": fraction,
                "cut": cut,
                "rank": 1 if count < 10 else 7 - cut,
                "can_be_significant": count > 10,
                "repeats_needed": 11,
            }
            for fraction, count in REPEATS.items()
            for cut in CUTS
        ]
    )


def compared():
    return pd.DataFrame(
        [
            {
                "fraction": fraction,
                "cut": cut,
                "first": "F",
                "second": "FR",
                "verdict": VERDICTS[cut] if count > 10 else "no difference",
                "can_be_significant": count > 10,
                "repeats_needed": 9,
            }
            for fraction, count in REPEATS.items()
            for cut in CUTS[1:]
        ]
    )


DRAWN = {
    "box_plot": lambda table: cuts.box_plot(table, ranks(), title="FR"),
    "hatched_comparison": lambda table: cuts.hatched_comparison(table, compared()),
    "full_box_plot": cuts.full_box_plot,
    "difference_lines": cuts.difference_lines,
    "accuracy_lines": cuts.accuracy_lines,
    "range_lines": cuts.range_lines,
    "heat_map": cuts.heat_map,
    "bars": cuts.bars,
    "surface": cuts.surface,
}


@cache
def figure_of(name):
    """A figure of `accuracies`, drawn once for all the tests that look at it."""
    return DRAWN[name](accuracies())


def texts_of(drawn):
    """All texts that are seen; of ticks those within the axis (a surface's stand where its projection puts them)."""
    texts = [*drawn.texts]
    for axes in (axes for axes in drawn.axes if axes.get_visible()):
        texts += [*axes.texts, axes._left_title]
        if axes.name != "3d":
            axes_ticks = [tick for axis in (axes.xaxis, axes.yaxis) for tick in axis._update_ticks()]
            texts += [label for tick in axes_ticks for label in (tick.label1, tick.label2)]
            texts += [axes.xaxis.label, axes.yaxis.label]
    texts += [text for legend in drawn.legends for text in [*legend.get_texts(), legend.get_title()]]
    return [text for text in texts if text.get_text() and text.get_visible()]


@pytest.mark.parametrize("name", DRAWN)
def test_no_text_of_a_figure_overlaps_another_or_leaves_it(name):
    drawn = figure_of(name)
    stamped([drawn], "protocol: published")
    renderer = renderer_of(drawn)
    shown = [(text.get_text(), text.get_window_extent(renderer)) for text in texts_of(drawn)]
    assert len(shown) > 2
    for place, (first, box) in enumerate(shown):
        assert box.x0 >= -1, first
        assert box.y0 >= -1, first
        assert box.x1 <= drawn.bbox.x1 + 1, first
        assert box.y1 <= drawn.bbox.y1 + 1, first
        overlapping = [second for second, other in shown[place + 1 :] if box.overlaps(other)]
        assert not overlapping, first


@pytest.mark.parametrize("name", DRAWN)
def test_missing_cells_and_numbers_are_no_obstacle_and_the_table_stays_as_it_is(name):
    table = accuracies().drop(columns="images").query("fraction in (0.01, 0.5)").sample(frac=1, random_state=1)
    table = table[~((table["cut"] == 3) & (table["fraction"] == 0.01))]
    table.loc[table.index[5], "test_accuracy"] = np.nan
    before = table.copy(deep=True)
    FigureCanvasAgg(DRAWN[name](table)).draw()
    pd.testing.assert_frame_equal(table, before)


@pytest.mark.parametrize("name", DRAWN)
def test_one_fraction_of_one_cut_can_be_drawn(name):
    table = accuracies()
    FigureCanvasAgg(DRAWN[name](table[(table["fraction"] == 0.5) & table["cut"].isin([-1, 2])])).draw()


def test_every_box_shows_its_median_and_its_rank():
    table = accuracies()
    drawn = figure_of("box_plot")
    assert len(drawn.axes) == 5
    assert drawn.get_suptitle() == "FR"
    for axes, (fraction, count) in zip(drawn.axes, REPEATS.items(), strict=True):
        medians = table[table["fraction"] == fraction].groupby("cut")["test_accuracy"].median()
        expected = [f"{100 * median:.1f}" for median in medians]
        if count > 10:
            expected = [f"{text} · rank {7 - cut}" for text, cut in zip(expected, CUTS, strict=True)]
        assert [text.get_text() for text in axes.texts] == expected
        colours = [to_hex(box.get_facecolor()) for box in axes.patches]
        assert len(set(colours)) == (8 if count > 10 else 1)
        told = axes.get_title(loc="left").endswith(f"{count} repeats; a significant difference needs at least 11")
        assert told == (count < 10)
    assert drawn.axes[1].get_title(loc="left") == "1 % of the images (162), 25 repeats"
    names = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert names == [*(f"rank {rank}" for rank in range(1, 9)), "no rank"]


def test_a_baseline_alone_is_not_said_to_have_too_few_repeats():
    table = accuracies().query("cut == -1 and fraction == 0.5")
    assert cuts.box_plot(table, ranks()).axes[0].get_title(loc="left") == "50 % of the images (8,100), 5 repeats"


def test_a_rank_has_one_colour_in_all_panels():
    panels = figure_of("box_plot").axes[:2]
    first, second = ([to_hex(box.get_facecolor()) for box in axes.patches] for axes in panels)
    assert first == second


def test_hatches_say_where_one_experiment_is_better():
    drawn = figure_of("hatched_comparison")
    hatches = {"higher": "*", "lower": "//", "no difference": None}
    for axes, count in zip(drawn.axes, REPEATS.values(), strict=True):
        found = [box.get_hatch() for box in axes.patches]
        assert found == [None, *(hatches[verdict] if count > 10 else None for verdict in VERDICTS)]
        assert axes.get_title(loc="left").endswith("a significant difference needs at least 9") == (count < 10)
    assert drawn.get_suptitle() == "Test accuracy of F against FR"
    assert [text.get_text() for text in drawn.legends[0].get_texts()][:2] == [
        "F significantly higher than FR",
        "F significantly lower than FR",
    ]
    table = accuracies().query("fraction in (0.1, 0.5) and cut < 2")
    some = cuts.hatched_comparison(table, compared().query("fraction == 0.1"))
    assert some.axes[1].get_title(loc="left").endswith("; not compared with FR")


def test_lines_are_differences_of_medians_on_a_logarithmic_axis():
    table = accuracies()
    axes = figure_of("difference_lines").axes[0]
    assert axes.get_xscale() == "log"
    zero, *lines = axes.lines
    assert list(zero.get_ydata()) == [0, 0]
    medians = 100 * table.pivot_table(index="fraction", columns="cut", values="test_accuracy", aggfunc="median")
    for cut, line in zip(CUTS[1:], lines, strict=True):
        assert list(line.get_xdata()) == list(REPEATS)
        assert line.get_ydata() == pytest.approx((medians[cut] - medians[-1]).to_numpy())
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        *("0.1 %\n16", "1 %\n162", "10 %\n1,620", "50 %\n8,100", "100 %\n16,200")
    ]
    without = cuts.difference_lines(table[(table["cut"] != -1) | (table["fraction"] != 0.1)]).axes[0]
    assert 0.1 not in without.lines[1].get_xdata()


def test_means_have_their_standard_deviations():
    table = accuracies()
    axes = figure_of("accuracy_lines").axes[0]
    cells = 100 * table.set_index(["cut", "fraction"])["test_accuracy"]
    means, deviations = cells.groupby(level=[0, 1]).mean(), cells.groupby(level=[0, 1]).std(ddof=1)
    assert len(axes.containers) == 8
    shown = [line for line in axes.lines if len(line.get_xdata()) == 5 and line.get_linestyle() != "None"]
    for cut, container, line in zip(CUTS, axes.containers, shown, strict=True):
        assert line.get_ydata() == pytest.approx(means[cut].to_numpy())
        lengths = [np.ptp(segment[:, 1]) for segment in container[2][0].get_segments()]
        assert lengths == pytest.approx(2 * deviations[cut].to_numpy())


def test_bands_reach_from_the_lowest_to_the_highest_run():
    table = accuracies()
    drawn = figure_of("range_lines")
    shown = [axes for axes in drawn.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in shown] == [f"cut {cut}" for cut in range(7)]
    for cut, axes in enumerate(shown):
        own = 100 * table[table["cut"] == cut]["test_accuracy"]
        heights = axes.collections[1].get_paths()[0].vertices[:, 1]
        assert (heights.min(), heights.max()) == pytest.approx((own.min(), own.max()))


def test_cells_of_the_map_are_means():
    table = accuracies()
    axes = cuts.heat_map(table[(table["cut"] != 6) | (table["fraction"] != 1)]).axes[0]
    means = 100 * table.pivot_table(index="fraction", columns="cut", values="test_accuracy").to_numpy()
    texts = [f"{mean:.1f}" for mean in means.ravel()]
    texts[-1] = "–"
    assert [text.get_text() for text in axes.texts] == texts
    assert [label.get_text() for label in axes.get_xticklabels()] == ["baseline", *map(str, range(7))]


def test_bars_are_means_from_nought():
    table = accuracies()
    axes = figure_of("bars").axes[0]
    means = 100 * table.pivot_table(index="cut", columns="fraction", values="test_accuracy").to_numpy()
    assert [bar.get_height() for bar in axes.patches] == pytest.approx(list(means.ravel()))
    assert axes.get_ylim()[0] == 0


def test_the_surface_passes_through_the_means_over_the_logarithm_of_the_fraction():
    table = accuracies()
    axes = figure_of("surface").axes[0]
    means = 100 * table[table["cut"] >= 0].pivot_table(index="fraction", columns="cut", values="test_accuracy")
    across, along, heights = axes.collections[1]._offsets3d
    assert np.asarray(heights) == pytest.approx(means.to_numpy().ravel())
    assert sorted(set(np.asarray(along))) == pytest.approx(np.log10(list(REPEATS)))
    assert set(np.asarray(across)) == set(range(7))
    assert list(axes.get_yticks()) == pytest.approx(np.log10(list(REPEATS)))


@pytest.mark.parametrize("draw", [cuts.surface, cuts.heat_map])
def test_modes_that_are_compared_have_one_scale_of_colours(draw):
    first = accuracies()
    second = first.assign(mode=first["mode"].replace("freeze", "reinit"))
    second.loc[second["cut"] >= 0, "test_accuracy"] -= 0.1
    limits = cuts.mean_limits(pd.concat([first, second]))
    means = [100 * table.groupby(["fraction", "cut"])["test_accuracy"].mean() for table in (first, second)]
    assert limits == pytest.approx((means[1].min(), means[0].max()))
    for table in (first, second):
        axes, scale = draw(table, limits=limits).axes
        image = axes.collections[0] if axes.name == "3d" else axes.images[0]
        assert image.get_clim() == limits
        assert scale.get_ylim() == limits  # the colour bar's
        if axes.name == "3d":
            assert axes.get_zlim() == pytest.approx(limits)
    alone = draw(second).axes[1].get_ylim()
    assert alone == pytest.approx(cuts.mean_limits(second))
    assert alone != pytest.approx(limits)


def test_a_scale_of_one_value_has_two_ends():
    low, high = cuts.mean_limits(accuracies().assign(test_accuracy=0.5))
    assert low == 50 < high


def test_groups_hold_a_box_for_each_cut():
    drawn = figure_of("full_box_plot")
    (axes,) = drawn.axes
    assert len(axes.patches) == 40
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == [
        "baseline",
        *(f"cut {cut}" for cut in range(7)),
    ]


def test_names_of_fractions_that_lie_close_are_left_out():
    # Of three decades 7.5 % are a factor of 1.68.
    fractions = [0.001, 0.01, 0.1, 0.3, 0.5, 0.75, 1.0]
    assert have_room(np.log10(fractions), 0.075) == [True, True, True, False, True, False, True]
    assert have_room(np.log10([0.5]), 0.1) == [True]


def test_looks_of_many_cuts_differ():
    looks = cuts.cut_looks([-1, *range(14)])
    assert len({str(look) for look in looks.values()}) == 15


def test_the_label_of_a_map_of_one_fraction_stands_below_its_heading():
    drawn = cuts.heat_map(accuracies().query("fraction == 0.5"))
    renderer = renderer_of(drawn)
    label, heading = (text.get_window_extent(renderer) for text in (drawn.axes[0].yaxis.label, drawn._suptitle))
    assert not label.overlaps(heading)
