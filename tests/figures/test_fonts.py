import warnings
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.text import Text
from tests.figures.test_plots import renderer_of

from vision_studies.data.checks.sheet import SheetRow
from vision_studies.figures import fonts
from vision_studies.figures.contact_sheet import contact_sheet
from vision_studies.figures.style import figure, heading, styled

NAMES = {
    "Chinese": "猫と犬",
    "Arabic": "قطة",
    "emoji": "dog 🐕",
    "Devanagari": "बिल्ली",
    "Greek": "γάτα",
    "plain": "cat",
}


@styled
def bars(names):
    drawn = figure(6, 4)
    axes = drawn.add_subplot()
    heading(drawn, f"All of {names[0]}")
    axes.barh(range(len(names)), range(1, len(names) + 1), label=names[-1])
    axes.set_yticks(range(len(names)), names)
    axes.legend()
    return drawn


def texts(drawn):
    drawn.draw_without_rendering()
    return {text.get_text() for text in drawn.findobj(Text)}


@pytest.mark.parametrize("script", NAMES)
def test_names_in_any_script_are_drawn_or_escaped(script, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Matplotlib warns where it draws a box
        drawn = bars([NAMES[script], "other"])
        drawn.savefig(tmp_path / "bars.png")
    _, lacking = fonts.fonts_with(fonts._unusual([NAMES[script]]))
    assert fonts.escaped(NAMES[script], lacking) in texts(drawn)


def test_what_no_font_has_is_escaped(monkeypatch, tmp_path):
    monkeypatch.setattr(fonts, "_installed", lambda: ())
    drawn = bars(["猫", "🐕"])
    drawn.savefig(tmp_path / "bars.png")
    assert {"\\u732b", "\\U0001f415"} <= texts(drawn)


def test_a_font_that_has_the_characters_is_taken(monkeypatch):
    has = {"/noto": frozenset("猫"), "/other": frozenset("猫犬")}
    monkeypatch.setattr(fonts, "_installed", lambda: (("Noto", "/noto"), ("Other", "/other")))
    monkeypatch.setattr(fonts, "_characters", has.__getitem__)
    assert fonts.fonts_with(frozenset("猫犬🐕")) == (("Noto", "Other"), frozenset("🐕"))


def test_a_contact_sheet_names_its_images(tmp_path):
    images = tuple(np.full((8, 8, 3), shade, np.uint8) for shade in (0, 128, 255))
    row = SheetRow("Blank images", "doubtful", 30, ("猫/a.png", "a_very_long_folder/b.png", "c.png"), images)
    drawn = contact_sheet([row, row], "pets")
    drawn.savefig(tmp_path / "sheet.png")
    assert "doubtful: Blank images, 3 of 30 shown" in texts(drawn)
    assert "c.png" in texts(drawn)
    assert texts(contact_sheet([], "pets")) >= {"pets", "Nothing was found that could be shown."}


def test_names_below_pictures_do_not_run_into_each_other():
    images = (np.zeros((8, 8, 3), np.uint8),) * 4
    names = (
        "a_very_long_folder/b.png",
        "猫猫猫猫猫猫猫猫猫猫猫猫/b.png",
        "кошки/большая_картинка.png",
        "日本語の長い名前の画像.png",
    )
    drawn = contact_sheet([SheetRow("Copies", "doubtful", 4, names, images)], "pets")
    renderer = renderer_of(drawn)
    written = [text for text in drawn.findobj(Text) if text.get_text().endswith(".png")]
    boxes = sorted((text.get_window_extent(renderer) for text in written), key=lambda box: box.x0)
    assert len(boxes) == len(names)
    assert all(left.x1 <= right.x0 for left, right in pairwise(boxes))
