"""The phases of `alphanet`, in real processes."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer
from tests.pipelines.alphanet.test_alphanet_experiments import make_classifier, make_features
from tests.pipelines.alphanet.test_alphanet_settings import alphanet_settings

from vision_studies.config.merge import merge_settings
from vision_studies.config.study import ReportingSettings
from vision_studies.pipelines.alphanet.figures import plot_study
from vision_studies.pipelines.alphanet.work.evaluation import predicted_on_test
from vision_studies.pipelines.alphanet.work.features import open_feature_set
from vision_studies.pipelines.alphanet.work.linear_classifier import load_classifier
from vision_studies.pipelines.alphanet.work.original_format import export_data_set

WORK = "--tags=features,classifiers,training,evaluation"  # all but figures
CRT = {"name": "crt", "epochs": 3, "batch_size": 64, "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 5.0e-4}
SMALL = {
    "long_tail": {"profile": "exponential", "factor": 20, "seed": 0, "reverse": False},
    "splits": {"few_below": 20, "many_above": 60, "folder": None},
    "backbone": {"seeds": [0, 1], "run": {"training": {"epochs": 3, "checkpoint_every": 1}}},
    "classifiers": [{"label": "own", "method": {"name": "own"}}, {"label": "cRT", "method": CRT}],
    "improved": ["cRT"],
    "rhos": [0.5, 1.5],
    "neighbours": [3],
    "repeats": 2,
    "training": {"epochs": 4, "minimum_epochs": 2, "batch_size": 16},
}
SPLITS = ("few", "medium", "many", "overall")
IMAGES = [145, 103, 74, 53, 38, 27, 19, 14, 10, 7]  # 145 * 20 ** (-i / 9), rounded down, as far as there are as many
MEASURED = [
    "variant",
    "seed",
    "validation_accuracy",
    "test_accuracy",
    "test_loss",
    "other_metrics",
    "best_epoch",
    "status",
]
FIGURES = {"split_accuracies", "class_gains", "coefficients", "prediction_changes"}


def environment(project, **changes):
    (project.folder / "conf/small").mkdir(exist_ok=True)
    written = yaml.safe_dump({"alphanet": merge_settings(SMALL, changes)})
    (project.folder / "conf/small/parameters.yml").write_text(written, encoding="utf-8")


def run(project, *arguments, **options):
    return project.run("run", "--env=demo+small", "--pipeline=alphanet", *arguments, **options)


def outputs(project, study="demo+small"):
    return project.folder / f"data/07_model_output/{study}/alphanet"


def reports(project, study="demo+small"):
    return project.folder / f"data/08_reporting/{study}/alphanet"


def runs(project, study="demo+small"):
    return project.folder / f"data/06_models/{study}/alphanet/runs"


def sentences(project, study="demo+small"):
    return json.loads((reports(project, study) / "conclusions.json").read_text(encoding="utf-8"))


def finished(project, stage="training"):
    return {file: file.read_bytes() for file in runs(project).glob(f"*/{stage}.json")}


@pytest.mark.slow
def test_a_study_writes_what_it_found_and_trains_only_what_is_new(project):
    environment(project)
    project.run("run", "--env=demo+small", "--pipelines=data_prep,alphanet")
    check_tables(project)
    check_reports(project)
    kept = finished(project) | finished(project, "fitting") | finished(project, "evaluation")
    assert len(kept) == (2 + 4) + 4 + (4 + 4)

    again = run(project, WORK)
    assert "steps had nothing new to work with, and their results stay" in again.stdout
    assert not re.search(r" 1 of \d+: ", again.stdout)
    check_tables(project)

    environment(project, rhos=[0.5, 1.0, 1.5], repeats=3, backbone={"seeds": [0, 1, 2]})
    more = run(project, WORK)
    for said in ("training: 2 of 3", "fitting: 4 of 6", "training: 4 of 9", "evaluation: 4 of 9"):
        assert f"{said} runs are finished and reused" in more.stdout
    assert all(file.read_bytes() == content for file, content in kept.items())
    results = pd.read_parquet(outputs(project) / "results.parquet")
    assert len(results) == 2 * 3 + 3 * 3
    assert len(finished(project)) == 3 + 9

    environment(project, splits={"few_below": 12})
    other = run(project, "--tags=training", succeeds=False)
    assert other.stderr.count("features were made with another configuration; make them first") == 1
    assert "Traceback" not in other.stderr
    assert len(finished(project)) == 3 + 9
    early = run(project, "--tags=evaluation", succeeds=False)
    # Which of two nodes comes first is not laid down.
    assert re.fullmatch(
        r"Error: (There are no features in|No AlphaNet is trained with) .*: the same command without --tags.\n",
        early.stderr,
    )
    pd.testing.assert_frame_equal(pd.read_parquet(outputs(project) / "results.parquet"), results)


def check_tables(project):
    folder = outputs(project)
    classes = pd.read_csv(folder / "classes.csv")
    assert classes["train_images"].tolist() == pytest.approx(IMAGES, abs=3)
    assert classes["train_images"].is_monotonic_decreasing
    assert classes["split"].tolist() == ["many"] * 3 + ["medium"] * 3 + ["few"] * 4
    sets = pd.read_csv(folder / "feature_sets.csv")
    for row in sets.itertuples():
        known = open_feature_set(runs(project) / row.folder / "features")
        assert known.fingerprint == row.fingerprint
        assert (row.train_images + row.validation_images, row.test_images) == (classes["train_images"].sum(), 360)
        counted = sum(np.bincount(known.groups[name].labels, minlength=10) for name in ("train", "validation"))
        assert counted.tolist() == classes["train_images"].tolist()
        labels = known.groups["test"].labels
    assert sets["fingerprint"].nunique() == 2

    results = pd.read_parquet(folder / "results.parquet").set_index(["variant", "seed"])
    variants = ["own", "cRT", "cRT, rho 0.5", "cRT, rho 1.5"]
    assert sorted(results.index) == sorted((name, seed) for name in variants for seed in (0, 1))
    assert set(results["status"]) == {"complete"}
    assert results["condition"].groupby("variant").first().to_dict() == dict.fromkeys(variants[1:], "cRT") | {
        "own": "classifiers"
    }
    accuracies = pd.read_csv(folder / "accuracies.csv").set_index(["experiment", "repeat", "split"]).sort_index()
    assert len(accuracies) == 4 * 2 * 4
    by_class = (
        pd.read_parquet(folder / "class_accuracies.parquet").set_index(["experiment", "repeat", "label"]).sort_index()
    )
    changes = pd.read_parquet(folder / "changes.parquet").groupby(["experiment", "repeat"])
    names = classes["split"].to_numpy()[labels]
    before = {}
    for (variant, seed), row in results.iterrows():
        predictions, among_top = predicted_on_test(runs(project) / row["run_fingerprint"])
        other = json.loads(row["other_metrics"])
        assert row["test_accuracy"] == pytest.approx((predictions == labels).mean())
        for split in SPLITS:
            own = np.full(len(labels), True) if split == "overall" else names == split
            found = accuracies.loc[(variant, seed, split)]
            assert found["top_1"] == pytest.approx((predictions == labels)[own].mean())
            assert found["top_5"] == pytest.approx(among_top[own].mean())
            assert found["top_1"] == pytest.approx(other[f"test_{split}"])
            assert found["top_5"] == pytest.approx(other[f"test_{split}_top_5"])
        right = pd.Series(predictions == labels).groupby(labels).mean()
        np.testing.assert_allclose(by_class.loc[(variant, seed)]["accuracy"], right)
        if variant == "cRT":
            before[seed] = predictions
        elif variant != "own":
            expected = pd.DataFrame({"label": labels, "before": before[seed], "after": predictions}).value_counts()
            written = changes.get_group((variant, seed)).set_index(["label", "before", "after"])["images"]
            assert written.sort_index().to_dict() == expected.sort_index().to_dict()
    check_combinations(project, classes)


def check_combinations(project, classes):
    folder = outputs(project)
    combinations = pd.read_parquet(folder / "combinations.parquet")
    assert len(combinations) == 2 * 2 * 4 * 3  # rhos, repeats, few classes, neighbours
    few = set(classes.loc[classes["split"] == "few", "label"])
    assert set(combinations["label"]) == few
    assert not set(combinations["neighbour"]) & few
    keys = ["experiment", "repeat", "label"]
    np.testing.assert_allclose(
        combinations["coefficient"].abs().groupby([combinations[key] for key in keys]).sum(), 1, rtol=1e-5
    )
    assert (
        combinations.sort_values([*keys, "position"])
        .groupby(keys)["distance"]
        .apply(lambda own: own.is_monotonic_increasing)
        .all()
    )
    relations = pd.read_parquet(folder / "relations.parquet")
    assert set(relations["kind"]) == {"base", "few", "all"}
    near = relations[(relations["kind"] == "base") & relations["label"].isin(few)]
    first = combinations[combinations["repeat"] == 0]
    assert set(zip(near["label"], near["neighbour"], strict=True)) == set(
        zip(first["label"], first["neighbour"], strict=True)
    )
    histories = pd.read_parquet(folder / "histories.parquet")
    assert histories.groupby("run").size().tolist() == [4] * 4


def check_reports(project):
    accuracies = pd.read_csv(outputs(project) / "accuracies.csv")
    statistics = {file.stem for file in (outputs(project) / "statistics").iterdir()}
    kinds = {f"{metric}{kind}" for metric in ("top_1", "top_5") for kind in ("", "_gains", "_tests")}
    assert statistics == kinds | {"trade_off_areas", "trade_off_gaps"}
    means = accuracies.groupby(["experiment", "split"])["top_1"].mean()
    summary = pd.read_csv(outputs(project) / "statistics/top_1.csv").set_index(["experiment", "split"])
    gains = pd.read_csv(outputs(project) / "statistics/top_1_gains.csv").set_index(["experiment", "split"])
    tests = pd.read_csv(outputs(project) / "statistics/top_1_tests.csv").set_index(["experiment", "split"])
    written = pd.read_csv(reports(project) / "tables/top_1.csv").set_index("Experiment")
    assert written.index.tolist() == ["own", "cRT", "cRT, rho 0.5", "cRT, rho 1.5"]
    for (experiment, split), mean in means.items():
        assert summary.loc[(experiment, split), "mean"] == pytest.approx(mean)
        assert written.loc[experiment, split.capitalize()] == pytest.approx(100 * mean, abs=0.0501)
        if experiment not in ("own", "cRT"):
            gain = mean - means["cRT", split]
            assert gains.loc[(experiment, split), "mean"] == pytest.approx(gain, abs=1e-9)
            assert tests.loc[(experiment, split), "mean"] == pytest.approx(gain, abs=1e-9)
    assert {file.name for file in (reports(project) / "tables").iterdir()} == {
        f"{name}.{kind}" for name in ("top_1", "top_5", "nearest") for kind in ("md", "tex", "csv")
    }
    listed = {file.name for file in (reports(project) / "combinations").iterdir()}
    assert listed == {f"cRT_rho_{rho}.{kind}" for rho in (0.5, 1.5) for kind in ("md", "txt")}
    assert {path.stem for path in reports(project).glob("*.png")} == FIGURES
    figures = {
        str(path.relative_to(reports(project) / "figures")) for path in reports(project).glob("figures/**/*.png")
    }
    assert {f"{name}/{kind}.png" for name in ("top_1", "top_5_gains") for kind in ("points", "lines")} <= figures
    for rho in (0.5, 1.5):
        own = {Path(name).stem for name in figures if f"cRT_rho_{rho}/" in name}
        predicted = {f"predictions_{split}_{side}" for split in ("few", "base") for side in ("before", "after")}
        assert own == {"coefficients", "changes_few", "changes_base", "changes_all", *predicted}
    shown = {path.stem for path in reports(project).glob("examples/**/*.png")}
    assert shown == {"map_largest_gain", "map_smallest_gain", "examples"}
    said = sentences(project)
    assert "Of 2 settings on cRT" in said[0]
    assert not any("was trained once" in sentence or "was kept" in sentence for sentence in said)


def measured(project):
    results = pd.read_parquet(outputs(project) / "results.parquet")[MEASURED]
    return results.sort_values(["variant", "seed"], ignore_index=True)


EXPERTS = {"name": "multi_expert", "of": "own", "crt": None}
SWEEP = {
    "backbone": {"seeds": [7], "experts": 2},
    "classifiers": [{"label": "experts", "method": EXPERTS}, {"label": "cRT", "method": CRT}],
    "improved": ["experts"],
    "rhos": [1.0],
    "neighbours": [2, 3],
    "distances": ["euclidean", "cosine", "random"],
    "training": {"selection": {"policy": "first_eligible"}},
}


@pytest.mark.slow
def test_a_sweep_on_two_experts_with_one_network_for_all_repeats(project):
    environment(project, **SWEEP)
    project.run("run", "--env=demo+small", "--pipeline=data_prep")
    run(project, WORK, "--params=alphanet.tensorboard=true")
    names = [
        f"experts, rho 1, k {neighbours}, {distance}"
        for distance in ("euclidean", "cosine", "random")
        for neighbours in (2, 3)
    ]
    results = pd.read_parquet(outputs(project) / "results.parquet")
    expected = [(name, seed) for name in names for seed in (0, 1)] + [("cRT", 0), ("experts", 0)]
    assert sorted(zip(results["variant"], results["seed"], strict=True)) == sorted(expected)
    of_sweep = results[results["variant"].isin(names)]
    assert set(of_sweep["best_epoch"]) == {2}
    conditions = results.set_index("variant")["condition"]
    assert set(conditions[names]) == {"experts"}
    assert (conditions["experts"], conditions["cRT"]) == (
        "classifiers",
        "classifiers",
    )  # one row cannot be paired with two
    backbones = pd.read_parquet(outputs(project) / "backbones.parquet")
    assert backbones[["variant", "seed"]].to_numpy().tolist() == [["expert 1", 7], ["expert 2", 7]]
    check_experts(project)
    check_random_neighbours(project, names)
    check_logs(project, of_sweep)
    said = sentences(project)
    assert "Of 6 settings on experts" in said[0]
    assert any("The baseline of experts was trained once" in sentence for sentence in said)
    assert any("the network of epoch 2 was kept, whatever its validation" in sentence for sentence in said)
    check_panels(project)

    environment(project, **SWEEP, validation="none")
    blind = run(project, WORK)
    assert "training: 2 of 2 runs are finished and reused" in blind.stdout  # the networks
    of_sweep = pd.read_parquet(outputs(project) / "results.parquet").set_index("variant").loc[names]
    assert set(of_sweep["best_epoch"]) == {4}
    assert of_sweep["validation_accuracy"].isna().all()
    [known] = pd.read_csv(outputs(project) / "feature_sets.csv").itertuples()
    assert known.train_images == pd.read_csv(outputs(project) / "classes.csv")["train_images"].sum()
    assert list(open_feature_set(runs(project) / known.folder / "features").groups) == ["train", "test"]
    assert not any("was kept" in sentence for sentence in sentences(project))


def check_experts(project):
    """The classifier's scores are the mean of those of both networks."""
    [known] = pd.read_csv(outputs(project) / "feature_sets.csv").itertuples()
    folder = runs(project) / known.folder
    test = open_feature_set(folder / "features").groups["test"]
    experts = [load_classifier(folder / f"expert_{number}.safetensors") for number in (0, 1)]
    halves = np.split(np.asarray(test.features), 2, axis=1)
    assert known.features == 2 * halves[0].shape[1]
    assert not np.allclose(*halves)
    scores = [expert.scores(half) for expert, half in zip(experts, halves, strict=True)]
    results = pd.read_parquet(outputs(project) / "results.parquet").set_index("variant")
    predictions, _ = predicted_on_test(runs(project) / results.loc["experts", "run_fingerprint"])
    assert (predictions == np.mean(scores, axis=0).argmax(axis=1)).mean() > 0.99  # but for what rounding decides
    assert results.loc["cRT", "parameters"] == (halves[0].shape[1] + 1) * 10  # it takes the first network's


def check_random_neighbours(project, names):
    combinations = pd.read_parquet(outputs(project) / "combinations.parquet")
    assert combinations.groupby("experiment")["position"].max().to_dict() == {
        name: int(name.split("k ")[1][0]) for name in names
    }
    near = combinations.groupby(["experiment", "repeat"])["neighbour"].apply(list)
    for name in names:
        assert (near[name, 0] == near[name, 1]) == ("random" not in name)
    measured = pd.read_parquet(outputs(project) / "class_accuracies.parquet").groupby("experiment")[
        "neighbour_distance"
    ]
    assert {name for name, own in measured if own.isna().all()} == {*names[4:], "cRT", "experts"}


def check_logs(project, rows):
    multiplexer = EventMultiplexer(size_guidance={"histograms": 0}).AddRunsFromDirectory(str(runs(project))).Reload()
    logs = {f"{row.run_fingerprint}/tensorboard/{row.variant}, repeat {row.seed}": row for row in rows.itertuples()}
    assert multiplexer.Runs().keys() == logs.keys()
    for name, row in logs.items():
        log = multiplexer.GetAccumulator(name)
        [scored] = log.Scalars("test/accuracy")
        assert scored.value == pytest.approx(row.test_accuracy)
        assert [event.step for event in log.Histograms("coefficient/1")] == [1, 2, 3, 4]


def check_panels(project):
    """What is varied besides the neighbours has a panel of its own."""
    changes = {"neighbours": [2, 3], "distances": ["euclidean", "cosine", "random"], "rhos": [1.0]}
    own = {"label": "experts", "method": {"name": "own"}}
    settings = alphanet_settings(**changes, classifiers=[own], improved=["experts"])
    folder = outputs(project)
    tables = [pd.read_parquet(folder / f"{name}.parquet") for name in ("class_accuracies", "combinations", "changes")]
    statistics = {"top_1": pd.read_csv(folder / "statistics/top_1.csv")}
    relations = pd.read_parquet(folder / "relations.parquet")
    reporting = ReportingSettings(confidence=0.95, interval="t", test="t", margin=0.01, calibration=("temperature",))
    drawn = plot_study(settings, reporting, statistics, *tables, relations)
    titles = [[axes.get_title(loc="left") or axes.get_title() for axes in figure.axes] for figure in drawn]
    assert titles[0] == [f"experts, distance {distance}" for distance in ("euclidean", "cosine", "random")]
    for shown in titles[1:3]:
        assert sum("experts" in title for title in shown) == 6


@pytest.mark.slow
def test_imported_features_need_no_images_and_are_read_again_when_they_change(project):
    export_data_set(make_features(), make_classifier(), project.folder / "data/01_raw/alphanet", "clouds")
    named = "--params=alphanet.imported.data_set=clouds,alphanet.repeats=3"
    (project.folder / "conf/quick_import").mkdir()
    (project.folder / "conf/quick_import/parameters.yml").write_text(
        "alphanet:\n  neighbours: [3]\n  rhos: [0.5]\n  training: {epochs: 5, minimum_epochs: 1}\n", encoding="utf-8"
    )
    study = "alphanet_imported+quick_import"
    whole = project.run("run", f"--env={study}", named)
    assert "data_prep" not in whole.stdout
    results = pd.read_parquet(outputs(project, study) / "results.parquet")
    assert results["variant"].tolist() == ["imported"] + ["imported, rho 0.5"] * 3
    assert set(results["status"]) == {"complete"}
    expected = make_classifier().scores(make_features().groups["test"].features).argmax(axis=1)
    predictions, _ = predicted_on_test(runs(project, study) / results["run_fingerprint"][0])
    assert np.array_equal(predictions, expected)
    table = (reports(project, study) / "tables/top_5.md").read_text(encoding="utf-8")
    assert "| imported, rho 0.5 |" in table
    assert "imported was trained once" in " ".join(sentences(project, study))
    assert not list(reports(project, study).glob("examples/**/examples.png"))
    assert list(reports(project, study).glob("examples/**/map_largest_gain.png"))
    page = (project.folder / f"data/08_reporting/{study}/report.html").read_text(encoding="utf-8")
    assert page.count('<button type="button" class="zoom') == len(FIGURES)
    assert "imported, rho 0.5" in page

    again = project.run("run", f"--env={study}", "--pipeline=alphanet", named, WORK)
    assert "steps had nothing new to work with, and their results stay" in again.stdout
    assert not re.search(r" 1 of \d+: ", again.stdout)

    few = project.folder / "data/01_raw/alphanet/splits/clouds"
    (few / "few.txt").write_text("3\n9\n12\n", encoding="utf-8")
    (few / "medium.txt").write_text("1\n2\n4\n8\n11\n13\n", encoding="utf-8")
    changed = project.run("run", f"--env={study}", "--pipeline=alphanet", named, WORK)
    assert "are finished and reused" not in changed.stdout
    assert pd.read_csv(outputs(project, study) / "classes.csv")["split"].value_counts().to_dict() == {
        "few": 3,
        "medium": 6,
        "many": 5,
    }
    other = pd.read_parquet(outputs(project, study) / "results.parquet")
    assert len(other) == 4  # those of the former files have left
    assert not set(other["run_fingerprint"]) & set(results["run_fingerprint"])
    lost = project.run(
        "run",
        "--env=alphanet_imported",
        "--pipeline=alphanet",
        "--params=alphanet.imported.registry=a.toml",
        succeeds=False,
    )
    assert lost.stderr.count(f"alphanet.imported.registry: there is no file {project.folder}/a.toml") == 1
    assert "Traceback" not in lost.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("neighbours: [2, 1]", "neighbours has 1: coefficients are divided by the sum of their sizes"),
        ("splits: {few_below: 3}", "No class has fewer than 3 training images"),
        ("training: {optimizer: {name: SGD, parameters: {lr: 1.0e+38}}}", "lower the learning rate"),
    ],
)
def test_mistakes_are_told_in_a_sentence(prepared, change, message):
    # Others who use the folders of these images must not find this study there.
    (prepared.folder / "conf/wrong_tail").mkdir(exist_ok=True)
    file = prepared.folder / "conf/wrong_tail/parameters.yml"
    file.write_text(f"alphanet: {{{change}}}\n", encoding="utf-8")
    done = prepared.run("run", "--env=demo+quick+wrong_tail", "--pipeline=alphanet", succeeds=False)
    assert done.stderr.count(message) == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert not list(prepared.folder.glob("data/07_model_output/demo+quick+wrong_tail/alphanet/results.parquet"))
    for folder in prepared.folder.glob("data/0*/demo+quick+wrong_tail"):
        shutil.rmtree(folder)
