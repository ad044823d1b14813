"""`kedro models` on what the demo has left. Commands run in this process, but for one: each start of Python takes seconds."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from click.testing import CliRunner
from PIL import Image

from vision_studies.cli import cli
from vision_studies.config.registry import METHODS
from vision_studies.serving.stored_data import prepared_data_sets
from vision_studies.statistics.conformal import SET_KINDS
from vision_studies.studies.method import networks_of
from vision_studies.studies.stored_runs import find_runs
from vision_studies.training.checkpoints import save_state

STUDY = "demo+quick"

pytestmark = pytest.mark.slow


@pytest.fixture
def models(demo_project, monkeypatch):
    """Runs `kedro models` in the demo's folder."""
    monkeypatch.chdir(demo_project.folder)

    def run(*arguments, fails=False):
        done = CliRunner().invoke(cli, ["models", *map(str, arguments)], catch_exceptions=False)
        assert (done.exit_code != 0) == fails, done.output
        return done

    return run


@pytest.fixture(scope="module")
def split_images(demo_project):
    """Images uint8 [N, 8, 8, 1] and labels of the test split."""
    data = next(iter(prepared_data_sets(demo_project.folder).values()))
    return data.image_set.images[data.splits.test], data.image_set.labels[data.splits.test]


@pytest.fixture(scope="module")
def labelled_folder(split_images, tmp_path_factory):
    """The test split as `<class>/<image>`."""
    folder = tmp_path_factory.mktemp("labelled")
    for number, (image, label) in enumerate(zip(*split_images, strict=True)):
        (folder / str(label)).mkdir(exist_ok=True)
        Image.fromarray(image[:, :, 0]).save(folder / str(label) / f"{number:04d}.png")
    return folder


def results_of(project, pipeline):
    return pd.read_parquet(project.folder / f"data/07_model_output/{STUDY}/{pipeline}/results.parquet")


def run_folders(project, pipeline):
    return sorted(path.parent for path in project.folder.glob(f"data/06_models/{STUDY}/{pipeline}/runs/*/run.json"))


def kind_of(run):
    """What tells runs apart that are rebuilt in other ways."""
    configuration = run.configuration
    classifier, cut = configuration.get("classifier", {}), configuration.get("cut") or {}
    method = (configuration.get("method"), configuration.get("rule"))
    return (*method, classifier.get("name"), "combinations" in configuration, *sorted(cut.items()))


KINDS = {"choose": 1, "cifar_resnet": 1, "stacking": 3, "transfer_cuts": 4, "mlp_transfer": 1, "alphanet": 4}
"""Pipeline -> how many kinds of trained things the demo leaves at least."""


@pytest.fixture(scope="module")
def kinds(demo_project):
    """Pipeline -> one finished run of each kind, scored on test where one is."""
    found = {}
    for run in find_runs(demo_project.folder / "data/06_models", STUDY):
        of_pipeline = found.setdefault(run.description["pipeline"], {})
        known = of_pipeline.get(kind_of(run))
        if run.status == "complete" and (known is None or known.metric("test_accuracy") is None):
            of_pipeline[kind_of(run)] = run
    return {pipeline: list(of_pipeline.values()) for pipeline, of_pipeline in found.items()}


@pytest.mark.parametrize("pipeline", METHODS)
def test_every_kind_of_trained_thing_is_predicted_evaluated_exported_and_described(
    kinds, models, split_images, labelled_folder, tmp_path, pipeline
):
    """Of a method whose runs leave no network, every command says why in one sentence."""
    if networks_of(pipeline).never is not None:
        np.save(tmp_path / "new.npy", split_images[0])
        for command in (["predict", tmp_path / "new.npy"], ["evaluate", tmp_path], ["export"], ["card"]):
            refused = models(*command, f"--study={STUDY}", f"--pipeline={pipeline}", fails=True)
            assert refused.stderr == f"Error: Runs of {pipeline} cannot be used: {networks_of(pipeline).never}.\n"
        return
    assert len(kinds[pipeline]) >= KINDS[pipeline]
    images, labels = split_images
    for number, run in enumerate(kinds[pipeline]):
        names = run.configuration.get("classes", [str(label) for label in range(10)])
        chosen, folder, labelled = np.isin(labels.astype(str), names), tmp_path / str(number), tmp_path / "".join(names)
        folder.mkdir()
        if not labelled.is_dir():
            for label in names:
                shutil.copytree(labelled_folder / label, labelled / label)
        given = (f"--study={STUDY}", "--model", run.fingerprint)
        models("evaluate", labelled, *given, "-o", folder / "score.json")
        score = json.loads((folder / "score.json").read_text())
        if (recorded := run.metric("test_accuracy")) is not None:
            # In bfloat16 an image between two classes may fall to either, by what else is in the batch.
            equal = score["accuracy"] == pytest.approx(recorded, abs=0.006)
            # What is tested by folds is kept as it was fitted to all images, these among them.
            assert equal or (pipeline == "choose" and score["accuracy"] > recorded), run.description
        if (recorded := run.metric("test_loss")) is not None and pipeline != "choose":
            assert score["loss"] == pytest.approx(recorded, abs=1e-3), run.description
        np.save(folder / "new.npy", images[chosen])
        models("predict", folder / "new.npy", *given, "-o", folder / "new.csv")
        predicted = pd.read_csv(folder / "new.csv", dtype={"class": str})
        assert (predicted["class"] == labels[chosen].astype(str)).mean() == pytest.approx(score["accuracy"], abs=0.006)
        # Of cut networks, five images validate.
        assert predicted["likeness"].mean() == pytest.approx(0.5, abs=0.49 if "cut" in run.configuration else 0.2)
        assert (predicted["unlike"] == (predicted["likeness"] < 0.05)).all()
        models("export", *given, "--format=torchscript", "-o", folder / "model.pt")
        pixels = torch.from_numpy(images[chosen][:, None, :, :, 0] / np.float32(255))
        exported = torch.jit.load(str(folder / "model.pt"))(pixels).argmax(dim=1).numpy()
        assert (np.array(names)[exported] == predicted["class"]).mean() > 0.98
        card = models("card", *given).stdout
        assert f"A classifier of images into {len(names)} classes" in card
        assert f"--model {run.fingerprint}" in card


def test_models_are_listed_with_their_accuracies_and_what_cannot_be_used_in_a_sentence(demo_project, models):
    listed = models("list", f"--env={STUDY}").output
    for pipeline in ("cifar_resnet", "stacking", "alphanet"):
        results = results_of(demo_project, pipeline)
        best = results.loc[results["validation_accuracy"].idxmax(), "run_fingerprint"]
        for row in results.itertuples():
            line = next(line for line in listed.splitlines() if line.startswith(row.run_fingerprint))
            assert f"{100 * row.validation_accuracy:.2f} %" in line
            assert f"{100 * row.test_accuracy:.2f} %" in line
            assert "8 × 8 × 1" in line
            assert (" * " in line) == (row.run_fingerprint == best)
    assert "cannot be used" not in listed
    hidden = re.search(r"(\d+) runs of \S+, mlp_transfer, not scored on test .*--all shows them", listed)
    everything = models("list", f"--env={STUDY}", "--all").output
    assert len(everything.splitlines()) >= len(listed.splitlines()) + int(hidden[1]) - 1
    assert "No run lies in" in models("list", "--env=nothing", fails=True).stderr


def test_new_images_are_predicted_as_the_study_predicts_them(demo_project, models, split_images, tmp_path):
    evaluation = demo_project.folder / f"data/07_model_output/{STUDY}/cifar_resnet/evaluation"
    submitted = pd.read_csv(evaluation / "predictions.csv")
    images, labels = split_images
    np.save(tmp_path / "new.npy", images)
    arguments = ("models", "predict", str(tmp_path / "new.npy"), f"--env={STUDY}", "--submission")
    done = demo_project.run(*arguments, "-o", str(tmp_path / "new.csv"))
    assert f"{len(images)} images" in done.stdout
    assert done.stderr == ""
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "new.csv"), submitted)
    models(
        "predict",
        tmp_path / "new.npy",
        "--model",
        evaluation / "model.safetensors",
        "--views=4",
        "-o",
        tmp_path / "v.csv",
    )
    views = pd.read_csv(tmp_path / "v.csv")
    assert list(views.columns) == ["index", "class", "confidence", "probability", "likeness", "unlike"]
    assert views["index"].tolist() == list(range(len(images)))
    assert (views["class"] == labels).mean() > 0.5
    assert views["confidence"].between(0.1, 1).all()


@pytest.mark.parametrize(
    ("pipeline", "variant", "meant"),
    [
        ("alphanet", "crt", "cRT"),
        ("alphanet", "own,RHO 1.5", "own, rho 1.5"),
        ("transfer_cuts", "30 %: baseline", "30 %: FR, cut 0"),  # one and the same run
        ("stacking", "average", "average"),
    ],
)
def test_a_winner_is_named_by_its_study_and_variant(demo_project, models, tmp_path, pipeline, variant, meant):
    results = results_of(demo_project, pipeline)
    rows = results[results["variant"] == meant]
    best = rows.loc[rows["validation_accuracy"].idxmax(), "run_fingerprint"]
    named = (f"--study={STUDY}", f"--pipeline={pipeline}", f"--variant={variant}")
    assert f"--model {best}" in models("card", *named).stdout
    other = rows.loc[rows["run_fingerprint"] != best].iloc[0]
    assert f"--model {other['run_fingerprint']}" in models("card", *named, f"--seed={other['seed']}").stdout


def test_images_are_named_on_standard_input_and_by_tables(demo_project, models, labelled_folder, tmp_path):
    files = sorted(labelled_folder.glob("3/*.png"))[:4]
    named = (f"--study={STUDY}", "--pipeline=alphanet", "--variant=crt", "--top=3")
    (tmp_path / "list.csv").write_text("photo\n" + "".join(f"{file}\n" for file in files))
    models("predict", tmp_path / "list.csv", *named, "-o", tmp_path / "new.json")
    lines = "".join(f"{file}\n" for file in files)
    done = CliRunner().invoke(cli, ["models", "predict", "-", *named, "-o", str(tmp_path / "new.parquet")], input=lines)
    assert done.exit_code == 0, done.output
    table = pd.read_parquet(tmp_path / "new.parquet")
    assert table.to_dict("records") == json.loads((tmp_path / "new.json").read_text())
    assert table["file"].tolist() == [str(file) for file in files]
    assert {"class_3", "probability_3", "unlike"} <= set(table)


def test_without_validation_images_there_is_what_the_network_says_and_a_sentence(
    demo_project, models, labelled_folder, tmp_path, monkeypatch
):
    from vision_studies.pipelines.alphanet import rebuilding

    monkeypatch.setattr(rebuilding, "positions", lambda *_: np.empty(0, np.int64))
    run = next(folder for folder in run_folders(demo_project, "alphanet") if not (folder / ".serving").exists())
    done = models("predict", next(labelled_folder.glob("3/*.png")), "--model", run.name, "-o", tmp_path / "n.csv")
    assert "Without probability and likeness, which validation images tell" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(pd.read_csv(tmp_path / "n.csv").columns) == ["file", "class", "confidence"]
    assert not (run / ".serving").exists()


@pytest.mark.parametrize("kind", SET_KINDS)
def test_sets_hold_the_right_class_of_as_many_images_as_was_asked_for(
    demo_project, models, split_images, tmp_path, kind
):
    images, labels = split_images
    np.save(tmp_path / "new.npy", images)
    asked = ("--study=" + STUDY, "--pipeline=cifar_resnet", "--coverage=0.95", f"--sets={kind}")
    models("predict", tmp_path / "new.npy", *asked, "-o", tmp_path / "new.csv")
    said = pd.read_csv(tmp_path / "new.csv", dtype=str)
    sets = said["set"].str.split("; ")
    assert (sets.str[0] == said["class"]).all()
    assert (sets.str.len() == said["set_size"].astype(int)).all()
    # 144 validation images and 360 of test: three standard errors of both.
    assert np.mean([str(label) in held for label, held in zip(labels, sets, strict=True)]) > 0.95 - 0.065
    assert sets.str.len().max() > 1


def test_answers_are_withheld_where_the_model_is_least_sure(demo_project, models, split_images, tmp_path):
    images, labels = split_images
    np.save(tmp_path / "new.npy", images)
    asked = ("--study=" + STUDY, "--pipeline=cifar_resnet", "--abstain=0.2", "--calibrator=isotonic")
    done = models("predict", tmp_path / "new.npy", *asked, "-o", tmp_path / "new.csv")
    said = pd.read_csv(tmp_path / "new.csv", dtype={"class": str})
    abstained = said["abstained"].to_numpy()
    assert f"{abstained.sum()} of {len(images)} are left without an answer; of " in done.stdout
    assert abstained.mean() == pytest.approx(0.2, abs=0.12)
    right = said["class"].to_numpy() == labels.astype(str)
    assert right[~abstained].mean() > right.mean()
    assert said["probability"][~abstained].min() > said["probability"][abstained].max()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--coverage=0.9", "--views=2"], "leave out --views, --submission and --no-calibrate"),
        (["--coverage=0.9", "--submission"], "leave out --views, --submission and --no-calibrate"),
        (["--abstain=0.1", "--no-calibrate"], "leave out --views, --submission and --no-calibrate"),
        (["--abstain=0.001"], "validation images that is none; name a share"),
        (["--coverage=1"], "--coverage"),
        (["--coverage=0.9999"], "too few for sets that hold the right class of 99.99 % of the images"),
    ],
)
def test_sets_that_cannot_be_had_are_told(demo_project, models, tmp_path, given, message):
    np.save(tmp_path / "new.npy", np.zeros((1, 8, 8, 1), np.uint8))
    named = (f"--study={STUDY}", "--pipeline=cifar_resnet", "-o", tmp_path / "new.csv")
    assert message in models("predict", tmp_path / "new.npy", *named, *given, fails=True).stderr
    assert not (tmp_path / "new.csv").exists()


def test_corrupt_images_are_named_counted_and_skipped(demo_project, models, split_images, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(5):
        Image.fromarray(split_images[0][number, :, :, 0]).save(folder / f"{number}.png")
    for number in range(12):
        (folder / f"bad{number:02d}.png").write_bytes(b"\x89PNG")
    run = results_of(demo_project, "stacking")["run_fingerprint"].iloc[0]
    done = models("predict", folder, "--model", run, "-o", tmp_path / "new.csv")
    assert done.stdout.splitlines()[0] == f"5 images: {tmp_path / 'new.csv'}"
    lines = done.stderr.splitlines()
    assert lines[0] == "12 images cannot be read and left out:"
    assert lines[1:11] == [f"  bad{number:02d}.png: no image" for number in range(10)]
    assert lines[11:] == ["  and 2 more", f"  all of them: {tmp_path / 'new_left_out.csv'}"]
    assert len(pd.read_csv(tmp_path / "new_left_out.csv")) == 12
    assert pd.read_csv(tmp_path / "new.csv")["file"].tolist() == [f"{number}.png" for number in range(5)]


def test_a_labelled_folder_is_scored_as_the_study_scores_it(demo_project, models, labelled_folder, tmp_path):
    row = results_of(demo_project, "stacking").iloc[0]
    shutil.copytree(labelled_folder, tmp_path / "labelled")
    (tmp_path / "labelled/0/bad.png").write_bytes(b"\x89PNG")
    arguments = ("--env", STUDY, "--model", row["run_fingerprint"][:8], "-o", tmp_path / "score.json")
    done = models("evaluate", tmp_path / "labelled", *arguments)
    assert "0/bad.png: no image" in done.stderr
    found = json.loads((tmp_path / "score.json").read_text())
    assert found["accuracy"] == pytest.approx(row["test_accuracy"])
    assert found["loss"] == pytest.approx(row["test_loss"], abs=1e-4)
    assert found["calibration_error"] == pytest.approx(row["test_calibration_error"], abs=1e-3)
    assert found["left_out"] == {"0/bad.png": "no image"}
    answered = found["reliability"]["Accuracy at 90 % coverage"]
    assert found["accuracy"] <= answered["value"] <= 1
    assert answered["low"] < answered["value"] < answered["high"] or answered["value"] == 1
    assert found["reliability"]["Log loss"]["value"] == pytest.approx(found["loss"])
    assert "AURC" in done.stdout
    assert [own["class"] for own in found["classes"]] == [str(label) for label in range(10)]
    assert f"{100 * row['test_accuracy']:.2f} %" in done.stdout
    shutil.rmtree(tmp_path / "labelled/7")
    fewer = models("evaluate", tmp_path / "labelled", *arguments[:4])
    assert "has no images of 1 of the model's 10 classes (7)" in fewer.stderr
    (tmp_path / "labelled/8").rename(tmp_path / "labelled/eight")
    unknown = models("evaluate", tmp_path / "labelled", *arguments[:4], fails=True)
    assert unknown.stderr.startswith("Error: ")
    assert "has the folder 'eight', which is no class of the model" in unknown.stderr


def test_a_stack_is_exported_by_a_command(demo_project, models, tmp_path):
    results = results_of(demo_project, "stacking")
    run = results.loc[results["variant"] == "average", "run_fingerprint"].iloc[0]
    done = models("export", "--model", run, "--format=torchscript", "-o", tmp_path / "average.pt")
    assert re.search(r"those of the original (do not differ|differ by \d\.\de-\d+ at most)\.", done.stdout)
    files = {"variant": "", "class_names": ""}
    network = torch.jit.load(str(tmp_path / "average.pt"), _extra_files=files)
    assert files["variant"] == b"average"
    assert network(torch.rand(3, 1, 8, 8)).sum(dim=1).tolist() == pytest.approx([1, 1, 1])


def test_a_card_says_what_the_files_know(demo_project, models, tmp_path):
    results = results_of(demo_project, "cifar_resnet")
    best = results.loc[results["validation_accuracy"].idxmax()]
    models("card", f"--env={STUDY}", "-o", tmp_path / "card.md")
    text = (tmp_path / "card.md").read_text()
    _, header, body = text.split("---\n", 2)
    known = yaml.safe_load(header)
    assert known["pipeline_tag"] == "image-classification"
    (result,) = known["model-index"][0]["results"]
    assert result["metrics"][0]["value"] == pytest.approx(best["test_accuracy"], abs=1e-6)
    mean, deviation = results["test_accuracy"].mean(), results["test_accuracy"].std()
    for said in (
        best["run_fingerprint"],
        best["data_fingerprint"],
        f"{best['parameters']:,}",
        f"| test accuracy | {100 * best['test_accuracy']:.2f} % | 2 | {100 * mean:.2f} % | {100 * deviation:.2f} % |",
        f"`kedro run --env={STUDY}`",
        f"torch {torch.__version__}",
        "the two lie",
        "| Training time |",
        "0, 1, 2, 3, 4, 5, 6, 7, 8, 9.",
        "label_smoothing:",
        "| train | 1,221 | 1,221 |",
    ):
        assert said in body, said
    runs = demo_project.folder / f"data/06_models/{STUDY}/transfer_cuts/runs"
    cut = results_of(demo_project, "transfer_cuts").iloc[0]
    of_classes = models("card", "--model", runs / cut["run_fingerprint"] / "weights.safetensors").stdout
    assert f"Of these it has learnt from {json.loads(cut['other_metrics'])['training_images']}." in of_classes


def test_a_model_taken_elsewhere_has_a_card_of_what_it_knows_itself(demo_project, tmp_path, monkeypatch):
    selected = demo_project.folder / f"data/06_models/{STUDY}/cifar_resnet/model.safetensors"
    shutil.copy(selected, tmp_path / "model.safetensors")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, ["models", "card", "--model", "model.safetensors"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "nothing is known of other seeds" in done.stdout
    assert "The images themselves are not there any more" in done.stdout
    assert "Command" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--env=nothing"], "The study 'nothing' has no model yet; run `kedro run --env=nothing` first"),
        (
            [f"--env={STUDY}", "--pipeline=clustering"],
            "Runs of clustering cannot be used: they keep no network; name the run",
        ),
        (
            [f"--env={STUDY}", "--pipeline=alphnet"],
            "No pipeline that trains is called 'alphnet'. Did you mean 'alphanet'?",
        ),
        ([f"--env={STUDY}", "--pipeline=transfer_cuts"], "none that is its best by validation accuracy"),
        (
            [f"--env={STUDY}", "--pipeline=alphanet", "--variant=cRTs"],
            "'cRTs'. Did you mean 'cRT'? There are: backbone; cRT;",
        ),
        ([f"--env={STUDY}", "--pipeline=alphanet", "--variant=crt", "--seed=7"], "has the seed '7'. There are: 0; 1."),
        (["--model=missing.safetensors"], "There is no file missing.safetensors"),
        (["--model=zzz"], "No run of any study is called 'zzz'"),
        (["--model={folder}/foreign.safetensors"], "was not written by this project"),
        (["--model={folder}/pickled.pt"], "is no whole safetensors file"),
        (["--model={folder}/moved.safetensors"], "no run.json lies beside it"),
        (["--model={folder}/wrong.safetensors"], "holds the weights of another network than the resnet_small"),
    ],
)
def test_a_model_that_cannot_be_used_is_told(demo_project, models, tmp_path, arguments, message):
    from safetensors.torch import save_file

    from vision_studies.training.checkpoints import load_state

    np.save(tmp_path / "new.npy", np.zeros((1, 8, 8, 1), np.uint8))
    if "{folder}" in arguments[0]:
        (folder,) = (own for own in run_folders(demo_project, "cifar_resnet")[:1])
        selected = load_state(folder.parents[1] / "model.safetensors")
        stranger = {"fc.weight": torch.zeros(2, 2)}
        save_file(stranger, tmp_path / "foreign.safetensors")
        torch.save(stranger, tmp_path / "pickled.pt")
        shutil.copy(folder / "weights.safetensors", tmp_path / "moved.safetensors")
        save_state(tmp_path / "wrong.safetensors", {**selected, "weights": stranger})
    given = [argument.format(folder=tmp_path) for argument in arguments]
    done = models("predict", tmp_path / "new.npy", *given, "-o", tmp_path / "new.csv", fails=True)
    assert done.stderr.startswith("Error: ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "new.csv").exists()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "holds no image files"),
        (lambda folder: (folder / "a.png").write_bytes(b"\x89PNG"), r"a.png cannot be read: no image"),
    ],
)
def test_a_folder_without_a_picture_is_told(models, tmp_path, make, message):
    folder = tmp_path / "images"
    folder.mkdir()
    make(folder)
    done = models("predict", folder, f"--env={STUDY}", "-o", tmp_path / "new.csv", fails=True)
    assert message in done.stderr
    assert not (tmp_path / "new.csv").exists()


def test_the_folder_that_a_model_learnt_from_is_pointed_out(
    demo_project, models, labelled_folder, tmp_path, monkeypatch
):
    from vision_studies.serving import stored_data

    run = run_folders(demo_project, "cifar_resnet")[0]
    fingerprint = json.loads((run / "run.json").read_text())["data_fingerprint"]
    data = prepared_data_sets(demo_project.folder)[fingerprint]
    settings = {"settings": {"source": str(labelled_folder.parent)}}
    monkeypatch.setitem(data.image_set.origin, "settings", settings["settings"])
    monkeypatch.setattr(stored_data, "prepared_data_sets", lambda project: {fingerprint: data})
    done = models("evaluate", labelled_folder, "--model", run.name)
    assert "is where the model's images came from" in done.stderr
