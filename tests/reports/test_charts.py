import base64
import html
import json
import re

import numpy as np
import pytest
from plotly.graph_objects import Figure, Heatmap, Scatter

from vision_studies.errors import DataError
from vision_studies.figures.interactive_style import numbers
from vision_studies.reports.page import Chart, chart_json, giving, named_charts, plotly_script, render_page

NOTHING = {"studies": (), "problems": (), "confidence": 0.95, "configurations_left_out": 0, "runs": 0, "seconds": 0}
EMPTY = {"report": NOTHING, "configurations": (), "best": ()}


def content(**trace):
    return json.loads(chart_json(Figure(data=[Scatter(**trace)])))["data"][0]


def unpacked(value):
    return np.frombuffer(base64.b64decode(value["bdata"]), dtype=f"<{value['dtype']}").tolist()


def test_what_is_not_finite_is_null_and_whole_numbers_keep_all_digits():
    values = content(x=[1.2346, 2_819_370, 2.0, 1e-9], y=[0.1, np.int64(7), None, float("inf")], text=["NaN"] * 4)
    assert values["x"] == [1.2346, 2_819_370, 2, 1e-9]
    assert values["y"] == [0.1, 7, None, None]
    assert values["text"] == ["NaN"] * 4


def test_the_template_is_left_out():
    figure = Figure(data=[Scatter(x=[1])], layout={"height": 300})
    assert figure.layout.template.layout.colorway  # Plotly's own, which each figure brings
    assert json.loads(chart_json(figure))["layout"] == {"height": 300}


def test_arrays_are_packed_in_the_smallest_type_that_holds_them():
    values = np.random.default_rng(0).random(200)
    packed = content(y=numbers(values))["y"]
    assert packed["dtype"] == "f4"
    assert unpacked(packed) == pytest.approx(values, rel=1e-6)
    assert content(x=np.zeros(200, int))["x"] == {"dtype": "i1", "bdata": base64.b64encode(bytes(200)).decode()}
    assert content(x=[1, 2] * 4)["x"] == [1, 2] * 4
    assert content(text=["1.2345"] * 100)["text"] == ["1.2345"] * 100
    views = content(meta={"views": [{"y": numbers([1, 2])}]})["meta"]["views"]
    assert unpacked(views[0]["y"]) == [1, 2]


def test_whole_numbers_that_no_packed_type_holds_stay_in_a_list():
    values = [2**40 + place for place in range(50)]
    assert content(x=np.array(values))["x"] == values


def test_missing_values_are_packed_as_such():
    packed = content(y=numbers([np.nan, *np.random.default_rng(0).random(99)]))["y"]
    assert np.isnan(unpacked(packed)[0])
    assert np.isfinite(unpacked(packed)[1:]).all()


def test_a_map_is_packed_with_its_shape_and_rows_as_lists_stay_lists():
    written = json.loads(chart_json(Figure(data=[Heatmap(z=np.ones((2, 100))), Heatmap(z=[[1, None]])])))["data"]
    assert unpacked(written[0]["z"]) == [1] * 200
    assert written[0]["z"]["shape"] == "2, 100"
    assert written[1]["z"] == [[1, None]]


def test_a_name_stays_a_text_in_the_script_that_gives_it():
    name = '</script><script>alert(1)//&amp;\u2028"'
    script = giving("chart-1", chart_json(Figure(data=[Scatter(x=[1], name=name)])))
    told, text = json.loads(f"[{script.strip().removeprefix('visionStudies(').removesuffix(');')}]")
    assert told == "chart-1"
    assert json.loads(text)["data"][0]["name"] == name


def test_a_value_without_a_form_in_json_is_named():
    with pytest.raises(DataError, match="holds a complex"):
        chart_json(Figure(data=[Scatter(x=[1j])]))


def test_the_style_sheet_that_plotly_would_add_is_known_by_its_name():
    chart = Chart("Title", "Caption.", Figure(data=[Scatter(x=[1])]))
    page = render_page("index.html", root=".", ending=".js", charts=named_charts([chart]), **EMPTY)
    [sheet] = re.findall(r'data-plotly-sheet="([0-9a-f]{64})"', page.html)
    assert f'getElementById("{sheet}")' in plotly_script()


def test_the_policy_allows_no_markup_no_evaluation_and_no_network():
    [policy] = re.findall(
        r'Content-Security-Policy" content="([^"]*)"', render_page("index.html", root=".", ending=".js", **EMPTY).html
    )
    directives = dict(part.split(" ", 1) for part in html.unescape(policy).split("; "))
    assert directives.pop("default-src") == "'none'"
    allowed = {source for sources in directives.values() for source in sources.split() if "sha256" not in source}
    assert allowed == {"'self'", "file:", "data:"}
    assert "data:" not in directives["script-src"]
