import pandas as pd

from vision_studies.reports.booktabs import latex_table, markdown_table

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
