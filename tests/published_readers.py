"""The files of the five published projects, read as their own scripts read them: by names, keys and columns, and nothing else.

Written from descriptions of those projects, and without any of this project's writers or readers.
"""

import csv
import json
import pickle
import re
import tomllib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch.nn import functional as F

Row = dict[str, str]


def rows_of(file: Path, header: list[str]) -> list[Row]:
    """A CSV file, whose columns are these in this order."""
    with file.open(newline="", encoding="utf-8") as lines:
        reader = csv.DictReader(lines)
        assert reader.fieldnames == header, file
        return list(reader)


def torch_file(file: Path) -> Any:
    return torch.load(file, map_location="cpu", weights_only=True)


# --- Deep Learning Spring 2025 Project 1 ------------------------------------------------------------------------------------

METRICS = ["epoch", "train_loss", "train_acc", "val_loss", "val_acc", "learning_rate", "time_elapsed"]
METRICS += ["memory_used_mb", "batch_time_ms", "eta_hours"]
CONFIG = {
    "model_name",
    "data_dir",
    "batch_size",
    "num_workers",
    "pin_memory",
    "num_epochs",
    "learning_rate",
    "weight_decay",
    "momentum",
    "lr_schedule",
    "max_lr",
    "random_crop_padding",
    "random_horizontal_flip",
    "mixup_alpha",
    "cutout_holes",
    "cutout_length",
    "random_rotation",
    "color_jitter",
    "use_randaugment",
    "randaugment_num_ops",
    "randaugment_magnitude",
    "use_cutmix",
    "cutmix_alpha",
    "cutmix_prob",
    "label_smoothing",
    "dropout_rate",
    "grad_clip",
    "device",
    "log_interval",
    "save_interval",
    "output_dir",
    "experiment_name",
    "resume_from",
}
GRAPHS = {"loss_plot.png", "validation_plot.png", "learning_rate_plot.png", "combined_plot.png"}


def training_run(folder: Path) -> dict[str, Any]:
    """One folder of `outputs/training_runs`: configuration, metrics by epoch, best checkpoint, and what the log ends with."""
    assert re.fullmatch(r"\d{4}(_\d\d){4}(_\d+)?", folder.name)
    config = json.loads((folder / "logs/config.json").read_text(encoding="utf-8"))
    assert set(config) == CONFIG
    metrics = [
        {name: float(value) for name, value in row.items()} for row in rows_of(folder / "logs/metrics.csv", METRICS)
    ]
    assert {file.name for file in (folder / "logs/figures").iterdir()} == GRAPHS
    log = (folder / "logs/training.log").read_text(encoding="utf-8").splitlines()
    assert all(re.match(r"\[\d{4}(-\d\d){2} \d\d(:\d\d){2}\] ", line) for line in log)
    accuracy = re.search(r"Training completed in \d+h \d+m \d+s\. Best validation accuracy: ([\d.]+)%$", log[-1])
    return {"config": config, "metrics": metrics, "logged": float(accuracy[1]), "best": checkpoint(folder / "best.pth")}


def checkpoint(file: Path) -> dict[str, Any]:
    """What is evaluated: weights by name, accuracy in percent, and the configuration that says which network they are of."""
    content = torch_file(file)
    assert content["config"]["model_name"]
    assert isinstance(content["epoch"], int)
    history = content["metrics_history"]
    assert {name: len(values) for name, values in history.items()} == dict.fromkeys(
        ("train_loss", "train_acc", "val_loss", "val_acc", "learning_rate"), content["epoch"] + 1
    )
    assert content["best_acc"] == max(history["val_acc"])
    return content


# --- Stacked Generalization -------------------------------------------------------------------------------------------------


def latest_experiments(root: Path) -> Path:
    """`experiment_results` of the newest model search: the last date, and of it the last time, as texts sort."""
    dates = sorted((root / "outputs/model_search").glob("*-*-*"))
    return sorted(dates[-1].glob("*-*-*"))[-1] / "experiment_results"


def experiment(folder: Path) -> dict[str, dict[str, Any]]:
    """Variant -> its `study_results.json`."""
    results = {}
    for variant in (path for path in folder.iterdir() if path.is_dir()):
        content = json.loads((variant / "study_results.json").read_text(encoding="utf-8"))
        assert content["experiment_type"] == folder.name
        assert content["variant_name"] == variant.name
        assert {"train_acc", "val_acc", "epochs"} <= set(content["best_history"])
        assert len(content["best_history"]["epochs"]) == len(content["best_history"]["val_acc"])
        assert len(content["trial_accuracies"]) == len(content["trial_times"])
        for trial in content["all_trials"]:
            assert {"number", "params", "value", "state", "history"} <= set(trial)
            assert trial["state"] in (1, 2, 3)
        results[variant.name] = content
    return results


def configuration_row(result: dict[str, Any]) -> tuple[float, float, float]:
    """A row of the configuration table: accuracy, million parameters, seconds."""
    return (
        float(np.mean(result["trial_accuracies"])),
        result.get("model_stats", {}).get("total_params", 0) / 1e6,
        float(np.mean(result["trial_times"])),
    )


# --- mp-tl-study ------------------------------------------------------------------------------------------------------------


def cut_results(file: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Parameters, and runs."""
    parameters, *runs = json.loads(file.read_text(encoding="utf-8"))
    for run in runs:
        assert set(run) == {"lr", "sampled_percentage", "sampled_cut_point", "repeat", "train_acc", "test_acc"}
    return parameters, runs


def cluster_scores(file: Path, kind: str) -> list[dict[str, Any]]:
    """Rows of the `newer` layout or the `older` one, in which indices are times 100."""
    rows = json.loads(file.read_text(encoding="utf-8"))
    common = {"Percentage", "Repeat", "Layer", "Dataset", "Split"}
    scores = {
        "newer": {"Precision", "Recall", "Accuracy", "ARI"},
        "older": {"Num Samples", "Max ARI Score", "Avg ARI Score"},
    }
    assert all(set(row) == common | scores[kind] for row in rows)
    return rows


def custom_cnn(file: Path, images: torch.Tensor, *, pooled_after: int) -> torch.Tensor:
    """Log-probabilities of images [N, C, H, W] by the network in a file: every second convolution is followed by pooling."""
    weights = torch_file(file)
    assert type(weights) is OrderedDict
    depth = sum(re.fullmatch(r"conv\d+\.weight", name) is not None for name in weights)
    assert list(weights) == [
        f"{layer}.{part}" for layer in [*(f"conv{i}" for i in range(depth)), "fc"] for part in PARTS
    ]
    for layer in range(depth):
        kernel = weights[f"conv{layer}.weight"]
        images = F.relu(F.conv2d(images, kernel, weights[f"conv{layer}.bias"], padding=kernel.shape[-1] // 2))
        if (layer + 1) % pooled_after == 0:
            images = F.avg_pool2d(images, 2, 2)
    return F.log_softmax(F.linear(images.flatten(1), weights["fc.weight"], weights["fc.bias"]), dim=1)


PARTS = ("weight", "bias")

# --- Hyperparameter-Experiment ----------------------------------------------------------------------------------------------

HYPERPARAMETERS = ["lr", "beta1", "beta2", "eps", "weight_decay", "dropout", "leaky_relu_alpha"]
TRIAL = ["trial", "best_val_loss", "test_loss", "best_epoch", "terminating_epoch", *HYPERPARAMETERS]
SPREAD = ["mean", "var", "min", "max"]


def yaml_file(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def searched(search: Path) -> dict[str, dict[str, Any]]:
    """What a report of the search and a transfer need: architecture -> hyperparameters, test losses by seed, and so on."""
    found = {}
    for folder in (path.parent for path in search.glob("*/summary.yaml")):
        best = yaml_file(folder / "best_hyperparameters.yaml")
        assert set(best) == {
            *("architecture", "hyperparameters", "best_trial_idx", "best_validation_loss", "best_epoch"),
            "terminating_epoch",
        }
        layers = best["architecture"]["layers"]
        assert best["architecture"]["name"] == folder.name == f"mlp_{len(layers)}x_{'x'.join(map(str, layers))}"
        assert list(best["hyperparameters"]) == HYPERPARAMETERS
        trials = {int(row["trial"]): row for row in rows_of(folder / "search_results.csv", TRIAL)}
        losses = {number: float(row["best_val_loss"]) for number, row in trials.items()}
        assert min(losses, key=losses.get) == best["best_trial_idx"]
        assert all(np.isnan(float(row["test_loss"])) or float(row["test_loss"]) > 0 for row in trials.values())
        rows_of(folder / "best_trial/metrics.csv", ["epoch", "training_loss", "validation_loss"])
        retrained = {}
        for row in rows_of(folder / "retrain/seed_losses.csv", ["seed", "test_loss"]):
            config = yaml_file(folder / f"retrain/seed_{row['seed']}/config.yaml")
            assert set(config) == {
                *("architecture", "hyperparameters", "seed", "best_validation_loss", "best_epoch"),
                *("terminating_epoch", "test_loss"),
            }
            retrained[int(row["seed"])] = float(row["test_loss"])
            assert config["test_loss"] == retrained[int(row["seed"])]
        summary = yaml_file(folder / "summary.yaml")
        assert summary["architecture"] == folder.name
        assert list(summary["test_loss_stats"]) == SPREAD
        found[folder.name] = {"best": best, "retrained": retrained, "stats": summary["test_loss_stats"]}
    return found


def transferred(folder: Path) -> dict[tuple[str, str], dict[str, float]]:
    """Target and source -> their test losses, regret and relative regret."""
    cell = ["target_arch", "source_arch"]
    tables = {
        "transfer_results": SPREAD,
        "regret_matrix": [f"{name}_regret" for name in SPREAD],
        "relative_regret_matrix": ["mean_relative_regret"],
    }
    cells: dict[tuple[str, str], dict[str, float]] = {}
    for name, columns in tables.items():
        for row in rows_of(folder / f"{name}.csv", [*cell, *columns]):
            key = (row["target_arch"], row["source_arch"])
            cells.setdefault(key, {}).update({column: float(row[column]) for column in columns})
    for row in rows_of(folder / "transfer_seed_losses.csv", [*cell, "seed", "test_loss"]):
        cells[row["target_arch"], row["source_arch"]].setdefault("losses", []).append(float(row["test_loss"]))
    return cells


# --- alphanet ---------------------------------------------------------------------------------------------------------------

RESULT = {
    *(
        "train_data_info",
        "val_data_info",
        "nn_info",
        "alphanet",
        "alphanet_source__mat__seq",
        "fbclass_ordered_idx__vec",
    ),
    *("training_config", "epoch_data__seq", "best_epoch", "best_alphanet_classifier_state_dict"),
    *("test_metrics", "test_acc__per__split", "test_acc__per__class"),
}
DATA_INFO = {
    *("dataset_name", "datagrp", "n_features", "n_imgs", "n_classes", "n_base_classes", "n_few_classes"),
    *("n_imgs__per__class", "class__set__per__split"),
}
EPOCH = {
    *("n_train__per__class", "n_train__per__split", "mean_batch_loss__seq", "mean_alpha__vec", "min_alpha__vec"),
    *("max_alpha__vec", "val_metrics", "val_acc__per__split", "val_acc__per__class"),
}


def registered(root: Path) -> dict[str, dict[str, Any]]:
    """Name -> table of `config/datasets.toml`."""
    return tomllib.loads((root / "config/datasets.toml").read_text(encoding="utf-8"))


def features(root: Path, table: dict[str, Any], group: str) -> tuple[torch.Tensor, np.ndarray]:
    [file] = sorted((root / table["feature_files_dir"]).glob(f"{group}*.pkl"))
    content = pickle.loads(file.read_bytes())
    return torch.as_tensor(content["feats"]), np.array([int(label) for label in content["labels"]])


def result_file(file: Path) -> dict[str, Any]:
    result = torch_file(file)
    assert set(result) == RESULT
    assert set(result["train_data_info"]) == DATA_INFO
    assert all(set(epoch) == EPOCH for epoch in result["epoch_data__seq"])
    assert set(result["test_acc__per__split"]) == {"few", "medium", "many"}
    return result


def trained_scores(result: dict[str, Any], feats: torch.Tensor) -> torch.Tensor:
    """Scores [N, classes] by the classifier that a result file describes, class by class as the paper has it."""
    state, alphanet = result["best_alphanet_classifier_state_dict"], result["alphanet"]
    activation = getattr(F, alphanet["hact"])
    few = []
    for source in result["alphanet_source__mat__seq"]:
        alphas = coefficients(state, source, activation, len(alphanet["hdims"]), dummy=alphanet["dummy_mode"])
        few.append(alphas @ source)
    few_scores = feats @ torch.stack(few).T + state["alphanet_b__vec"]
    base_scores = F.linear(feats, state["base_clf.weight"], state["base_clf.bias"])
    order = result["fbclass_ordered_idx__vec"]
    return torch.cat([few_scores, base_scores], dim=1)[:, order] * result["training_config"]["pred_scale"]


def coefficients(
    state: dict[str, torch.Tensor], source: torch.Tensor, activation: Any, layers: int, *, dummy: bool
) -> torch.Tensor:
    """1, then those of the neighbours, for the own and the neighbours' classifiers [k + 1, d]."""
    kernel = state["alphanet.conv_layer.weight"]
    assert kernel.shape[1:] == (1, *source.shape)
    if dummy:
        return torch.eye(len(source))[0]
    hidden = F.conv2d(source[None, None], kernel, state["alphanet.conv_layer.bias"]).flatten()
    for number in range(layers):
        weight, bias = (state[f"alphanet.linear_layer__seq.{number}.{part}"] for part in PARTS)
        hidden = F.linear(activation(hidden), weight, bias)
    return torch.cat([torch.ones(1), hidden / hidden.norm(p=1)])
