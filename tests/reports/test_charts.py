import base64
import gzip
import hashlib
import json

import numpy as np
import pandas as pd
import pytest
from plotly.graph_objects import Figure, Heatmap, Scatter
from plotly.offline import get_plotlyjs

from vision_studies.errors import DataError
from vision_studies.reports.charts import chart_json, content_security_sources, plotly_archive


def content(**trace):
    return json.loads(chart_json(Figure(data=[Scatter(**trace)])))["data"][0]


def unpacked(value):
    return np.frombuffer(base64.b64decode(value["bdata"]), dtype=f"<{value['dtype']}").tolist()


def test_numbers_keep_five_digits_and_whole_numbers_all():
    values = content(x=[1.23456789, 2_819_370, 2.0, 1e-9 / 3], y=[np.float32(0.1), np.int64(7), None, float("inf")])
    assert values["x"] == [1.2346, 2_819_370, 2, 3.3333e-10]
    assert values["y"] == [0.1, 7, None, None]


def test_the_template_is_left_out():
    figure = Figure(data=[Scatter(x=[1])], layout={"height": 300})
    assert figure.layout.template.layout.colorway  # Plotly's own, which each figure brings
    assert json.loads(chart_json(figure))["layout"] == {"height": 300}


def test_long_lists_are_packed_where_that_is_shorter():
    values = np.random.default_rng(0).random(200)
    packed = content(y=values)["y"]
    assert packed["dtype"] == "f4"
    assert unpacked(packed) == pytest.approx(values, rel=1e-4)
    assert content(x=np.zeros(200))["x"] == {"dtype": "i1", "bdata": base64.b64encode(bytes(200)).decode()}
    assert content(x=[1, 2] * 4)["x"] == [1, 2] * 4
    assert content(text=["1.2345"] * 100)["text"] == ["1.2345"] * 100


@pytest.mark.parametrize("values", [[2**40 + place for place in range(50)], [1e-40 * place for place in range(50)]])
def test_numbers_that_no_packed_type_holds_stay_in_a_list(values):
    assert content(x=values)["x"] == pytest.approx(values, rel=1e-4)


def test_missing_values_are_packed_as_such():
    packed = content(y=[None, *np.random.default_rng(0).random(99)])["y"]
    assert np.isnan(unpacked(packed)[0])
    assert np.isfinite(unpacked(packed)[1:]).all()


def test_rows_of_a_map_are_packed_one_by_one():
    written = json.loads(chart_json(Figure(data=[Heatmap(z=np.ones((2, 100)))])))
    assert [unpacked(row) for row in written["data"][0]["z"]] == [[1] * 100] * 2


def test_nothing_in_the_json_ends_the_script_it_stands_in():
    written = chart_json(Figure(data=[Scatter(x=[1], name="</script><script>alert(1)//&amp;\u2028")]))
    assert not {"<", ">", "&", "\u2028"} & set(written)
    assert json.loads(written)["data"][0]["name"] == "</script><script>alert(1)//&amp;\u2028"


def test_a_value_without_a_form_in_json_is_named():
    with pytest.raises(DataError, match="holds a Timestamp"):
        chart_json(Figure(data=[Scatter(x=[pd.Timestamp("2020-01-01")])]))


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
