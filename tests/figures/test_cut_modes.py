import numpy as np
import pandas as pd
import pytest

from vision_studies.pipelines.transfer_cuts.plots import mode_lines

LABELS = {"freeze_reinit": "FR", "freeze": "F"}


def accuracies(fractions=(0.01, 0.1, 1.0), repeats=3):
    rows = []
    for fraction in fractions:
        for mode, cuts in {"baseline": (-1,), "freeze_reinit": (0, 1, 2), "freeze": (1, 2)}.items():
            for cut in cuts:
                for repeat in range(repeats):
                    value = 0.6 + 0.05 * cut + 0.1 * fraction + 0.01 * repeat
                    rows.append(
                        {"mode": mode, "cut": cut, "fraction": fraction, "repeat": repeat, "test_accuracy": value}
                    )
    return pd.DataFrame(rows)


def lines(axes):
    return {own.get_label(): own.lines[0] for own in axes.containers}


def test_each_share_has_a_panel_with_a_line_for_each_mode_over_the_baseline():
    table = accuracies()
    drawn = mode_lines(table.assign(images=100), LABELS)
    assert [axes.get_title(loc="left") for axes in drawn.axes] == [
        *("1 % of the images (100)", "10 % of the images (100)", "100 % of the images (100)")
    ]
    for axes, fraction in zip(drawn.axes, (0.01, 0.1, 1.0), strict=True):
        found = lines(axes)
        assert list(found) == ["FR", "F"]
        own = table[(table["fraction"] == fraction) & (table["mode"] == "freeze_reinit")]
        expected = 100 * own.groupby("cut")["test_accuracy"].mean()
        np.testing.assert_allclose(found["FR"].get_ydata().astype(float), expected)
        np.testing.assert_allclose(found["F"].get_xdata().astype(float), [1, 2], atol=0.1)
        baseline = table[(table["fraction"] == fraction) & (table["mode"] == "baseline")]["test_accuracy"]
        dashed = next(line for line in axes.lines if line.get_label() == "baseline")
        assert dashed.get_ydata()[0] == pytest.approx(100 * baseline.mean())
        assert axes.get_xticks().tolist() == [0, 1, 2]
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == ["baseline", "FR", "F"]


def test_one_share_one_repeat_and_a_missing_mode_can_be_drawn():
    table = accuracies(fractions=(0.1,), repeats=1)
    drawn = mode_lines(table[table["mode"] != "freeze"], LABELS)
    assert len(drawn.axes) == 1
    assert len(lines(drawn.axes[0])["FR"].get_ydata()) == 3


def test_the_callers_table_stays_as_it_was():
    table = accuracies()
    before = table.copy()
    mode_lines(table, LABELS)
    pd.testing.assert_frame_equal(table, before)
