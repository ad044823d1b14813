"""Result files of the project "alphanet" as tables like those of a study: `result.pth` of AlphaNets and of their baselines.

The files hold classes and modules of the project beside numbers; these are read without running anything, see
`models.torch_files`. A folder has an experiment in each folder below it, with a file a repeat.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from vision_studies.data.class_splits import SPLITS
from vision_studies.errors import DataError, one_line
from vision_studies.pipelines.alphanet.saved_experiments import SavedTables

if TYPE_CHECKING:
    from torch import Tensor

RESULTS = "**/*.pth"
BASELINE = "Baseline"

_NEEDED = (
    "train_data_info",
    "alphanet",
    "training_config",
    "test_metrics",
    "test_acc__per__split",
    "test_acc__per__class",
)
_ACTIVATIONS = {
    *("relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "tanh", "sigmoid", "softplus"),
    *("softsign", "hardtanh", "hardswish", "hardsigmoid", "logsigmoid", "tanhshrink", "hardshrink", "softshrink"),
}
_REPEAT = re.compile(r"rep(eat)?_?\d+")


@dataclass(frozen=True)
class PublishedResult:
    """What a result file says of an AlphaNet, or of a classifier that was left as it was (`baseline`).

    Attributes:
        data: name of the data set, which names a classifier, too.
        rho: None where its samplers have none.
        splits: fractions by split, overall among them.
        top_5: fraction, of all images; those of the splits are not in the file.
        classes: one row a class: label, split, train_images, accuracy and, of few classes, neighbour_distance.
        combinations: one row a few class and neighbour: label, position, neighbour, coefficient and distance.
    """

    data: str
    baseline: bool
    rho: float | None
    neighbours: int
    distance: str
    splits: Mapping[str, float]
    top_5: float
    classes: pd.DataFrame
    combinations: pd.DataFrame


def read_result(file: Path) -> PublishedResult:
    """Read a result file.

    Raises:
        DataError: it is damaged, or no result file of the project.
    """
    from vision_studies.models.torch_files import load_without_code

    try:
        content = load_without_code(file)
    except Exception as error:  # torch has many errors for what a file may be, and advice that would run it
        raise DataError(
            f"{file} is no file of torch that can be read: it is damaged, or asks for more than numbers; name another one."
        ) from error
    missing = [key for key in _NEEDED if not isinstance(content, dict) or key not in content]
    if missing:
        raise DataError(
            f"{file} is no result file of the project 'alphanet': it has no '{missing[0]}'; name another one."
        )
    try:
        return _result(content)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise DataError(
            f"{file} has the keys of a result file, but not its content ({one_line(error)}); name another one."
        ) from error


def published_tables(folder: Path) -> SavedTables:
    """The result files below a folder, as the tables of a study.

    An experiment is called after the folder that holds its files, or its folders `rep_<n>`; files of one are its repeats.
    Baselines, which the files say they are, are called so.

    Raises:
        DataError: there is no result file, or one cannot be read.
    """
    files: dict[str, list[Path]] = {}
    for file in sorted(folder.glob(RESULTS)):
        place = file.parent.parent if _REPEAT.fullmatch(file.parent.name) else file.parent
        name = str(place.relative_to(folder)) if place != folder and place.is_relative_to(folder) else folder.name
        files.setdefault(name, []).append(file)
    if not files:
        raise DataError(f"{folder} has no result files (*.pth) of the project 'alphanet'; name a folder that has some.")
    runs = [run for name, of_experiment in files.items() for run in _runs(name, of_experiment)]
    baselines = {result.data: result for _, _, result in runs if result.baseline}
    parts: dict[str, list[pd.DataFrame]] = {"accuracies": [], "class_accuracies": [], "combinations": []}
    for experiment, repeat, result in runs:
        who = {"data": result.data, "classifier": result.data, "experiment": experiment, "repeat": repeat}
        flag = {"baseline": result.baseline}
        asked = {"rho": result.rho, "neighbours": result.neighbours, "distance": result.distance}
        setting = dict.fromkeys(asked) if result.baseline else asked
        rows = [
            {
                **who,
                **flag,
                **setting,
                "split": split,
                "top_1": value,
                "top_5": result.top_5 if split == "overall" else np.nan,
            }
            for split, value in result.splits.items()
        ]
        parts["accuracies"].append(pd.DataFrame(rows).astype({"rho": float, "neighbours": float, "distance": object}))
        base = baselines.get(result.data)
        before = (
            np.nan if base is None else base.classes.set_index("label")["accuracy"].reindex(result.classes["label"])
        )
        classes = result.classes.assign(**who, **flag, baseline_accuracy=np.asarray(before))
        parts["class_accuracies"].append(classes.assign(name=classes["label"].astype(str)))
        if not result.baseline:
            parts["combinations"].append(result.combinations.assign(**who))
    tables = {name: pd.concat(rows, ignore_index=True) if rows else pd.DataFrame() for name, rows in parts.items()}
    return SavedTables(**tables)


def _runs(name: str, files: list[Path]) -> Iterator[tuple[str, int, PublishedResult]]:
    """Experiment, repeat and result of each file of a folder; repeats are counted anew for every data set."""
    counts: dict[tuple[str, str], int] = {}
    for file in files:
        result = read_result(file)
        experiment = BASELINE if result.baseline else name
        repeat = counts.get((result.data, experiment), 0)
        counts[result.data, experiment] = repeat + 1
        yield experiment, repeat, result


def _result(content: Mapping[str, Any]) -> PublishedResult:
    info, config = content["train_data_info"], content["training_config"]
    labels = {split: sorted(map(int, info["class__set__per__split"][split])) for split in SPLITS}
    split_of = {label: split for split, members in labels.items() for label in members}
    counts = {int(label): int(images) for label, images in info["n_imgs__per__class"].items()}
    accuracy = {int(label): float(value) for label, value in content["test_acc__per__class"].items()}
    combinations = _combinations(content)
    distances = combinations.groupby("label")["distance"].mean()
    classes = pd.DataFrame({"label": sorted(split_of)})
    by_label = classes["label"]
    return PublishedResult(
        data=str(info["dataset_name"]),
        baseline=bool(content["alphanet"]["dummy_mode"]),
        rho=_rho(config),
        neighbours=int(config["n_neighbors"]),
        distance=str(config["nn_dist"]),
        splits={
            **{split: float(content["test_acc__per__split"][split]) for split in SPLITS},
            "overall": float(content["test_metrics"]["accuracy"]),
        },
        top_5=float(content["test_metrics"].get("top-5 accuracy", np.nan)),
        classes=classes.assign(
            split=by_label.map(split_of),
            train_images=by_label.map(counts).fillna(0).astype(int),
            accuracy=by_label.map(accuracy),
            neighbour_distance=by_label.map(distances),
        ),
        combinations=combinations,
    )


def _rho(config: Mapping[str, Any]) -> float | None:
    """Base images for each image of the few classes: the only `r` of the samplers; None where that is not one number."""
    builder = config.get("sampler_builder")
    builder = builder if isinstance(builder, Mapping) else getattr(builder, "state", None)
    arguments = builder.get("sampler_args") if isinstance(builder, Mapping) else None
    given = [each["r"] for each in arguments or () if isinstance(each, Mapping) and "r" in each]
    try:
        return float(given[0]) if len(given) == 1 else None
    except (TypeError, ValueError):
        return None


def _combinations(content: Mapping[str, Any]) -> pd.DataFrame:
    """Coefficients of the few classes by the network in the file, and how far their neighbours are."""
    rows = []
    info, coefficients = content["nn_info"], _coefficients(content)
    neighbours = info["nn_class__seq__per__fclass"]
    for place, (label, near) in enumerate(neighbours.items()):
        own, *others = _plain(info["nn_mean_feat__mat__per__fclass"][label]).double().numpy()
        for position, (neighbour, mean) in enumerate(zip(near, others, strict=True), start=1):
            rows.append(
                {
                    "label": int(label),
                    "position": position,
                    "neighbour": int(neighbour),
                    "coefficient": coefficients[place][position - 1] if coefficients is not None else np.nan,
                    "distance": _distance(own, mean, str(info["nn_dist"])),
                }
            )
    return pd.DataFrame(rows, columns=["label", "position", "neighbour", "coefficient", "distance"])


def _plain(value: Any) -> "Tensor":
    """A tensor that is as large as its numbers in the file."""
    from vision_studies.models.torch_files import is_plain_tensor

    if not is_plain_tensor(value):
        raise ValueError("it has something else in the place of a tensor, or one that is larger than its numbers")
    tensor: Tensor = value.detach()
    return tensor


def _distance(own: np.ndarray, other: np.ndarray, kind: str) -> float:
    if kind == "cosine":
        return 1 - float(own @ other / (np.linalg.norm(own) * np.linalg.norm(other)))
    return float(np.linalg.norm(own - other))


def _coefficients(content: Mapping[str, Any]) -> np.ndarray | None:
    """Coefficients [F, k] of the neighbours; None of a baseline, whose network decides nothing."""
    import torch
    from torch.nn import functional as F

    described, state = content["alphanet"], content["best_alphanet_classifier_state_dict"]
    if described["dummy_mode"]:
        return None
    if described["hact"] not in _ACTIVATIONS:
        raise ValueError(f"its activation '{described['hact']}' is not known")
    activation = getattr(F, described["hact"])
    sources = torch.stack([_plain(source).float() for source in content["alphanet_source__mat__seq"]])
    weight, bias = (_plain(state[f"alphanet.conv_layer.{part}"]) for part in ("weight", "bias"))
    hidden = sources.flatten(1) @ weight.flatten(1).T + bias
    for number in range(len(described["hdims"])):
        weight, bias = (_plain(state[f"alphanet.linear_layer__seq.{number}.{part}"]) for part in ("weight", "bias"))
        hidden = F.linear(activation(hidden), weight, bias)
    found: np.ndarray = (hidden / hidden.norm(p=1, dim=1, keepdim=True)).numpy()
    return found
