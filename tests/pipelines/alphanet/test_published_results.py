"""Result files of the project "alphanet": read without its code, as tables beside those of studies."""

import os
import sys
import types

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from tests import published_readers
from tests.hostile_pickles import Call
from torch import nn
from torch.nn import functional as F

from vision_studies.cli import cli
from vision_studies.errors import DataError
from vision_studies.models.torch_files import StandIn, load_without_code
from vision_studies.pipelines.alphanet.joint_figures import joint_figures
from vision_studies.pipelines.alphanet.published_results import published_tables, read_result
from vision_studies.pipelines.alphanet.saved_experiments import joined_tables

CLASSES, FEATURES, NEIGHBOURS = 6, 3, 2
LABELS = {"many": {0, 1}, "medium": {2, 3}, "few": {4, 5}}


@pytest.fixture
def samplers(monkeypatch):
    """The project's module of samplers, which is there when files are written and not when they are read."""
    module = types.ModuleType("alphanet._samplers")
    for name in ("AllFewSampler", "ClassBalancedBaseSampler"):
        setattr(module, name, type(name, (), {"__module__": module.__name__}))
    monkeypatch.setitem(sys.modules, "alphanet", types.ModuleType("alphanet"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def result(samplers, seed=0, rho="0.5", *, dummy=False, data="imagenetlt_resnext50_crt"):
    """What the project saves: tensors and numbers, among classes and modules."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    weight, means = torch.randn(CLASSES, FEATURES), torch.randn(CLASSES, FEATURES)
    near = {4: [0, 2], 5: [3, 1]}
    rows = {label: [label, *others] for label, others in near.items()}
    conv, linear = nn.Conv2d(1, 4, (NEIGHBOURS + 1, FEATURES)), nn.Linear(4, NEIGHBOURS)
    by_class = {label: float(rng.uniform()) for label in range(CLASSES)}
    info = {
        "dataset_name": data,
        "datagrp": "train",
        "n_imgs__per__class": {label: 2 ** (CLASSES - label) for label in range(CLASSES)},
        "class__set__per__split": LABELS,
    }
    return {
        "train_data_info": info,
        "nn_info": {
            "n_neighbors": NEIGHBOURS,
            "nn_dist": "euclidean",
            "nn_class__seq__per__fclass": near,
            "nn_mean_feat__mat__per__fclass": {label: means[row] for label, row in rows.items()},
            "nn_clf__per__fclass": {label: nn.Linear(FEATURES, NEIGHBOURS + 1) for label in near},
        },
        "alphanet": {"hdims": [4], "hact": "leaky_relu", "dummy_mode": dummy, "debug": False},
        "alphanet_source__mat__seq": [weight[row] for row in rows.values()],
        "training_config": {
            "n_neighbors": NEIGHBOURS,
            "nn_dist": "euclidean",
            "ptopt": {"optim_cls": torch.optim.AdamW, "lr_sched_cls": torch.optim.lr_scheduler.StepLR},
            "sampler_builder": {
                "sampler_classes": (samplers.AllFewSampler, samplers.ClassBalancedBaseSampler),
                "sampler_args": ({}, {"r": rho}),
            },
            "pred_scale": 1.0,
        },
        "best_alphanet_classifier_state_dict": {
            "alphanet.conv_layer.weight": conv.weight.detach(),
            "alphanet.conv_layer.bias": conv.bias.detach(),
            "alphanet.linear_layer__seq.0.weight": linear.weight.detach(),
            "alphanet.linear_layer__seq.0.bias": linear.bias.detach(),
        },
        "test_metrics": {"accuracy": np.mean([*by_class.values()]).item(), "top-5 accuracy": 0.9, "f1": 0.5},
        "test_acc__per__split": {
            s: float(np.mean([by_class[one] for one in members])) for s, members in LABELS.items()
        },
        "test_acc__per__class": by_class,
    }


@pytest.fixture
def folder(samplers, tmp_path, monkeypatch):
    """Two experiments of two repeats, and a baseline."""
    for rho in ("0.5", "1"):
        for repeat in range(2):
            file = tmp_path / f"published/main/rho_{rho}/rep_{repeat}/result.pth"
            file.parent.mkdir(parents=True)
            torch.save(result(samplers, 10 * repeat + len(rho), rho), file)
    (tmp_path / "published/baselines").mkdir()
    torch.save(result(samplers, 99, dummy=True), tmp_path / "published/baselines/imagenetlt.pth")
    (tmp_path / "others/rho_0.5/rep_0").mkdir(parents=True)
    torch.save(result(samplers, 5, data="placeslt"), tmp_path / "others/rho_0.5/rep_0/result.pth")
    torch.save(result(samplers, 6, data="placeslt", dummy=True), tmp_path / "others/baseline.pth")
    for name in ("alphanet", "alphanet._samplers"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "published"


def test_a_file_is_read_without_the_code_that_wrote_it(folder):
    file = folder / "main/rho_0.5/rep_0/result.pth"
    content = load_without_code(file)
    sampler = content["training_config"]["sampler_builder"]["sampler_classes"][1]
    assert (issubclass(sampler, StandIn), sampler.name) == (True, "alphanet._samplers.ClassBalancedBaseSampler")
    layer = content["nn_info"]["nn_clf__per__fclass"][4]
    assert not isinstance(layer, nn.Module)
    assert layer.state["_parameters"]["weight"].shape == (NEIGHBOURS + 1, FEATURES)
    assert "alphanet" not in sys.modules
    read = read_result(file)
    assert (read.data, read.rho, read.neighbours, read.baseline) == ("imagenetlt_resnext50_crt", 0.5, 2, False)
    for row in read.combinations.to_dict("records"):
        place = row["label"] - 4
        source = content["alphanet_source__mat__seq"][place]
        state = content["best_alphanet_classifier_state_dict"]
        expected = published_readers.coefficients(state, source, F.leaky_relu, 1, dummy=False)
        assert row["coefficient"] == pytest.approx(float(expected[row["position"]]), abs=1e-6)
        own, *others = content["nn_info"]["nn_mean_feat__mat__per__fclass"][row["label"]]
        assert row["distance"] == pytest.approx(float(torch.dist(own, others[row["position"] - 1])))


def test_result_files_are_tables_of_experiments_with_their_repeats_and_baselines(folder, samplers):
    tables = published_tables(folder)
    described = tables.accuracies.groupby(["experiment", "split"])["top_1"].agg(["mean", "count"])
    for rho in ("0.5", "1"):
        expected = [result(samplers, 10 * repeat + len(rho))["test_acc__per__split"]["few"] for repeat in range(2)]
        assert described.loc[(f"main/rho_{rho}", "few"), "mean"] == pytest.approx(np.mean(expected))
        assert described.loc[(f"main/rho_{rho}", "few"), "count"] == 2
    assert described.loc[("Baseline", "overall"), "count"] == 1
    assert set(tables.accuracies.loc[tables.accuracies["baseline"], "experiment"]) == {"Baseline"}
    classes = tables.class_accuracies.set_index(["experiment", "repeat", "label"])
    assert classes.loc[("main/rho_1", 0, 5), "split"] == "few"
    assert classes.loc[("main/rho_1", 0, 5), "train_images"] == 2
    baseline = classes.loc[("Baseline", 0, 5), "accuracy"]
    assert classes.loc[("main/rho_1", 1, 5), "baseline_accuracy"] == baseline
    assert len(tables.combinations) == 2 * 2 * 2 * NEIGHBOURS


def invoke(*arguments, fails=False):
    done = CliRunner().invoke(cli, ["alphanet", *arguments])
    assert (done.exit_code != 0) == fails, done.output
    return " ".join(done.output.split())


@pytest.mark.slow
def test_commands_take_a_folder_of_result_files_in_the_place_of_a_study(folder, tmp_path):
    table = invoke("table", "published", "--rename", "main/rho_1", "ours")
    assert "Baseline" in table
    assert "ours" in table
    written = invoke(
        "figures", "published", "-f", "line_gains", "-f", "coefficients", "--interval=bootstrap", "--dpi=30"
    )
    assert written == "line_gains.png, coefficients.png: figures"
    invoke("figures", "published", "-f", "points", "--theme=dark", "--context=talk", "--width=6", "--format=svg")
    svg = (tmp_path / "figures/points.svg").read_text()
    assert "#14181d" in svg
    assert 'width="288pt"' in svg  # 6 inches, drawn at two thirds for text that is half as large again
    assert "needs the features" in invoke("table", "published", "--top=3", fails=True)
    assert "both named" in invoke("figures", "published", str(folder), fails=True)


def test_without_baselines_all_but_gains_is_drawn(folder, monkeypatch):
    (folder / "baselines/imagenetlt.pth").unlink()
    monkeypatch.setattr("vision_studies.pipelines.alphanet.joint_figures.class_figures", lambda *_, **__: iter(()))
    written = invoke("figures", "published", "-x", "*rho_1", "--dpi=20")
    assert written == "points.png, coefficients.png: figures"
    assert "has no baseline" in invoke("figures", "published", "-f", "point_gains", fails=True)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"train_data_info": {}}, "has no 'alphanet'"),
        ([1, 2], "has no 'train_data_info'"),
        ({key: {} for key in published_readers.RESULT}, "not its content"),
        (Call(os.system, "touch run"), "asks for more than numbers"),
    ],
)
def test_another_file_is_told_and_not_run(tmp_path, monkeypatch, content, told):
    monkeypatch.chdir(tmp_path)
    torch.save(content, "result.pth")
    with pytest.raises(DataError, match=told):
        read_result(tmp_path / "result.pth")
    assert not (tmp_path / "run").exists()


def test_a_damaged_file_and_an_empty_folder_are_told(tmp_path):
    with pytest.raises(DataError, match="has no result files"):
        published_tables(tmp_path)
    (tmp_path / "result.pth").write_bytes(b"no file of torch")
    with pytest.raises(DataError, match="no file of torch that can be read"):
        published_tables(tmp_path)


def test_several_studies_share_every_figure_under_the_names_of_their_data(folder, tmp_path):
    joined = joined_tables([published_tables(folder), published_tables(tmp_path / "others")])
    names = ["points", "lines", "coefficients"]
    drawn = dict(joint_figures(joined, names, confidence=0.9, interval="bootstrap"))
    assert set(drawn) == set(names)
    titles = {axes.get_title(loc="left") for axes in drawn["lines"].axes} - {""}
    assert titles == {"imagenetlt_resnext50_crt", "placeslt"}
    assert len(drawn["coefficients"].axes) == 3
    notes = drawn["points"].legends[0].get_title().get_text()
    assert "90 % interval of the mean over repeats (bootstrap)" in notes.replace("\n", " ")
    assert isinstance(joined.accuracies, pd.DataFrame)


def test_a_tensor_that_is_larger_than_its_numbers_is_refused(folder):
    file = folder / "main/rho_1/rep_0/result.pth"
    content = load_without_code(file)
    content["nn_info"] |= {"nn_mean_feat__mat__per__fclass": dict.fromkeys((4, 5), torch.zeros(1).expand(10**12))}
    del content["nn_info"]["nn_clf__per__fclass"], content["training_config"]["ptopt"]
    content["training_config"]["sampler_builder"] = None
    torch.save(content, file)
    with pytest.raises(DataError, match="larger than its numbers"):
        read_result(file)
