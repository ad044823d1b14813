import io

import numpy as np
import pandas as pd
import pytest

from vision_studies.errors import ParameterError
from vision_studies.pipelines.alphanet.tables import SPLITS, means, split_table, spreads, text

SPREAD = 0.016 * np.array([-1, 0, 1])  # sample standard deviation 0.016


def markdown(accuracies, title, metric):
    return spreads(accuracies, metric, title).markdown()


def latex(accuracies, title, label, metric, *, style="superscript"):
    return spreads(accuracies, metric, title, label=label, style=style).latex()


def csv(accuracies, metric):
    return means(accuracies, metric).csv(1)


def rows(experiment, of_splits, *, deviations=(0.0,) * 4, baseline=False, classifier="crt", repeats=3, **others):
    """Accuracies with exactly these means and sample standard deviations."""
    offsets = np.array([-1.0, 0.0, 1.0]) if repeats == 3 else np.zeros(repeats)
    return [
        {
            "classifier": classifier,
            "experiment": experiment,
            "baseline": baseline,
            "repeat": repeat,
            "split": split,
            "top_1": mean + deviation * offsets[repeat],
            "top_5": np.nan,
        }
        | others
        for repeat in range(repeats)
        for split, mean, deviation in zip(SPLITS, of_splits, deviations, strict=True)
    ]


def sample(**others):
    return pd.DataFrame(
        [
            *rows(
                "AlphaNet (r=0.1)",
                (0.476, 0.371, 0.538, 0.450),
                deviations=(0.0160, 0.0076, 0.0062, 0.0041),
                **others,
            ),
            *rows(
                "AlphaNet (r=0.2)",
                (0.457, 0.390, 0.557, 0.463),
                deviations=(0.0156, 0.0078, 0.0079, 0.0052),
                **others,
            ),
            *rows("Baseline", (0.274, 0.462, 0.618, 0.496), baseline=True, repeats=1, **others),
        ]
    )


WEB = """\
Experiment                Few         Med.         Many      Overall
----------------  -----------  -----------  -----------  -----------
Baseline                 27.4         46.2         61.8         49.6
AlphaNet (r=0.1)  47.6^±1.60^  37.1^±0.76^  53.8^±0.62^  45.0^±0.41^
AlphaNet (r=0.2)  45.7^±1.56^  39.0^±0.78^  55.7^±0.79^  46.3^±0.52^"""

FORMULAE = """\
Experiment                  Few           Med.           Many        Overall
----------------  -------------  -------------  -------------  -------------
Baseline                   27.4           46.2           61.8           49.6
AlphaNet (r=0.1)  $47.6^{1.60}$  $37.1^{0.76}$  $53.8^{0.62}$  $45.0^{0.41}$
AlphaNet (r=0.2)  $45.7^{1.56}$  $39.0^{0.78}$  $55.7^{0.79}$  $46.3^{0.52}$"""

CSV = """\
Experiment,Few,Medium,Many,Overall
Baseline,27.4,46.2,61.8,49.6
AlphaNet (r=0.1),47.6,37.1,53.8,45.0
AlphaNet (r=0.2),45.7,39.0,55.7,46.3
"""

MARKDOWN = """\
## ImageNet-LT

| Experiment       | Few         | Med.        | Many        | Overall     |
|------------------|-------------|-------------|-------------|-------------|
| Baseline         | 27.4        | 46.2        | 61.8        | 49.6        |
| AlphaNet (r=0.1) | 47.6 ± 1.60 | 37.1 ± 0.76 | 53.8 ± 0.62 | 45.0 ± 0.41 |
| AlphaNet (r=0.2) | 45.7 ± 1.56 | 39.0 ± 0.78 | 55.7 ± 0.79 | 46.3 ± 0.52 |

Top-1 accuracy in percent, mean ± sample standard deviation, n = 3 repeats (n = 1: Baseline).
"""


def test_table_describes_each_split_of_each_experiment():
    table = split_table(sample(), metric="top_1")
    assert list(table["experiment"]) == ["Baseline", "AlphaNet (r=0.1)", "AlphaNet (r=0.2)"]
    assert list(table["baseline"]) == [True, False, False]
    frame = sample()
    for row in table.to_dict("records"):
        for split in SPLITS:
            values = frame[(frame["experiment"] == row["experiment"]) & (frame["split"] == split)]["top_1"].to_numpy()
            assert row[f"{split}_mean"] == pytest.approx(np.mean(values))
            assert row[f"{split}_n"] == len(values)
            expected = np.std(values, ddof=1) if len(values) > 1 else np.nan
            assert row[f"{split}_deviation"] == pytest.approx(expected, nan_ok=True)
    assert table["few_deviation"][1] == pytest.approx(0.016)


def test_experiments_come_by_classifier_with_its_baseline_first_and_otherwise_as_given():
    accuracies = pd.DataFrame(
        [
            *rows("lws, rho 2", (0.1,) * 4, classifier="lws"),
            *rows("crt, rho 1", (0.1,) * 4),
            *rows("lws, rho 0.5", (0.1,) * 4, classifier="lws"),
            *rows("crt", (0.1,) * 4, baseline=True, repeats=1),
            *rows("lws", (0.1,) * 4, classifier="lws", baseline=True, repeats=1),
        ]
    )
    table = split_table(accuracies, metric="top_1")
    assert list(table["experiment"]) == ["lws", "lws, rho 2", "lws, rho 0.5", "crt", "crt, rho 1"]
    assert list(table["classifier"]) == ["lws"] * 3 + ["crt"] * 2


def test_missing_values_do_not_count_and_a_split_without_rows_has_none():
    accuracies = pd.DataFrame(rows("a", (0.5, 0.5, 0.5, 0.5), deviations=(0.1,) * 4))
    accuracies = accuracies[accuracies["split"] != "medium"]
    accuracies.loc[(accuracies["repeat"] == 0) & (accuracies["split"] == "few"), "top_1"] = np.nan
    row = split_table(accuracies, metric="top_1").iloc[0]
    assert (row["few_n"], row["medium_n"], row["many_n"]) == (2, 0, 3)
    assert row["few_mean"] == pytest.approx(0.55)
    assert row["few_deviation"] == pytest.approx(0.1 / np.sqrt(2))
    assert np.isnan(row["medium_mean"])
    assert np.isnan(row["medium_deviation"])
    assert "| a            | 55.0 ± 7.07 | –      | 50.0 ± 10.00 |" in markdown(accuracies, "x", "top_1")
    assert csv(accuracies, "top_1").splitlines()[1] == "a,55.0,,50.0,50.0"
    assert text(accuracies, "top_1").splitlines()[2].split() == [
        "a",
        "$55.0^{7.07}$",
        "–",
        "$50.0^{10.00}$",
        "$50.0^{10.00}$",
    ]


def test_terminal_table_is_that_of_the_published_sample():
    assert text(sample(), "top_1", style="plus_minus", web=True) == WEB
    assert text(sample(), "top_1") == FORMULAE
    assert text(sample(), "top_1", web=True).splitlines()[3].split("  ")[1] == "47.6^1.60^"
    assert "47.6 ± 1.60  37.1 ± 0.76" in text(sample(), "top_1", style="plus_minus")


def test_comma_separated_values_are_those_of_the_published_sample():
    assert csv(sample(), "top_1") == CSV


def test_names_with_commas_can_be_read_back():
    made = csv(pd.DataFrame(rows('crt, rho "0.5"', (0.25,) * 4)), "top_1")
    assert list(pd.read_csv(io.StringIO(made))["Experiment"]) == ['crt, rho "0.5"']
    assert csv(pd.DataFrame(rows("=cmd()", (0.25,) * 4)), "top_1").splitlines()[1].startswith("'=cmd()")  # no formula


def test_markdown_states_the_number_of_repeats():
    assert markdown(sample(), "ImageNet-LT", "top_1") == MARKDOWN
    single = pd.DataFrame(rows("a|b", (0.25,) * 4, repeats=1))
    made = markdown(single, "x", "top_1")
    assert "| a\\|b         | 25.0  |" in made
    assert made.endswith("n = 1 repeat.\n")


def test_other_metrics_can_be_shown():
    accuracies = sample().assign(adjusted=0.5, top_5=0.75)
    note = markdown(accuracies, "x", "adjusted").splitlines()[-1]
    assert note.startswith(
        "Accuracy with neighbours counted as right in percent, mean ± sample standard deviation, n = 3"
    )
    assert "\nTop-5 accuracy in percent" in markdown(accuracies, "x", "top_5")
    assert csv(accuracies, "top_5").splitlines()[1] == "Baseline,75.0,75.0,75.0,75.0"
    assert csv(sample(), "top_5").splitlines()[1] == "Baseline,,,,"


def test_latex_has_a_rule_before_each_classifier_and_escapes_names():
    accuracies = pd.concat(
        [
            sample(),
            pd.DataFrame(
                rows(r"lws_{1} & 39.7 ± 1.42", (0.1, 0.2, 0.3, 0.4), deviations=(0.12,) * 4, classifier="lws")
            ),
        ]
    )
    made = latex(accuracies, "100 % of ImageNet_LT.", "tab:x", "top_1")
    body = made[made.index(r"\toprule") : made.index(r"\bottomrule")].splitlines()
    assert body == [
        r"\toprule",
        r"Experiment & Few & Med. & Many & Overall \\",
        r"\midrule",
        r"Baseline & 27.4 & 46.2 & 61.8 & 49.6 \\",
        r"AlphaNet (r=0.1) & $47.6^{1.60}$ & $37.1^{0.76}$ & $53.8^{0.62}$ & $45.0^{0.41}$ \\",
        r"AlphaNet (r=0.2) & $45.7^{1.56}$ & $39.0^{0.78}$ & $55.7^{0.79}$ & $46.3^{0.52}$ \\",
        r"\midrule",
        r"lws\_\{1\} \& 39.7 $\pm$ 1.42 & $10.0^{12.00}$ & $20.0^{12.00}$ & $30.0^{12.00}$ & $40.0^{12.00}$ \\",
    ]
    assert r"\caption{100 \% of ImageNet\_LT. Top-1 accuracy in percent, mean with the sample standard" in made
    assert r"\label{tab:x}" in made
    assert r"{lrrrr}" in made
    plain = latex(accuracies, "x", "tab:x", "top_1", style="plus_minus")
    assert r"AlphaNet (r=0.1) & 47.6 $\pm$ 1.60 & 37.1 $\pm$ 0.76" in plain
    assert r"mean $\pm$ sample standard deviation" in plain


def test_several_data_sets_are_told_apart():
    accuracies = pd.concat([sample(data="ImageNet-LT | cRT"), sample(data="Places_LT")])
    assert text(accuracies, "top_1", style="plus_minus", web=True) == (
        f"ImageNet-LT | cRT:\n==================\n\n{WEB}\n\nPlaces_LT:\n==========\n\n{WEB}"
    )
    head, first, *others = csv(accuracies, "top_1").splitlines()
    assert head == "Data,Experiment,Few,Medium,Many,Overall"
    assert first == "ImageNet-LT | cRT,Baseline,27.4,46.2,61.8,49.6"
    assert others[2].startswith("Places_LT,Baseline,")
    names = [
        line.split(" | ")[0].strip("| ")
        for line in markdown(accuracies, "x", "top_1").splitlines()
        if "AlphaNet (" in line
    ]
    assert names[:2] == ["", ""]
    assert "n = 1: Baseline on ImageNet-LT | cRT; Baseline on Places_LT)" in markdown(accuracies, "x", "top_1")
    made = latex(accuracies, "x", "tab:x", "top_1")
    assert "{llrrrr}" in made
    assert "\\midrule\nPlaces\\_LT & Baseline & 27.4 &" in made
    assert made.count(r"\midrule") == 2


def test_one_data_set_has_no_title():
    assert text(sample(data="ImageNet-LT"), "top_1") == FORMULAE
    assert csv(sample(data="ImageNet-LT"), "top_1") == CSV
    assert markdown(sample(data="only"), "ImageNet-LT", "top_1") == MARKDOWN


def test_deviations_of_a_column_have_one_width():
    accuracies = pd.DataFrame(
        [
            *rows("a", (0.03, 0.5, 0.5, 0.5), deviations=(0.016, 0.016, 0.01, 0.01)),
            *rows("b", (0.5, 0.5, 0.5, 0.5), deviations=(0.099996, 0.099, 0.01, 0.01)),
        ]
    )
    first = text(accuracies, "top_1").splitlines()[2]
    assert first == "a           $ 3.0^{01.60}$  $50.0^{1.60}$  $50.0^{1.00}$  $50.0^{1.00}$"
    plain = text(accuracies, "top_1", style="plus_minus").splitlines()[2]
    assert plain == "a            3.0 ±  1.60  50.0 ± 1.60  50.0 ± 1.00  50.0 ± 1.00"
    wide = text(accuracies, "top_1", web=True, deviation_width=5).splitlines()[2]
    assert wide.split("  ")[-1] == "50.0^01.00^"
    with pytest.raises(ParameterError, match=r"deviation_width is 4, but a deviation needs 5"):
        text(accuracies, "top_1", deviation_width=4)


def test_widths_and_headings_can_be_set():
    head, dashes, first, *_ = text(
        sample(), "top_1", web=True, number_width=12, name_width=20, heading="Run"
    ).splitlines()
    assert head == "Run".ljust(20) + "".join("  " + name.rjust(12) for name in ("Few", "Med.", "Many", "Overall"))
    assert dashes == "  ".join(["-" * 20, *["-" * 12] * 4])
    assert len(first) == len(head)
    assert text(sample(), "top_1", show_headings=False) == "\n".join(FORMULAE.splitlines()[2:])


@pytest.mark.parametrize(
    ("width", "message"),
    [
        ({"number_width": 12}, "number_width is 12, but its column needs 13"),
        ({"name_width": 15}, "name_width is 15, but its column needs 16"),
        ({"name_width": 0}, "name_width is 0"),
    ],
)
def test_a_width_that_is_too_small_is_refused(width, message):
    with pytest.raises(ParameterError, match=message):
        text(sample(), "top_1", **width)


def test_an_unknown_metric_and_an_empty_table_are_refused():
    with pytest.raises(ParameterError, match="no column 'top_3'"):
        split_table(sample(), metric="top_3")
    with pytest.raises(ParameterError, match="has no rows"):
        split_table(sample().head(0), metric="top_1")


def test_input_is_left_alone():
    accuracies = sample()
    kept = accuracies.copy(deep=True)
    for write in (csv, text):
        write(accuracies, "top_1")
    markdown(accuracies, "x", "top_1")
    latex(accuracies, "x", "y", "top_1")
    pd.testing.assert_frame_equal(accuracies, kept)
