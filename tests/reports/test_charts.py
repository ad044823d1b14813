import base64
import gzip
import hashlib
import json

import numpy as np
import pytest
from plotly.graph_objects import Figure, Heatmap, Scatter
from plotly.offline import get_plotlyjs

from vision_studies.errors import DataError
from vision_studies.figures.interactive_style import numbers
from vision_studies.reports.page import chart_json, content_security_sources, plotly_archive


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


def test_nothing_in_the_json_ends_the_script_it_stands_in():
    written = chart_json(Figure(data=[Scatter(x=[1], name="</script><script>alert(1)//&amp;\u2028")]))
    assert not {"<", ">", "&", "\u2028"} & set(written)
    assert json.loads(written)["data"][0]["name"] == "</script><script>alert(1)//&amp;\u2028"


def test_a_value_without_a_form_in_json_is_named():
    with pytest.raises(DataError, match="holds a complex"):
        chart_json(Figure(data=[Scatter(x=[1j])]))


def test_the_archive_is_plotly_and_its_digest_is_allowed():
    archive = plotly_archive()
    assert len(archive) < 2_100_000
    source = gzip.decompress(base64.b64decode(archive))
    assert source.decode() == get_plotlyjs()
    digest = base64.b64encode(hashlib.sha256(source).digest()).decode()
    assert content_security_sources()["script-src"] == (f"'sha256-{digest}'",)
    assert plotly_archive() is archive


def test_the_policy_allows_no_markup_and_no_evaluation():
    sources = [own for directive in content_security_sources().values() for own in directive]
    assert all(own.startswith("'sha256-") for own in sources)
