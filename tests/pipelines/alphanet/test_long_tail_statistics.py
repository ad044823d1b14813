import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import LinearRegression

from vision_studies.errors import DataError
from vision_studies.pipelines.alphanet.long_tail import (
    SPLITS,
    class_means,
    distance_lines,
    fitted_line,
    gain_sentences,
    image_lines,
    paired_gains,
    summarise,
)
from vision_studies.statistics.intervals import holm_levels, summary

LEVELS = {"overall": 0.5, "few": 0.2, "medium": 0.5, "many": 0.7}
GAINS = {"overall": -0.02, "few": 0.15, "medium": -0.05, "many": -0.04}


def accuracies(*, classifiers=("crt",), rhos=(0.1, 0.5), repeats=5, baseline_repeats=1, gains=GAINS, noise=0.004):
    """Table with gains as given, halved for every further rho."""
    generator = np.random.default_rng(0)
    rows = []
    for classifier in classifiers:
        settings = [(classifier, True, np.nan, baseline_repeats)]
        settings += [(f"{classifier}, rho {rho:g}", False, rho, repeats) for rho in rhos]
        for place, (experiment, baseline, rho, count) in enumerate(settings):
            for repeat in range(count):
                for split in ("few", "medium", "many", "overall"):
                    gain = 0.0 if baseline else gains[split] / 2 ** (place - 1)
                    value = LEVELS[split] + gain + (0.02 * repeat if baseline_repeats > 1 else 0)
                    value += generator.normal(0, noise)
                    rows.append(
                        {
                            "classifier": classifier,
                            "experiment": experiment,
                            "baseline": baseline,
                            "rho": rho,
                            "neighbours": np.nan if baseline else 3.0,
                            "distance": None if baseline else "euclidean",
                            "repeat": repeat,
                            "split": split,
                            "top_1": value,
                            "top_5": np.nan,
                        }
                    )
    return pd.DataFrame(rows)


def exact(values, baseline):
    """Table of one setting: split -> accuracies by repeat."""
    table = accuracies(rhos=(0.5,), repeats=len(next(iter(values.values()))), baseline_repeats=len(baseline["few"]))
    for name, known in (("crt", baseline), ("crt, rho 0.5", values)):
        for split, own in known.items():
            table.loc[(table["experiment"] == name) & (table["split"] == split), "top_1"] = own
    return table[table["split"].isin(list(values))]


def class_accuracies(images=(500, 200, 90, 40, 15, 5, 3, 2), repeats=2, experiments=("crt, rho 0.5", "crt, rho 1")):
    generator = np.random.default_rng(1)
    splits = ["few" if count < 20 else "many" if count > 100 else "medium" for count in images]
    distances = generator.uniform(1, 5, len(images))
    tables = []
    for place, experiment in enumerate(("crt", *experiments)):
        for repeat in range(repeats):
            before = generator.uniform(0.2, 0.8, len(images))
            table = pd.DataFrame(
                {"label": range(len(images)), "split": splits, "train_images": images, "test_images": 50}
            )
            table["name"] = [f"class {label}" for label in table["label"]]
            table = table.assign(classifier="crt", experiment=experiment, baseline=place == 0, repeat=repeat)
            table["baseline_accuracy"] = before
            table["accuracy"] = before + (generator.normal(0, 0.05, len(images)) if place else 0)
            tables.append(table.assign(neighbour_distance=distances if place else np.nan))
    return pd.concat(tables, ignore_index=True)


def test_a_summary_is_that_of_pandas_and_of_students_t():
    table = accuracies(classifiers=("lws", "crt"))
    found = summarise(table, confidence=0.9)
    assert list(found["experiment"].drop_duplicates()) == [
        *("lws", "lws, rho 0.1", "lws, rho 0.5", "crt", "crt, rho 0.1", "crt, rho 0.5")
    ]
    assert list(found["split"][:4]) == list(SPLITS)
    assert list(found.columns) == [
        *("classifier", "experiment", "baseline", "rho", "neighbours", "distance"),
        *("split", "n", "mean", "deviation", "low", "high"),
    ]
    own = table.groupby(["experiment", "split"])["top_1"].agg(["mean", "std", "count"])
    for row in found.to_dict("records"):
        expected = own.loc[(row["experiment"], row["split"])]
        assert row["n"] == expected["count"]
        assert row["mean"] == pytest.approx(expected["mean"])
        assert row["deviation"] == pytest.approx(expected["std"], nan_ok=True)
        if row["n"] == 1:
            assert row["baseline"]
            assert np.isnan([row["low"], row["high"]]).all()
        else:
            reach = stats.t.ppf(0.95, row["n"] - 1) * expected["std"] / np.sqrt(row["n"])
            assert (row["low"], row["high"]) == pytest.approx((expected["mean"] - reach, expected["mean"] + reach))


def test_intervals_of_accuracies_end_at_nought_and_one_but_those_of_gains_do_not():
    table = exact({"few": [0.0, 0.0, 0.3]}, {"few": [0.1]})
    (row,) = summarise(table).query("not baseline").to_dict("records")
    assert row["low"] == 0
    (row,) = summarise(table, gain=True).to_dict("records")
    assert row["low"] < -0.1


def test_gains_are_measured_from_the_one_baseline_or_from_that_of_the_same_repeat():
    one = accuracies()
    found = summarise(one, gain=True)
    assert not found["baseline"].any()
    base = one[one["baseline"]].set_index("split")["top_1"]
    for row in found.to_dict("records"):
        own = one[(one["experiment"] == row["experiment"]) & (one["split"] == row["split"])]["top_1"]
        assert row["mean"] == pytest.approx(own.mean() - base[row["split"]])
        assert row["deviation"] == pytest.approx(own.std())
    many = accuracies(baseline_repeats=3).sample(frac=1, random_state=0)
    found = summarise(many, gain=True).set_index(["experiment", "split"])
    wide = many[many["split"] == "few"].pivot_table(index="repeat", columns="experiment", values="top_1")
    differences = (wide["crt, rho 0.1"] - wide["crt"]).dropna()
    row = found.loc[("crt, rho 0.1", "few")]
    assert row["n"] == len(differences) == 3
    assert row["mean"] == pytest.approx(differences.mean())
    assert row["deviation"] == pytest.approx(differences.std(ddof=1))
    assert row["deviation"] < 0.015  # what the repeats have in common drops out


def test_a_metric_without_values_has_no_summary_but_its_rows():
    found = summarise(accuracies(), metric="top_5", gain=True)
    assert (found["n"] == 0).all()
    assert found[["mean", "deviation", "low", "high"]].isna().all(axis=None)
    assert paired_gains(accuracies(), metric="top_5")["p_corrected"].isna().all()


def test_gains_are_tested_in_pairs_and_corrected_together():
    table = accuracies(baseline_repeats=5, classifiers=("crt", "lws"))
    found = paired_gains(table, 0.9)
    assert len(found) == 16
    levels = dict(
        zip(zip(found["experiment"], found["split"], strict=True), holm_levels([*found["p"]], 0.1), strict=True)
    )
    for row in found.to_dict("records"):
        wide = table[table["split"] == row["split"]].pivot_table(index="repeat", columns="experiment", values="top_1")
        first, second = wide[row["experiment"]], wide[row["classifier"]]
        expected = stats.ttest_rel(first, second)
        assert row["p"] == pytest.approx(expected.pvalue)
        level = levels[row["experiment"], row["split"]]
        assert (row["low"], row["high"]) == pytest.approx(tuple(expected.confidence_interval(1 - level)))
        assert row["mean"] == pytest.approx((first - second).mean())
        assert row["can_be_significant"]
        assert (row["n"], row["baseline_repeats"]) == (5, 5)
    ordered = found.sort_values("p")
    steps = np.maximum.accumulate(np.minimum(1, ordered["p"].to_numpy() * np.arange(16, 0, -1)))
    assert ordered["p_corrected"].to_numpy() == pytest.approx(steps)


def test_gains_over_one_baseline_are_tested_as_one_sample():
    table = accuracies()
    found = paired_gains(table).set_index(["experiment", "split"])
    few = table[table["split"] == "few"].set_index("experiment")["top_1"]
    expected = stats.ttest_1samp(few["crt, rho 0.5"] - few["crt"], 0)
    assert found.loc[("crt, rho 0.5", "few"), "p"] == pytest.approx(expected.pvalue)
    assert (found["baseline_repeats"] == 1).all()


def test_one_repeat_or_equal_gains_have_no_test():
    found = paired_gains(accuracies(repeats=1))
    assert not found["can_be_significant"].any()
    assert found[["low", "high", "p", "p_corrected"]].isna().all(axis=None)
    equal = paired_gains(exact({"few": [0.3, 0.3, 0.3], "overall": [0.5, 0.5, 0.5]}, {"few": [0.2], "overall": [0.5]}))
    assert list(equal["split"]) == ["overall", "few"]
    assert equal["p"].isna().tolist() == [False, True]
    assert equal["low"].tolist() == pytest.approx([0, 0.1])


def test_tables_that_cannot_be_read_are_refused():
    table = accuracies()
    with pytest.raises(DataError, match="two rows of the split 'few'"):
        summarise(pd.concat([table, table[table["split"] == "few"]]))
    with pytest.raises(DataError, match="no baseline for the split"):
        summarise(table[~table["baseline"]], gain=True)
    with pytest.raises(DataError, match="no baseline for the split"):
        paired_gains(table[~table["baseline"]])
    other = table[table["baseline"]].assign(experiment="crt again")
    with pytest.raises(DataError, match="more than one baseline"):
        paired_gains(pd.concat([table, other]))
    assert len(summarise(table[~table["baseline"]])) == 8


def test_a_fitted_line_is_that_of_scikit_learn_with_the_band_of_a_mean_response():
    generator = np.random.default_rng(3)
    x = generator.uniform(2, 9, 25)
    y = 0.3 - 0.02 * x + generator.normal(0, 0.05, 25)
    found = fitted_line(np.append(x, np.nan), np.append(y, 1.0), 0.9)
    reference = LinearRegression().fit(x[:, None], y)
    assert found["x"].iloc[[0, -1]].tolist() == [x.min(), x.max()]
    assert found["fitted"].to_numpy() == pytest.approx(reference.predict(found["x"].to_numpy()[:, None]))
    design = np.column_stack([np.ones(25), x])
    residuals = y - reference.predict(x[:, None])
    covariance = residuals @ residuals / 23 * np.linalg.inv(design.T @ design)
    places = np.column_stack([np.ones(len(found)), found["x"]])
    reach = stats.t.ppf(0.95, 23) * np.sqrt(np.einsum("ij,jk,ik->i", places, covariance, places))
    assert (found["high"] - found["fitted"]).to_numpy() == pytest.approx(reach)
    assert (found["fitted"] - found["low"]).to_numpy() == pytest.approx(reach)
    assert found[["r", "p"]].drop_duplicates().to_numpy() == pytest.approx(np.array([stats.pearsonr(x, y)]))


@pytest.mark.parametrize("pair", [([], []), ([1, 2], [1, 2]), ([2, 2, 2], [1, 2, 3]), ([1, 2, np.nan], [1, 2, 3])])
def test_points_without_a_line_have_none(pair):
    found = fitted_line(*pair)
    assert len(found) == 0
    assert list(found.columns) == ["x", "fitted", "low", "high", "r", "p"]


def test_a_level_line_has_no_correlation():
    line = fitted_line([1, 2, 3], [0.5, 0.5, 0.5])
    assert line["fitted"].to_numpy() == pytest.approx(0.5)
    assert line[["r", "p"]].isna().all(axis=None)


def test_class_means_average_repeats():
    table = class_accuracies(repeats=3)
    found = class_means(table.sample(frac=1, random_state=0)).set_index(["experiment", "label"])
    own = table.groupby(["experiment", "label"])[["accuracy", "baseline_accuracy"]].mean()
    assert len(found) == len(own) == 24
    expected = (own["accuracy"] - own["baseline_accuracy"]).reindex(found.index)
    assert found["gain"].to_numpy() == pytest.approx(expected.to_numpy())


@pytest.mark.parametrize("value", ["accuracy", "baseline_accuracy", "gain"])
def test_distance_lines_are_fitted_within_experiment_and_split(value):
    table = class_accuracies(repeats=3)
    found = distance_lines(table, value=value)
    assert list(found["experiment"].drop_duplicates()) == ["crt, rho 0.5", "crt, rho 1"]
    assert set(found["split"]) == {"few"}  # the others have two classes each
    for experiment, own in found.groupby("experiment"):
        few = table[(table["experiment"] == experiment) & (table["split"] == "few")]
        few = few.assign(gain=few["accuracy"] - few["baseline_accuracy"])
        means = few.groupby("label")[["neighbour_distance", value]].mean()
        slope, intercept = np.polyfit(means["neighbour_distance"], means[value], 1)
        assert own["fitted"].to_numpy() == pytest.approx((intercept + slope * own["x"]).to_numpy())
        assert own["r"].iloc[0] == pytest.approx(stats.pearsonr(means["neighbour_distance"], means[value])[0])


def test_image_lines_are_fitted_to_the_logarithm_and_have_the_baseline():
    table = class_accuracies(images=(500, 200, 90, 40, 15, 5, 3, 0))
    found = image_lines(table)
    assert found.groupby("experiment", sort=False)["baseline"].first().to_dict() == {
        "crt": True,
        "crt, rho 0.5": False,
        "crt, rho 1": False,
    }
    own = found[found["experiment"] == "crt"]
    assert own["x"].iloc[[0, -1]].tolist() == pytest.approx([3, 500])
    means = (
        table[(table["experiment"] == "crt") & (table["train_images"] > 0)].groupby("train_images")["accuracy"].mean()
    )
    slope, intercept = np.polyfit(np.log10(means.index), means, 1)
    assert own["fitted"].to_numpy() == pytest.approx((intercept + slope * np.log10(own["x"])).to_numpy())


def test_tables_without_a_line_are_empty_and_have_their_columns():
    table = class_accuracies(images=(500, 5))
    assert len(image_lines(table)) == 0
    found = distance_lines(table, value="gain")
    assert list(found.columns) == ["classifier", "experiment", "split", "x", "fitted", "low", "high", "r", "p"]
    assert len(distance_lines(table[table["baseline"]], value="gain")) == 0


def test_sentences_say_what_the_few_gain_and_what_it_costs():
    written = gain_sentences(paired_gains(accuracies(noise=0.0005)))
    best, others, verdict, counted, kindest, once = written
    assert best.startswith("Of 2 settings on crt, 'crt, rho 0.1' has the highest mean for the few classes")
    assert "chosen by these very test images" in best
    assert "the test top-1 accuracy of the few classes rises by 15." in best or "rises by 14.9" in best
    assert "5 repeats; corrected 95 % interval +1" in best
    assert others.startswith("It lowers the medium classes (-5.0") or others.startswith(
        "It lowers the medium classes (-4.9"
    )
    assert "and all classes together (-" in others
    assert verdict.startswith("So it is a trade")
    assert counted == "On crt all 2 settings raise the few classes; the overall accuracy falls with 2 of them."
    assert kindest.startswith("Of these, 'crt, rho 0.5' has the highest mean overall")
    assert once.startswith("The baseline of crt was trained once")


@pytest.mark.parametrize(
    ("overall", "verdict"),
    [(0.03, "rises with them"), (-0.03, "it is a trade"), (0.0, "cannot be told")],
)
def test_the_verdict_weighs_few_against_overall(overall, verdict):
    rows = paired_gains(accuracies(rhos=(0.5,), gains=GAINS | {"overall": overall}, noise=0.002, baseline_repeats=5))
    written = gain_sentences(rows)
    assert verdict in written[2]
    assert len(written) == 3


def test_what_cannot_be_told_is_said():
    (first, second) = gain_sentences(paired_gains(accuracies(repeats=1, rhos=(0.5,))))
    assert first.startswith(
        "With 'crt, rho 0.5' one cannot tell whether the test top-1 accuracy of the few classes changes: +"
    )
    assert "one repeat, which shows no spread" in first
    assert second.startswith("One cannot tell whether the medium classes (-")
    wide = accuracies(noise=0.3)
    written = gain_sentences(paired_gains(wide))
    assert "one cannot tell whether" in written[0]
    assert not any("trade" in sentence or "rises by" in sentence for sentence in written)
    assert "None of the 2 settings on crt can be told to raise the few classes." in written
    assert gain_sentences(paired_gains(accuracies(), metric="top_5"), metric="top_5") == [
        "On crt no gain of the few classes is known."
    ]


def test_an_interval_without_nought_is_not_enough_where_so_much_was_compared():
    exactly = [0.60, 0.65, 0.68]  # p = 0.02 alone
    nothing = {"medium": [0.48, 0.53, 0.49], "many": [0.73, 0.68, 0.70], "overall": [0.51, 0.48, 0.50]}
    table = exact({"few": exactly} | nothing, {"few": [0.5], "medium": [0.5], "many": [0.7], "overall": [0.5]})
    few = paired_gains(table).set_index("split").loc["few"]
    assert few["p"] < 0.05 < few["p_corrected"]
    assert few["low"] < 0 < few["high"]
    written = " ".join(gain_sentences(paired_gains(table)))
    assert "one cannot tell whether" in written
    assert "rises by" not in written


def test_what_stays_the_same_in_every_repeat_is_neither_up_nor_down():
    same = {"few": [0.3, 0.3], "medium": [0.5, 0.5], "overall": [0.4, 0.4]}
    written = gain_sentences(paired_gains(exact(same, {"few": [0.2], "medium": [0.5], "overall": [0.4]})))
    assert "rises by 10.00 points (the same in each of 2 repeats)" in written[0]
    assert written[1] == "It does not change the medium classes and all classes together."
    assert written[2] == "So the few classes gain, at no cost overall."


def test_bootstrapped_intervals_and_bands_are_those_of_points_drawn_again():
    rng = np.random.default_rng(1)
    x = rng.uniform(0, 1, 40)
    y = 2 * x + rng.normal(0, 0.3, 40)
    drawn, plain = fitted_line(x, y, 0.9, "bootstrap"), fitted_line(x, y, 0.9)
    np.testing.assert_array_equal(drawn[["x", "fitted", "r", "p"]], plain[["x", "fitted", "r", "p"]])
    assert ((drawn["low"] < drawn["fitted"]) & (drawn["fitted"] < drawn["high"])).all()
    lines = [np.polyfit(x[own], y[own], 1) for own in (rng.integers(0, 40, 40) for _ in range(3000))]
    for place in (0, 30, 59):
        values = [np.polyval(line, plain["x"][place]) for line in lines]
        assert drawn.loc[place, ["low", "high"]].tolist() == pytest.approx(np.quantile(values, [0.05, 0.95]), abs=0.02)
    table = accuracies_of([0.2, 0.3, 0.25, 0.4])
    few = summarise(table, interval="bootstrap", confidence=0.9).set_index("split").loc["few"]
    expected = summary([0.2, 0.3, 0.25, 0.4], confidence=0.9, interval="bootstrap", fractions=True)
    assert (few["low"], few["high"]) == (expected.low, expected.high)


def accuracies_of(values):
    shared = {"classifier": "own", "experiment": "own", "baseline": True, "rho": np.nan, "neighbours": np.nan}
    rows = [
        {**shared, "distance": None, "repeat": repeat, "split": "few", "top_1": value, "top_5": value}
        for repeat, value in enumerate(values)
    ]
    return pd.DataFrame(rows)
