import re
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest

from vision_studies.catalog.atomic import FigureDataset
from vision_studies.figures import vector as module
from vision_studies.figures.comparison import comparison_figure
from vision_studies.figures.dark import ON_COLOUR
from vision_studies.figures.marks import cells
from vision_studies.figures.panels import single
from vision_studies.figures.style import INK, SOFT
from vision_studies.figures.vector import described, vector
from vision_studies.statistics.comparisons import compare_variants


@pytest.fixture(scope="module")
def svg():
    figure, axes = single(6, 4)
    axes.set_title("Ünusual <title>", color=INK)
    axes.plot([1, 2], color=SOFT)
    cells(axes, np.array([[0.0, 1.0]]), "{:.1f}".format, rows=["row"], columns=["a", "b"], cmap="Greys")
    return vector(figure)


def test_letters_are_text_in_the_fonts_of_the_page(svg):
    words = {text.text for text in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")}  # noqa: S314 - our own file
    assert {"Ünusual <title>", "row", "0.0", "1.0"} <= words
    assert "system-ui" in svg
    assert vector_again(svg) == svg


def vector_again(svg):
    """The same figure has the same file, so that nothing is kept twice."""
    figure, axes = single(6, 4)
    axes.set_title("Ünusual <title>", color=INK)
    axes.plot([1, 2], color=SOFT)
    cells(axes, np.array([[0.0, 1.0]]), "{:.1f}".format, rows=["row"], columns=["a", "b"], cmap="Greys")
    return vector(figure)


def test_nothing_lies_behind_a_figure_and_its_colours_turn_on_a_dark_page_but_for_those_on_a_cell(svg):
    root = ET.fromstring(svg)  # noqa: S314
    page = next(each for each in root.iter() if each.get("id") == "patch_1")
    assert "fill: none" in page[0].get("style")
    rules = re.search(r"@media \(prefers-color-scheme:dark\)\{(.*)\}</style>", svg).group(1)
    assert f'[style*="stroke: {SOFT}"]' in rules
    assert f'text[style*="fill: {INK}"]' in rules
    assert rules.count(f'g:not([id^="{ON_COLOUR}"])>text') >= 2
    on_cells = [group for group in root.iter() if (group.get("id") or "").startswith(ON_COLOUR)]
    assert ["".join(group.itertext()).strip() for group in on_cells] == ["0.0", "1.0"]


def test_a_figure_says_what_it_shows():
    figure, axes = single(6, 4)
    axes.set(title="Loss", ylabel="nats")
    axes.plot([1, 2, 3], [2.0, np.nan, 0.25], label="a < b")
    assert described(figure) == "Loss, nats from 0.25 to 2, a < b ends at 0.25"
    assert "<desc>Loss, nats from 0.25 to 2, a &lt; b ends at 0.25</desc>" in vector(figure)
    results = pd.DataFrame(
        {"variant": ["plain"] * 2 + ["se"] * 2, "seed": [0, 1] * 2, "test_accuracy": [0.9, 0.8, 0.7, 0.9]}
    )
    compared = compare_variants(results.assign(value=results["test_accuracy"]), baseline="plain")
    said = described(comparison_figure(results, compared))
    assert said.startswith("test accuracy: plain 85.0 % (")
    assert "; se 80.0 % (" in said
    assert said.endswith("-5.0 points against the baseline")


def test_a_figure_of_thousands_of_points_stays_a_picture(tmp_path, monkeypatch):
    figure, axes = single(6, 4)
    axes.plot([1, 2])
    stored = FigureDataset(filepath=str(tmp_path / "curve.png"))
    stored.save(figure)
    assert sorted(file.name for file in tmp_path.glob("curve*")) == ["curve.png", "curve.svg"]
    monkeypatch.setattr(module, "MOST_BYTES", 100)
    stored.save(figure)
    assert [file.name for file in tmp_path.glob("curve*")] == ["curve.png"]
