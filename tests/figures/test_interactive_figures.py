import json

import numpy as np
import pandas as pd
import pytest

from vision_studies.errors import DataError, ParameterError
from vision_studies.figures.interactive_results import MOST_POINTS, MOST_RUNS, accuracy_against_cost, learning_curves
from vision_studies.figures.interactive_style import escaped, hover
from vision_studies.figures.interactive_trials import MOST_TRIALS, optuna_trials, parallel_coordinates, search_trials
from vision_studies.figures.style import COLOURS
from vision_studies.pipelines.mlp_transfer.regret_map import regret_heat_map
from vision_studies.pipelines.transfer_cuts.accuracy_map import accuracy_map

EVIL = "<b>&amp;</b><a href='https://example.org'>"


def histories(variants=("plain", "se"), seeds=3, epochs=5, **columns):
    rows = [
        {"run": f"{variant}, seed {seed}", "variant": variant, "seed": seed, "epoch": epoch}
        | {"train_loss": 2 / epoch, "validation_loss": 1 / epoch if epoch % 2 else np.nan}
        | {"validation_accuracy": 1 - 1 / epoch, "learning_rate": 0.1}
        | columns
        for variant in variants
        for seed in range(seeds)
        for epoch in range(1, epochs + 1)
    ]
    return pd.DataFrame(rows)


def options(drawn):
    return [option["name"] for option in drawn.figure.layout.meta["views"]["options"]]


def test_every_run_is_a_line_in_the_colour_of_its_variant():
    drawn = learning_curves(histories())
    lines = drawn.figure.data
    assert [(line.meta["group"], line.meta["label"]) for line in lines[2:4]] == [("plain", "seed 2"), ("se", "seed 0")]
    assert [line.line.color for line in lines] == [COLOURS[0]] * 3 + [COLOURS[1]] * 3
    assert list(lines[0].y) == pytest.approx([0, 50, 200 / 3, 75, 80])
    assert options(drawn) == ["Validation accuracy", "Validation loss", "Training loss", "Learning rate"]
    assert drawn.caption.startswith("All 6 runs")


def ends(axis):
    return axis.minallowed, axis.maxallowed


def test_axes_of_percentages_end_at_0_and_100_and_other_metrics_do_not():
    drawn = learning_curves(histories())
    assert ends(drawn.figure.layout.yaxis) == (0, 100)
    assert all(line.cliponaxis is False for line in drawn.figure.data)
    reach = [
        (option["layout"]["yaxis.minallowed"], option["layout"]["yaxis.maxallowed"])
        for option in drawn.figure.layout.meta["views"]["options"]
    ]
    assert reach == [(0, 100), (None, None), (None, None), (None, None)]
    losses = learning_curves(histories().drop(columns="validation_accuracy")).figure.layout
    assert ends(losses.yaxis) == (None, None)
    cost = accuracy_against_cost(variants()).figure.layout
    assert ends(cost.yaxis) == (0, 100)
    assert ends(cost.xaxis) == (None, None)


@pytest.mark.parametrize(("epochs", "step"), [(3, 1), (12, 1), (40, None)])
def test_every_one_of_few_epochs_is_named_once(epochs, step):
    assert learning_curves(histories(epochs=epochs)).figure.layout.xaxis.dtick == step


def test_metrics_name_their_epochs_only_where_they_differ():
    views = learning_curves(histories()).figure.data[0].meta["views"]
    assert views[0]["x"].tolist() == [1, 3, 5]
    assert views[0]["y"] == pytest.approx([1.0, 1 / 3, 0.2])
    assert set(views[1]) == {"y"}


def test_only_metrics_that_were_measured_can_be_chosen():
    table = histories().drop(columns="validation_accuracy").assign(validation_loss=np.nan, learning_rate=np.inf)
    drawn = learning_curves(table)
    assert drawn.figure.layout.yaxis.title.text == "training loss (nats per image)"
    assert "views" not in drawn.figure.layout.meta
    assert learning_curves(table.assign(train_loss=np.nan)) is None
    assert learning_curves(table.head(0)) is None


def test_of_many_runs_whole_seeds_are_shown():
    drawn = learning_curves(histories([f"v{place}" for place in range(25)], seeds=3))
    groups = pd.Series([line.meta["group"] for line in drawn.figure.data]).value_counts()
    assert set(groups) == {2}
    assert len(groups) == 25
    assert "50 of 75 runs, as many of each variant" in drawn.caption


def test_of_more_variants_than_runs_can_be_shown_the_first_are():
    drawn = learning_curves(histories([f"v{place}" for place in range(70)], seeds=1, epochs=2))
    assert len(drawn.figure.data) == MOST_RUNS
    assert "60 of 70 runs: one of each of the first 60 of 70 variants" in drawn.caption


def test_long_runs_are_thinned_and_keep_their_ends():
    drawn = learning_curves(histories(("plain",), seeds=1, epochs=1000))
    line = drawn.figure.data[0]
    assert len(line.x) == MOST_POINTS
    assert (line.x[0], line.x[-1]) == (1, 1000)
    assert "200 at equal distances" in drawn.caption


def test_a_loss_that_blew_up_begins_outside_the_axis():
    table = histories()
    table.loc[0, "train_loss"] = 1e6
    blown = learning_curves(table).figure.layout.meta["views"]["options"][2]["layout"]
    assert blown["yaxis.range"][1] < 20
    assert "to " in blown["yaxis.title.text"]


def test_runs_without_variants_stand_for_themselves():
    drawn = learning_curves(histories().drop(columns=["variant", "seed"]))
    assert len({line.meta["group"] for line in drawn.figure.data}) == 6


def test_a_missing_column_is_named():
    with pytest.raises(DataError, match="histories has no column 'run'"):
        learning_curves(histories().drop(columns="run"))
    with pytest.raises(DataError, match="'mean_regret'"):
        regret_heat_map(pd.DataFrame({"target_arch": [], "source_arch": []}))
    with pytest.raises(DataError, match="'fraction'"):
        accuracy_map(pd.DataFrame({"mode": [], "cut": []}), {})
    with pytest.raises(DataError, match="'accuracy'"):
        accuracy_against_cost(pd.DataFrame({"study": [], "pipeline": [], "data": [], "variant": []}))
    with pytest.raises(DataError, match="trials has no column 'objective'"):
        parallel_coordinates(pd.DataFrame({"trial": [], "lr": []}), objective="loss", lower_is_better=True)


def test_text_is_shown_as_it_is_written():
    assert escaped("<b>&amp;") == "&lt;b&gt;&amp;amp;"
    assert escaped("<" * 30, 5) == "&lt;&lt;&lt;&lt;…"
    assert hover("%{x}", ": %{y}") == "%&#123;x}: %{y}<extra></extra>"
    drawn = learning_curves(histories((EVIL, "plain"))).figure
    assert "<a" not in drawn.data[0].hovertemplate
    assert drawn.data[0].meta["group"] == EVIL  # the page shows it as plain text


def regrets(names=("8", "16x16")):
    rows = [
        {"target_arch": one, "source_arch": other, "mean_regret": 0.0 if one == other else 0.01, "n": 3}
        | {"low_regret": -0.01, "high_regret": 0.03, "mean_relative_regret": 1.2}
        for one in names
        for other in names
    ]
    return pd.DataFrame(rows)


def test_regret_is_shown_of_each_pair_with_its_interval():
    drawn = regret_heat_map(regrets().iloc[:3])
    cells = drawn.figure.data[0]
    assert [list(row) for row in cells.z] == [[0.0, 0.01], [0.01, None]]
    assert list(cells.text[1]) == ["+0.010", "–"]
    assert cells.customdata[1][0] == "16x16 with hyperparameters of 8<br>+0.010 (interval −0.010 to 0.030)<br>3 seeds"
    assert options(drawn) == ["Regret (nats)", "Relative regret"]
    assert drawn.figure.layout.xaxis.type == "category"
    assert (drawn.figure.layout.coloraxis.cmin, drawn.figure.layout.coloraxis.cmax) == (-0.01, 0.01)


def test_regrets_without_a_value_or_with_two_are_not_drawn():
    assert regret_heat_map(regrets().assign(mean_regret=np.nan, mean_relative_regret=np.nan)) is None
    with pytest.raises(DataError, match="two rows for one pair"):
        regret_heat_map(pd.concat([regrets(), regrets()]))


def accuracies(modes=("FR",), cuts=(0, 1, 2), fractions=(0.03, 1.0)):
    rows = [
        {"mode": mode, "cut": cut, "fraction": fraction, "images": 500 * fraction, "repeat": repeat}
        | {"test_accuracy": 0.5 + cut / 10 + repeat / 100}
        for mode in modes
        for cut in cuts
        for fraction in fractions
        for repeat in range(3)
    ]
    baseline = [{**row, "mode": "baseline", "cut": -1} for row in rows if row["cut"] == cuts[0]]
    return pd.DataFrame([*rows, *baseline])


def test_every_mode_has_a_map_with_the_baseline():
    drawn = accuracy_map(accuracies(("FR", "FT")), {"FR": "frozen", "FT": "tuned", "XX": "not run"})
    assert options(drawn) == ["frozen", "tuned"]
    mapped, _ = drawn.figure.data
    assert list(mapped.x) == ["baseline", "0", "1", "2"]
    assert mapped.z[0][3] == pytest.approx(71)
    assert mapped.customdata[0][3] == "cut 2, 3 % of the images (15)<br>71.00 ± 1.00 %<br>3 runs"
    assert [trace.visible for trace in drawn.figure.data] == [True, False]


def test_all_modes_have_one_scale_of_colours():
    table = accuracies(("FR", "FT"))
    table.loc[table["mode"] == "FT", "test_accuracy"] -= 0.2
    drawn = accuracy_map(table, {"FR": "frozen", "FT": "tuned"}).figure
    heights = np.concatenate([np.ravel(trace.z).astype(float) for trace in drawn.data])
    colours = drawn.layout.coloraxis
    assert {trace.coloraxis for trace in drawn.data} == {"coloraxis"}
    assert (colours.cmin, colours.cmax) == pytest.approx((np.nanmin(heights), np.nanmax(heights)))


@pytest.mark.slow
def test_one_cut_makes_a_map():
    drawn = accuracy_map(accuracies(cuts=(1,)), {"FR": "frozen"})
    assert [trace.type for trace in drawn.figure.data] == ["heatmap"]
    assert accuracy_map(accuracies().assign(test_accuracy=np.nan), {"FR": "frozen"}) is None


def trials(number=12, **columns):
    generator = np.random.default_rng(0)
    rows = [
        {"trial": place, "objective": 1 + place / 10, "lr": 10 ** generator.uniform(-5, -1), "batch": 32 * (place % 3)}
        | {"optimizer": ("sgd", "adamw")[place % 2], "constant": 3, "dropout": generator.uniform(0.001, 0.4)}
        for place in range(number)
    ]
    return pd.DataFrame(rows).assign(**columns)


OUTCOME = ["group", "trial", "objective"]


def coordinates(table, **changes):
    return parallel_coordinates(table, **{"objective": "loss (nats)", "lower_is_better": True} | changes)


def lines(drawn):
    return [trace for trace in drawn.figure.data if trace.mode == "lines+markers"]


@pytest.mark.parametrize(("lower_is_better", "best"), [(True, 0), (False, 11)])
def test_the_best_trial_is_drawn_last_and_thick(lower_is_better, best):
    drawn = coordinates(trials(), lower_is_better=lower_is_better)
    thick = lines(drawn)[-1]
    assert f"trial {best} (best)" in thick.hovertemplate
    assert [line.line.width for line in lines(drawn)].index(3.5) == 11
    assert thick.x[-1] == (0 if lower_is_better else 1)


def test_values_are_placed_between_the_ends_of_their_axis():
    table = trials()
    worst = lines(coordinates(table))[0]
    lr, batch, optimizer, dropout, objective = worst.x  # the constant one has no axis
    logs = np.log10(table["lr"])
    assert lr == pytest.approx((logs.iloc[11] - logs.min()) / (logs.max() - logs.min()))
    assert (batch, optimizer, objective) == (1, 0, 1)
    spread = table["dropout"]
    assert dropout == pytest.approx((spread.iloc[11] - spread.min()) / (spread.max() - spread.min()))
    assert "batch: 64<br>optimizer: adamw" in worst.hovertemplate


def test_axes_name_some_of_their_values():
    drawn = coordinates(trials())
    labels: dict[float, list[str]] = {}
    for note in drawn.figure.layout.annotations:
        labels.setdefault(note.y, []).append(note.text)
    assert labels[2.07] == ["adamw", "sgd"]
    assert labels[1.07] == ["0", "20", "40", "60"]
    assert {"0.001", "0.01"} <= set(labels[0.07])


def test_groups_are_views_and_trials_without_a_result_are_told():
    table = pd.concat([trials(group="8"), trials(group="16x16")], ignore_index=True)
    table.loc[0, "objective"] = np.nan
    drawn = coordinates(table)
    assert options(drawn) == ["8", "16x16"]
    assert [line.visible for line in lines(drawn)] == [True] * 11 + [False] * 12
    assert "1 of 24 trials without a result" in drawn.caption


def test_of_many_trials_the_best_are_drawn():
    drawn = coordinates(trials(200))
    assert len(lines(drawn)) == MOST_TRIALS
    assert "the best 150 are drawn" in drawn.caption


def test_a_search_without_trials_to_compare_is_not_drawn():
    assert coordinates(trials(1)) is None
    assert coordinates(trials().head(0)) is None
    assert coordinates(trials()[["trial", "objective", "constant"]]) is None


def test_no_hyperparameter_is_called_as_what_a_trial_reached():
    with pytest.raises(ParameterError, match="cannot be called 'trial'"):
        optuna_trials({"stack": {"trials": [{"number": 1, "value": 0.9, "params": {"trial": 2}}]}})
    configuration = json.dumps({"hyperparameters.group": 0.1})
    row = {"variant": "8", "trial": 3, "configuration": configuration, "validation_loss": 0.5}
    with pytest.raises(ParameterError, match="cannot be called 'group'"):
        search_trials(pd.DataFrame([row]))


def test_trials_of_both_searches_are_read():
    results = pd.DataFrame(
        {
            "variant": ["8"],
            "trial": [3],
            "configuration": [json.dumps({"hyperparameters.lr": 0.1, "widths": [8]})],
            "validation_loss": [0.5],
        }
    )
    table = search_trials(results)
    assert table.columns.drop(OUTCOME).tolist() == ["lr"]
    assert table.to_dict("records") == [{"lr": 0.1, "group": "8", "trial": 3, "objective": 0.5}]
    assert search_trials(results.head(0)).columns.tolist() == OUTCOME
    table = optuna_trials({"stack": {"trials": [{"number": 1, "value": 0.9, "params": {"folds": 2}}]}})
    assert table.columns.drop(OUTCOME).tolist() == ["folds"]
    assert table.to_dict("records") == [{"folds": 2, "group": "stack", "trial": 1, "objective": 0.9}]
    assert optuna_trials({}).columns.tolist() == OUTCOME


def variants(number=3, **columns):
    rows = [
        {"study": "demo", "pipeline": "stacking", "data": ("digits", "cifar10")[place % 2], "variant": f"v{place}"}
        | {"accuracy": 0.9, "low": 0.88, "high": 0.91, "parameters": 1000 + place, "macs": 0, "seconds": 2.5, "n": 3}
        for place in range(number)
    ]
    return pd.DataFrame(rows).assign(**columns)


def test_cost_views_leave_out_what_was_not_measured():
    drawn = accuracy_against_cost(variants())
    assert options(drawn) == ["Parameters", "Training time"]
    digits, cifar = drawn.figure.data
    assert (digits.meta["label"], list(digits.x)) == ("digits", [1000, 1002])
    assert (digits.marker.symbol[0], cifar.marker.symbol) == ("circle", "square")
    assert list(digits.error_y.array) == pytest.approx([1, 1])
    assert "accuracy 90.00 % (88.00 to 91.00), 3 runs<br>1,000 parameters" in digits.text[0]
    assert accuracy_against_cost(variants(parameters=None, seconds=np.nan)) is None
    assert accuracy_against_cost(variants(accuracy=np.nan)) is None


def test_variants_at_one_place_are_rings_around_each_other_and_are_named_together():
    table = variants().iloc[[0, 0, 0, 2]].assign(variant=["a", "b", "c", "d"], parameters=[1000, 1000, 1001, 5000])
    [trace] = accuracy_against_cost(table).figure.data
    assert list(trace.marker.symbol) == ["circle", "circle-open", "circle-open", "circle"]
    assert trace.marker.size[0] < trace.marker.size[1] < trace.marker.size[2]
    assert all(f"<b>{name}</b>" in trace.text[1] for name in "abc")
    assert "<b>a</b>" not in trace.text[3]


def test_intervals_may_be_missing():
    assert accuracy_against_cost(variants().drop(columns=["low", "high"])).figure.data[0].error_y.array is None
    known = variants()
    known.loc[0, ["low", "high"]] = np.nan
    assert list(accuracy_against_cost(known).figure.data[0].error_y.array) == pytest.approx([0, 1])


def test_of_thousands_of_variants_the_most_accurate_are_shown():
    table = variants(3000).assign(accuracy=np.linspace(0.1, 0.9, 3000))
    drawn = accuracy_against_cost(table)
    assert sum(len(trace.x) for trace in drawn.figure.data) == 1500
    assert min(min(trace.y) for trace in drawn.figure.data) > 49
    assert "The 1,500 most accurate of 3,000" in drawn.caption
