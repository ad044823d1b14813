import io

import pandas as pd
import pytest

from vision_studies.reports.table import Latex, Table

ROWS = [
    {"Configuration": "3x_a", "Accuracy (%)": "93.2 ± 0.4"},
    {"Configuration": r"b & c\{$}", "Accuracy (%)": "100 %"},
]


def test_markdown_has_a_heading_and_a_row_for_each_line():
    text = Table(ROWS, "Title").markdown()
    assert text.startswith("## Title\n\n| Configuration")
    assert text.count("\n|") == 4
    assert "| 3x_a" in text
    assert Table(ROWS).markdown().startswith("| Configuration")


def test_nothing_in_markdown_ends_a_cell_or_is_set_in_italics():
    text = Table([{"a|b": "c|d"}], note="*: a note", bold=[(0, "a|b")]).markdown()
    assert text.splitlines()[0].strip("| ") == r"a\|b"
    assert text.splitlines()[2].strip("| ") == r"**c\|d**"
    assert text.endswith("\n\n\\*: a note\n")


def test_latex_has_rules_and_escapes_what_would_be_a_command():
    text = Table(ROWS, "A_b", label="tab:x").latex()
    for part in (r"\toprule", r"\midrule", r"\bottomrule", r"\caption{A\_b.}", r"\label{tab:x}", "{lr}"):
        assert part in text
    assert r"3x\_a & 93.2 $\pm$ 0.4 \\" in text
    assert r"b \& c\textbackslash{}\{\$\} & 100 \% \\" in text
    assert r"Accuracy (\%)" in text
    assert r"3 $\times$ a" in Table([{"Networks": "3 × a"}], "Networks", label="tab:y").latex()


def test_latex_has_rules_between_groups_bold_cells_and_a_note_behind_its_caption():
    rows = [{"a": name, "b": Latex("$1^{2}$")} for name in "xyz"]
    text = Table(
        rows, "t", caption="Some.", note="A note.", label="tab:x", align="rl", begins=[0, 2], bold=[(1, "a")]
    ).latex()
    assert text.splitlines() == [
        r"\begin{table}",
        r"\centering",
        r"\caption{Some. A note.}",
        r"\label{tab:x}",
        r"\begin{tabular}{rl}",
        r"\toprule",
        r"a & b \\",
        r"\midrule",
        r"x & $1^{2}$ \\",
        r"\textbf{y} & $1^{2}$ \\",
        r"\midrule",
        r"z & $1^{2}$ \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]


@pytest.mark.parametrize("text", ["=cmd()", "+1+cmd", "-2+3", "@SUM(A1)", " =1", "\t=1", "-"])
def test_no_cell_of_a_spreadsheet_is_a_formula(text):
    table = Table([{"Configuration": text, text: -0.5}, {"Configuration": "plain", text: 2.0}])
    read = pd.read_csv(io.StringIO(table.csv(), newline=""))
    assert read["Configuration"].tolist() == [f"'{text}", "plain"]
    assert read.columns[1] == f"'{text}"
    assert read.iloc[:, 1].tolist() == [-0.5, 2.0]


@pytest.mark.parametrize("text", ["-0.35", "+1.5 %", "-1e-05", "-93.2 ± 0.4", "plain", "a=b", "–"])
def test_numbers_and_other_texts_stay_as_they_are(text):
    assert pd.read_csv(io.StringIO(Table([{"a": text}]).csv()), dtype=str)["a"].tolist() == [text]


def test_a_name_begins_no_row():
    text = Table([{"a": "x\r=cmd()", "b": '"\n=cmd()'}]).csv()
    assert pd.read_csv(io.StringIO(text, newline="")).to_dict("list") == {"a": ["x =cmd()"], "b": ['"\n=cmd()']}


def test_numbers_have_as_many_decimals_as_they_are_given_and_missing_ones_are_empty():
    table = Table([{"n": 3, "x": 0.125}, {"n": 4, "x": float("nan")}])
    assert table.csv() == "n,x\n3,0.125\n4,\n"
    assert table.csv(1) == "n,x\n3,0.1\n4,\n"


def test_columns_of_a_terminal_are_aligned_and_those_without_a_value_can_be_left_out():
    table = Table([{"run": "a", "label": "", "n": 10}, {"run": "bcd", "label": "", "n": 9}])
    assert table.without("label").terminal().splitlines() == [
        "run      n",
        "-----  ---",
        "a       10",
        "bcd      9",
    ]
    assert table.without("n").headings == ["run", "label", "n"]


def test_html_shows_everything_as_it_is_written():
    text = Table([{"<b>": "<script>alert(1)</script> & more"}])._repr_html_()
    assert "<script>" not in text
    assert "&lt;b&gt;" in text
    assert "&amp; more" in text


def test_a_table_without_rows_can_be_written():
    assert Table([], "Title").markdown() == "## Title\n\n\n"
    assert Table([]).csv() == "\n"
