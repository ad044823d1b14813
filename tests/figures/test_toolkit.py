import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch

from vision_studies.figures import marks, panels
from vision_studies.figures.style import COLOURS, INK, MARKERS, look, stamped, style, styled


@pytest.fixture(autouse=True)
def _in_style():
    with style():
        yield


@pytest.mark.parametrize(("count", "rows", "columns"), [(0, 1, 1), (1, 1, 1), (3, 1, 3), (4, 2, 3), (7, 3, 3)])
def test_panels_stand_in_rows_and_empty_places_are_hidden(count, rows, columns):
    found = panels.small_multiples(count, columns=3, size=(2, 3), margin=(1, 0.5))
    assert found.columns == columns
    assert len(found.axes) == max(1, count)
    assert len(found.figure.axes) == rows * columns
    assert [axes for axes in found.figure.axes if axes.get_visible()] == found.axes
    assert tuple(found.figure.get_size_inches()) == (max(7, 2 * columns + 1), 3 * rows + 0.5)


def test_outer_panels_are_labelled_also_above_an_empty_place():
    found = panels.small_multiples(5, columns=3, size=(3, 3), sharex=True, sharey=True)
    found.label("epoch", "loss")
    assert [axes.yaxis.label.get_visible() for axes in found.axes] == [True, False, False, True, False]
    assert [axes.xaxis.label.get_visible() for axes in found.axes] == [False, False, True, True, True]
    assert {(axes.get_xlabel(), axes.get_ylabel()) for axes in found.axes} == {("epoch", "loss")}
    assert found.axes[2].xaxis.get_tick_params()["labelbottom"]
    assert [found.ends_row(number) for number in range(5)] == [False, False, True, False, True]


def test_a_legend_stands_in_the_middle_in_as_many_columns_as_there_is_room_for():
    handles = [panels.key(f"a label of thirty letters, no. {number}", color="red") for number in range(4)]
    drawn = panels.finished(Figure(figsize=(9, 4), layout="constrained"), "Title", legend=handles, small_print="Small.")
    assert drawn.get_suptitle() == "Title"
    assert drawn.get_supxlabel() == "Small."
    assert drawn.legends[0]._ncols == 2
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == [handle.get_label() for handle in handles]


@pytest.mark.parametrize(("note", "title"), [("About the entries.", "About the entries."), ("", "")])
def test_a_legend_with_a_note_stands_at_the_left_and_may_have_no_entries(note, title):
    drawn = panels.finished(Figure(figsize=(9, 4), layout="constrained"), note=note)
    assert drawn.legends[0].get_title().get_text() == title
    assert not drawn.legends[0].get_texts()


def test_a_figure_with_nothing_to_draw_says_why():
    drawn = panels.nothing_to_draw("There is nothing.", "Title")
    assert [text.get_text() for text in drawn.axes[0].texts] == ["There is nothing."]
    assert drawn.get_suptitle() == "Title"


def panels_of(label, values, reach):
    @styled
    def draw():
        drawn = panels.small_multiples(2, columns=2, size=(3, 3))
        for axes in drawn.axes:
            axes.errorbar(range(len(values)), values, yerr=reach, marker="o", capsize=2)
        drawn.label("epoch", label)
        return drawn.figure

    return draw().axes


def test_an_axis_of_percentages_ends_at_its_ends_and_cuts_no_mark():
    for axes in panels_of("accuracy (%)", [0.0, 98.0, 100.0], 5.0):
        assert axes.get_ylim() == (0, 100)
        marked, *caps = axes.lines
        assert not marked.get_clip_on()
        assert all(cap.get_clip_on() for cap in caps)
    for axes in panels_of("accuracy (%)", [60.0, 98.0], 1.0):
        assert 55 < axes.get_ylim()[0] < 59
        assert axes.get_ylim()[1] == 100
    for axes in panels_of("change (points)", [-3.0, 99.0], 5.0):
        assert axes.get_ylim()[0] < -8
        assert axes.get_ylim()[1] > 104


def test_shifts_are_even_and_centred():
    assert panels.side_by_side(3, 0.5).tolist() == [-0.5, 0, 0.5]
    assert panels.side_by_side(2, 1).tolist() == [-0.5, 0.5]
    assert marks.spread(1, 0.2).tolist() == [0]
    assert marks.spread(3, 0.2).tolist() == [-0.2, 0, 0.2]


def test_panels_are_made_equally_high():
    found = panels.small_multiples(2, columns=2, size=(3, 3))
    found.axes[0].set_ylim(0, 1)
    found.axes[1].set_ylim(-1, 0.5)
    panels.same_heights(found.axes)
    assert {axes.get_ylim() for axes in found.axes} == {(-1, 1)}


@pytest.mark.parametrize(("fill", "median"), [("#000080", "white"), ("#ffffff", INK), ("#00000020", INK)])
def test_boxes_leave_out_empty_groups_and_their_medians_stand_out(fill, median):
    _, axes = panels.single(7, 4)
    marks.boxes(axes, [[1, 2, 3, 4], [], [4, 5, 6, 7]], [0, 1, 2], 0.5, fill=fill, edge="grey")
    assert len([patch for patch in axes.patches if isinstance(patch, PathPatch)]) == 2
    medians = {to_hex(line.get_color()) for line in axes.lines if line.get_linewidth() == 1.5}
    assert medians == {to_hex(median)}
    marks.boxes(axes, [[], []], [0, 1], 0.5, fill=fill, edge="grey")
    assert len(axes.patches) == 2


def test_values_that_are_too_few_for_a_box_are_dots_with_their_median():
    _, axes = panels.single(7, 4)
    marks.boxes(axes, [[3, 1, 2]], [5], 0.5, fill="white", edge="grey", orientation="horizontal")
    assert not axes.patches
    dots, median = axes.lines
    assert list(dots.get_xdata()) == [3, 1, 2]
    assert np.abs(np.asarray(dots.get_ydata()) - 5).max() <= 0.25
    assert list(median.get_xdata()) == [2, 2]


def test_cells_tell_their_value_in_an_ink_that_can_be_read_and_missing_ones_have_a_dash():
    _, axes = panels.single(7, 4)
    values = np.array([[0.0, 1.0], [np.nan, 0.5]])
    marks.cells(axes, values, "{:.1f}".format, rows=["a", "b"], columns=["c", "d"], cmap="Greys")
    assert [text.get_text() for text in axes.texts] == ["0.0", "1.0", "–", "0.5"]
    light, dark = axes.texts[:2]
    assert (light.get_color(), dark.get_color()) == (INK, "white")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["c", "d"]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_keeps_its_pixels(channels):
    _, axes = panels.single(7, 4)
    image = np.random.default_rng(0).integers(0, 256, (4, 5, channels), np.uint8)
    marks.picture(axes, image, colour="red", linewidth=2)
    assert (axes.images[0].get_array() == image.squeeze()).all()
    assert not axes.get_xticks().size
    assert not [own for own in axes.collections if isinstance(own, PathCollection)]


def test_names_stand_at_whole_numbers_downwards_on_a_vertical_axis():
    _, axes = panels.single(7, 4)
    marks.names(axes, "y", ["a", "b", "c"])
    assert axes.get_ylim() == (2.5, -0.5)
    marks.names(axes, "x", ["a", "b"], beside=0.6)
    assert axes.get_xlim() == pytest.approx((-0.6, 1.6))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b"]


def test_logarithmic_axes_have_plain_numbers():
    drawn, axes = panels.single(7, 4)
    axes.plot([1, 2_000], [1e3, 3e9])
    marks.logarithmic(axes.xaxis, (1,))
    marks.logarithmic(axes.yaxis, (1,), marks.with_unit)
    FigureCanvasAgg(drawn).draw()
    shown = {label.get_text() for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]}
    assert {"1", "1,000", "1k", "1M", "1G"} <= shown
    assert marks.thousands(0.25) == "0.25"


def test_every_value_that_was_run_has_a_tick_and_a_name_where_it_has_room():
    drawn, axes = panels.single(7, 4)
    values = [0.001, 0.01, 0.8, 1.0]
    marks.values_run(axes.xaxis, values, [f"{value:g}" for value in values], 0.1)
    FigureCanvasAgg(drawn).draw()
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.001", "0.01", "1"]
    assert axes.get_xticks(minor=True).tolist() == [0.8]
    assert axes.get_xscale() == "log"


def test_series_differ_in_colour_or_marker():
    assert len({tuple(look(number).values()) for number in range(len(COLOURS) * len(MARKERS))}) == 49
    assert look(0) == look(49)


def test_figures_are_stamped_where_there_is_something_to_say():
    drawn = (Figure(), Figure())
    assert stamped(drawn, "") is drawn
    assert not drawn[0].texts
    assert stamped({"a": drawn[0]}, "made up") == {"a": drawn[0]}
    assert [text.get_text() for text in drawn[0].texts] == ["made up"]
