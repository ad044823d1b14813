"""Figures for other pages and places than those of the report."""

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.text import Text
from PIL import Image

from vision_studies.figures import panels
from vision_studies.figures.dark import turned
from vision_studies.figures.saving import save_figure
from vision_studies.figures.style import COLOURS, INK, SOFT, Look, light, looking, styled


@styled
def drawn():
    figure, axes = panels.single(8, 4)
    axes.plot([1, 2, 3], [1, 3, 2], color=INK, marker="o", markerfacecolor="white")
    axes.plot([1, 2, 3], [2, 1, 3], color=COLOURS[1])
    axes.fill_between([1, 2, 3], [0, 1, 0], color=light(COLOURS[0]))
    axes.text(1, 1, "a word", color=SOFT)
    return panels.finished(figure, "A title", legend=[panels.key("a line", color=COLOURS[1])], small_print="Small.")


def luminance(colour):
    channels = np.array(to_rgb(colour))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_word_and_line_can_be_told_from_the_page(theme):
    with looking(Look(theme)):
        figure = drawn()
    page = figure.get_facecolor()
    assert (luminance(page) < 0.05) == (theme == "dark")
    words = [text for text in figure.findobj(Text) if text.get_text()]
    assert len(words) > 8
    for text in words:
        assert contrast(text.get_color(), page) > 4.5, text
    for line in figure.axes[0].lines:
        assert contrast(line.get_color(), page) > 3
    assert contrast(figure.axes[0].lines[0].get_markerfacecolor(), page) < 1.1
    assert to_hex(figure.axes[0].lines[1].get_color()) == COLOURS[1].lower()
    assert contrast(figure.axes[0].collections[0].get_facecolor()[0], page) < 2


def test_a_figure_that_is_drawn_afterwards_is_light_again():
    with pytest.raises(ValueError, match="stopped"), looking(Look("dark")):
        drawn()
        raise ValueError("stopped")
    assert to_hex(drawn().get_facecolor()) == "#ffffff"


def test_turning_twice_is_turning_once():
    for colour in (INK, SOFT, "white", light(COLOURS[0]), COLOURS[3], "none", "auto"):
        once = turned(colour)
        assert np.all(turned(once) == np.array(once, dtype=object)), colour


@pytest.mark.parametrize(
    ("look", "pixels", "points"),
    [
        (Look(width=6, aspect=2), (600, 300), 12),
        (Look(width=6), (600, 300), 12),
        (Look(setting="talk", width=6), (600, 300), 18),
        (Look(setting="paper", width=3, aspect=1), (300, 300), 9.6),
    ],
)
def test_a_picture_is_as_large_as_asked_for_and_its_text_as_its_setting_wants(tmp_path, look, pixels, points):
    with looking(look):
        figure = drawn()
    save_figure(figure, tmp_path / "picture.png", look, dpi=100)
    with Image.open(tmp_path / "picture.png") as picture:
        assert picture.size == pixels
    title = figure.axes[0].title.get_fontsize() * look.scale
    assert title == pytest.approx(points)


def test_without_a_width_a_setting_enlarges_all_of_a_figure(tmp_path):
    sizes = {}
    for setting in ("notebook", "poster"):
        look = Look(setting=setting)
        with looking(look):
            save_figure(drawn(), tmp_path / f"{setting}.png", look, dpi=50)
        with Image.open(tmp_path / f"{setting}.png") as picture:
            sizes[setting] = np.array(picture.size)
    assert sizes["poster"] == pytest.approx(2 * sizes["notebook"], abs=4)


@pytest.mark.parametrize("ending", ["pdf", "svg", "png"])
def test_the_ending_says_the_format_and_the_page_may_be_left_out(tmp_path, ending):
    file = tmp_path / f"picture.{ending}"
    save_figure(drawn(), file, Look(), dpi=50, transparent=True)
    assert file.read_bytes().startswith({"pdf": b"%PDF", "svg": b"<?xml", "png": b"\x89PNG"}[ending])
    if ending == "png":
        with Image.open(file) as picture:
            assert picture.convert("RGBA").getpixel((0, 0))[3] == 0
