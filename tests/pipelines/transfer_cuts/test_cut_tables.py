import pandas as pd
import pytest

from vision_studies.pipelines.transfer_cuts import ranking_texts as cut_tables


def description(mean=0.8, images=True):
    rows = [
        {
            "fraction": fraction,
            "cut": cut,
            "n": 25 if fraction < 0.5 else 5,
            "mean": mean + gain,
            "standard_deviation": 0.0125 if cut != 1 else float("nan"),
            "train_mean": 0.9,
            "images": 18000 * fraction if images else float("nan"),
        }
        for fraction in (0.5, 0.001)
        for cut, gain in ((0, 0.0), (-1, 0.0), (1, 0.05))
    ]
    return pd.DataFrame(rows)


COMPARISONS = pd.DataFrame(
    [
        {
            "fraction": fraction,
            "first": first,
            "second": second,
            "difference": difference,
            "p_holm": p_holm,
            "significant": p_holm < 0.05,
        }
        for fraction, first, second, difference, p_holm in (
            (0.001, 0, -1, 0.0, 1.0),
            (0.001, 1, -1, 0.05, 1.7e-6),
            (0.001, 1, 0, 0.04, 1.7e-6),
            (0.5, 0, -1, -0.001, 1.0),
            (0.5, 1, -1, 0.05, float("nan")),
        )
    ]
)

COMPARED = pd.DataFrame(
    [
        {
            "fraction": fraction,
            "cut": cut,
            "first": "F_1",
            "second": "F|T",
            "difference": difference,
            "p_holm": p_holm,
            "verdict": verdict,
            "can_be_significant": fraction < 0.5,
            "repeats_needed": 7,
        }
        for fraction, cut, difference, p_holm, verdict in (
            (0.5, 1, 0.03, 0.44, "no difference"),
            (0.001, 0, 0.02, 0.001, "higher"),
            (0.001, 1, -0.02, 0.001, "lower"),
            (0.5, 0, 0.01, 0.44, "no difference"),
        )
    ]
)


def accuracies_markdown(description, comparisons, title):
    return cut_tables.accuracies(description, comparisons, title, "tab:x").markdown()


def accuracies_latex(description, comparisons, title, label):
    return cut_tables.accuracies(description, comparisons, title, label).latex()


def cells(markdown):
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.replace("\\|", "/").strip("|").split("|")] for row in rows]


def latex_cells(latex):
    return [
        [cell.strip() for cell in line.removesuffix(" \\\\").split(" & ")]
        for line in latex.splitlines()
        if " & " in line
    ]


def test_markdown_has_a_row_for_each_cell():
    text = accuracies_markdown(description(), COMPARISONS, "FR")
    assert text.startswith("## FR\n\n| Images")
    head, _, *rows = cells(text)
    assert head == ["Images", "Cut", "Repeats", "Train (%)", "Test (%)", "Minus baseline (points)", "Corrected p"]
    assert rows == [
        ["0.1 % (18)", "baseline", "25", "90.00", "80.00 ± 1.25", "–", "–"],
        ["", "0", "25", "90.00", "80.00 ± 1.25", "+0.00", "1"],
        ["", "1", "25", "90.00", "**85.00**", "+5.00*", "1.7e-06"],
        ["50 % (9,000)", "baseline", "5", "90.00", "80.00 ± 1.25", "–", "–"],
        ["", "0", "5", "90.00", "80.00 ± 1.25", "-0.10", "1"],
        ["", "1", "5", "90.00", "**85.00**", "+5.00", "–"],
    ]
    assert "\\*: differs significantly from the baseline" in text


def test_number_of_images_is_left_out_where_it_is_not_known():
    rows = cells(accuracies_markdown(description(images=False), COMPARISONS, "FR"))[2:]
    assert [row[0] for row in rows] == ["0.1 %", "", "", "50 %", "", ""]


def test_latex_has_the_same_cells_with_rules_between_the_fractions():
    text = accuracies_latex(description(), COMPARISONS, r"FR_x at 5 % \of {it}.", "tab:fr")
    shown = latex_cells(text)
    expected = [row for row in cells(accuracies_markdown(description(), COMPARISONS, "FR")) if "--" not in row[0]]
    expected = [
        [cell.replace("%", r"\%").replace("±", r"$\pm$").replace("**85.00**", r"\textbf{85.00}") for cell in row]
        for row in expected
    ]
    assert shown == expected
    assert text.count(r"\midrule") == 2
    assert text.index(r"\midrule") < text.index(r"0.1 \%") < text.rindex(r"\midrule") < text.index(r"50 \%")
    for part in (r"\toprule", r"\bottomrule", r"\label{tab:fr}", "{llrrrrr}"):
        assert part in text
    assert r"\caption{FR\_x at 5 \% \textbackslash{}of \{it\}. Mean $\pm$ standard" in text


def test_two_experiments_have_a_column_that_says_which_is_higher():
    table = cut_tables.experiments(description(), description(0.78), COMPARED, "Both", "tab:both")
    text = table.markdown()
    head, _, *rows = cells(text)
    assert head == ["Images", "Cut", "F_1 (%)", "F/T (%)", "Difference (points)", "Corrected p", "Higher"]
    assert rows == [
        ["0.1 % (18)", "0", "**80.00 ± 1.25**", "78.00 ± 1.25", "+2.00", "0.001", "F_1"],
        ["", "1", "85.00", "**83.00**", "-2.00", "0.001", "F/T"],
        ["50 % (9,000)", "0", "80.00 ± 1.25", "78.00 ± 1.25", "+1.00", "0.44", "needs 7 repeats"],
        ["", "1", "85.00", "83.00", "+3.00", "0.44", "needs 7 repeats"],
    ]
    latex = table.latex()
    assert r"\textbf{80.00 $\pm$ 1.25} & 78.00 $\pm$ 1.25 & +2.00 & 0.001 & F\_1 \\" in latex
    assert len(latex_cells(latex)) == 5
    assert latex.count(r"\midrule") == 2


def test_a_difference_that_could_be_significant_but_is_not_has_a_dash():
    compared = COMPARED.assign(can_be_significant=True)
    rows = cells(cut_tables.experiments(description(), description(), compared, "Both", "tab:x").markdown())[2:]
    assert [row[-1] for row in rows] == ["F_1", "F/T", "–", "–"]


@pytest.mark.parametrize("write", [accuracies_markdown, lambda *tables: accuracies_latex(*tables, "label")])
def test_tables_are_left_alone(write):
    tables = (description(), COMPARISONS.copy())
    before = [table.copy(deep=True) for table in tables]
    write(*tables, "title")
    for table, kept in zip(tables, before, strict=True):
        pd.testing.assert_frame_equal(table, kept)
