import io

import pandas as pd
import pytest

from vision_studies.reports.booktabs import csv_table, latex_table, markdown_table

TABLE = pd.DataFrame({"Configuration": ["3x_a", r"b & c\{$}"], "Accuracy (%)": ["93.2 ± 0.4", "100 %"]})


def test_markdown_has_a_heading_and_a_row_for_each_line():
    text = markdown_table(TABLE, "Title")
    assert text.startswith("## Title\n\n| Configuration")
    assert text.count("\n|") == 4
    assert "| 3x_a" in text


def test_latex_has_rules_and_escapes_what_would_be_a_command():
    text = latex_table(TABLE, "A_b", "tab:x")
    for part in (r"\toprule", r"\midrule", r"\bottomrule", r"\caption{A\_b}", r"\label{tab:x}", "{lr}"):
        assert part in text
    assert r"3x\_a & 93.2 $\pm$ 0.4 \\" in text
    assert r"b \& c\textbackslash{}\{\$\} & 100 \% \\" in text
    assert r"Accuracy (\%)" in text
    assert r"3 $\times$ a" in latex_table(pd.DataFrame({"Networks": ["3 × a"]}), "Networks", "tab:y")


@pytest.mark.parametrize("text", ["=cmd()", "+1+cmd", "-2+3", "@SUM(A1)", " =1", "\t=1", "-"])
def test_no_cell_of_a_spreadsheet_is_a_formula(text):
    table = pd.DataFrame({"Configuration": [text, "plain"], text: [-0.5, 2.0]})
    read = pd.read_csv(io.StringIO(csv_table(table), newline=""))
    assert read["Configuration"].tolist() == [f"'{text}", "plain"]
    assert read.columns[1] == f"'{text}"
    assert read.iloc[:, 1].tolist() == [-0.5, 2.0]


@pytest.mark.parametrize("text", ["-0.35", "+1.5 %", "-1e-05", "-93.2 ± 0.4", "plain", "a=b", "–"])
def test_numbers_and_other_texts_stay_as_they_are(text):
    assert pd.read_csv(io.StringIO(csv_table(pd.DataFrame({"a": [text]}))), dtype=str)["a"].tolist() == [text]


def test_a_name_begins_no_row():
    text = csv_table(pd.DataFrame({"a": ["x\r=cmd()"], "b": ['"\n=cmd()']}))
    assert pd.read_csv(io.StringIO(text, newline="")).to_dict("list") == {"a": ["x =cmd()"], "b": ['"\n=cmd()']}
