"""A study in the folders of the project "alphanet": its data sets, baselines and result files.

Result files are files of torch with the project's keys. Here they hold tensors, numbers, texts and sets alone, so that they are
read without running anything: classes stand by their names, and linear layers as weight and bias.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vision_studies.data.class_splits import SPLITS
from vision_studies.errors import DataError
from vision_studies.pipelines.alphanet.plan import CLASSIFIER_FILE, COMBINATIONS_FILE
from vision_studies.pipelines.alphanet.saved_experiments import read_experiments
from vision_studies.pipelines.alphanet.settings import AlphaNetworkSettings, CombinationRunSettings, TorchSettings
from vision_studies.studies.published import Published, StoredStudy
from vision_studies.studies.stored_runs import StoredRun

if TYPE_CHECKING:
    from vision_studies.classifiers.linear import LinearClassifier
    from vision_studies.pipelines.alphanet.work.features import FeatureGroup, FeatureSet
    from vision_studies.pipelines.alphanet.work.neighbours import Neighbours

_FITTED = ["variant", "seed", "status", "configuration", "run_fingerprint"]
_GROUPS = {"train": "train", "validation": "val", "test": "test"}
_BASELINE_NEIGHBOURS, _BASELINE_DISTANCE = (
    5,
    "euclidean",
)  # what the project computes for baselines, which do not use them


def write_study(study: StoredStudy, folder: Path) -> None:
    """Write the data set of every classifier that is improved, its baseline, and a result file for every AlphaNet."""
    import torch

    from vision_studies.pipelines.alphanet.work.original_format import write_data_sets

    accuracies = read_experiments([study.file(study.outputs / "accuracies.csv")])
    experiments = accuracies[~accuracies["baseline"]].drop_duplicates(["experiment", "repeat"])
    fitted = study.table("classifiers.parquet", _FITTED)
    runs = {(row["variant"], row["seed"]): (row, run) for row, run in study.complete_runs()}
    data_sets: dict[tuple[str, int], _DataSet] = {}
    for label in experiments["classifier"].unique():
        sets = fitted[fitted["variant"] == label].sort_values("seed").to_dict("records")
        for row in sets:
            features, classifier = open_classifier(study.runs, row)
            name = re.sub(r"[^\w.-]+", "_", f"{features.name}_{label}").lstrip("_.-")
            name += f"_{row['seed']}" if len(sets) > 1 else ""
            data_sets[label, row["seed"]] = _DataSet(name, features, classifier)
    write_data_sets(folder, {each.name: (each.features, each.classifier) for each in data_sets.values()})
    (folder / "baselines").mkdir()
    swept = experiments[["neighbours", "distance"]].drop_duplicates().shape[0] > 1
    for (label, number), data_set in data_sets.items():
        if (label, number) in runs:
            row, run = runs[label, number]
            some = experiments.loc[experiments["classifier"] == label, "experiment"].iloc[0]
            settings = next(_settings(run) for (name, _), (_, run) in runs.items() if name == some)
            torch.save(data_set.baseline(row, run, settings), folder / f"baselines/{data_set.name}.pth")
    for experiment in experiments.to_dict("records"):
        label, repeat = experiment["classifier"], experiment["repeat"]
        if (experiment["experiment"], repeat) not in runs:
            continue
        row, run = runs[experiment["experiment"], repeat]
        number = sum(name == label for name, _ in data_sets)
        data_set = data_sets[label, repeat % number]
        place = f"nnsweep_{experiment['distance']}" if swept else "main"
        place = f"results/{place}/{data_set.name}/rho_{experiment['rho']:g}"
        place += f"/k_{experiment['neighbours']:g}" if swept else ""
        file = folder / place / f"rep_{repeat}/result.pth"
        file.parent.mkdir(parents=True)
        torch.save(data_set.improved(study, row, run), file)


def open_classifier(runs: Path, row: Mapping[str, Any]) -> "tuple[FeatureSet, LinearClassifier]":
    """A fitted classifier with the features that it takes.

    Args:
        runs: folder of the pipeline's runs.
        row: of the classifier, in the table of classifiers or of results: configuration and run_fingerprint.

    Raises:
        DataError: the features are gone.
        CheckpointError: the classifier's file is missing or damaged.
    """
    from vision_studies.pipelines.alphanet.work.features import has_feature_set
    from vision_studies.pipelines.alphanet.work.linear_classifier import load_classifier
    from vision_studies.pipelines.alphanet.work.sources import open_source

    configuration = json.loads(row["configuration"])
    folder = runs / "features" / configuration["features"]
    if not has_feature_set(folder / "features"):
        raise DataError(f"The features in {folder} are gone; run the study again.")
    source = open_source(folder)
    wide = len(source.experts) == 1 or configuration["classifier.name"] == "multi_expert"
    return source.taken(wide=wide), load_classifier(runs / row["run_fingerprint"] / CLASSIFIER_FILE)


@dataclass(frozen=True)
class _DataSet:
    """Features with a classifier, and what result files say of both."""

    name: str
    features: "FeatureSet"
    classifier: "LinearClassifier"

    @cached_property
    def means(self) -> np.ndarray:
        """Mean training features of classes, float32 [classes, d]."""
        from vision_studies.pipelines.alphanet.work.features import class_means

        return class_means(self.features.groups["train"], self.features.num_classes)

    def improved(self, study: StoredStudy, row: Mapping[str, Any], run: StoredRun) -> dict[str, Any]:
        """The result file of an AlphaNet."""
        from vision_studies.pipelines.alphanet.work.neighbours import Neighbours
        from vision_studies.training.checkpoints import load_state

        settings = _settings(run)
        state = load_state(study.part(run, COMBINATIONS_FILE))
        few = self.features.splits.few
        neighbours = Neighbours(few, state["neighbours"].numpy(), state["distances"].numpy())
        validated = "validation" in self.features.groups
        return {
            **self._described(neighbours, settings.distance),
            "alphanet": _network(settings.network, dummy=False),
            "training_config": _training(settings, validated=validated),
            "epoch_data__seq": self._epochs(run, settings, state["batch_losses"].tolist()),
            "best_epoch": int(run.metric("best_epoch")) - 1 if validated else None,
            "best_alphanet_classifier_state_dict": self._state(state["layers"], neighbours.number),
            **self._tested(row, run),
        }

    def baseline(self, row: Mapping[str, Any], run: StoredRun, settings: CombinationRunSettings) -> dict[str, Any]:
        """The result file of the classifier as it is: an AlphaNet that has learnt nothing and changes nothing."""
        import torch

        from vision_studies.pipelines.alphanet.work.neighbours import few_neighbours

        number = min(_BASELINE_NEIGHBOURS, len(self.features.splits.base))
        neighbours = few_neighbours(self.means, self.features.splits, number, _BASELINE_DISTANCE)
        widths = [(number + 1) * self.features.num_features, *settings.network.hidden, number]
        layers = [(torch.zeros(after, before), torch.zeros(after)) for before, after in pairwise(widths)]
        validated = "validation" in self.features.groups
        epochs = {"train_epochs": 0, "min_epochs": 0, "n_neighbors": number, "nn_dist": _BASELINE_DISTANCE}
        return {
            **self._described(neighbours, _BASELINE_DISTANCE),
            "alphanet": _network(settings.network, dummy=True),
            "training_config": _training(settings, validated=validated) | epochs,
            "epoch_data__seq": [],
            "best_epoch": None,
            "best_alphanet_classifier_state_dict": self._state(layers, number),
            **self._tested(row, run),
        }

    def _described(self, neighbours: "Neighbours", distance: str) -> dict[str, Any]:
        import torch

        few, base = self.features.splits.few, self.features.splits.base
        weight, bias, means = (torch.tensor(v) for v in (self.classifier.weight, self.classifier.bias, self.means))
        rows = {
            int(label): torch.tensor([label, *near])
            for label, near in zip(neighbours.classes, neighbours.labels, strict=True)
        }
        groups = self.features.groups
        return {
            "train_data_info": self._info("train", groups["train"]),
            "val_data_info": self._info("validation", groups["validation"]) if "validation" in groups else None,
            "nn_info": {
                "n_neighbors": neighbours.number,
                "nn_dist": distance,
                "nn_class__seq__per__fclass": {label: row[1:].tolist() for label, row in rows.items()},
                "nn_mean_feat__mat__per__fclass": {label: means[row] for label, row in rows.items()},
                "nn_clf__per__fclass": {
                    label: {"weight": weight[row], "bias": bias[row]} for label, row in rows.items()
                },
            },
            "alphanet_source__mat__seq": [weight[row] for row in rows.values()],
            "fbclass_ordered_idx__vec": torch.argsort(torch.tensor([*few, *base])),
        }

    def _info(self, group: str, part: "FeatureGroup") -> dict[str, Any]:
        splits = self.features.splits
        labels, counts = np.unique(part.labels, return_counts=True)
        return {
            "dataset_name": self.name,
            "datagrp": _GROUPS[group],
            "n_features": self.features.num_features,
            "n_imgs": len(part.labels),
            "n_classes": len(labels),
            "n_base_classes": len(labels) - len(splits.few),
            "n_few_classes": len(splits.few),
            "n_imgs__per__class": dict(zip(labels.tolist(), counts.tolist(), strict=True)),
            "class__set__per__split": {split: set(getattr(splits, split).tolist()) for split in reversed(SPLITS)},
        }

    def _epochs(self, run: StoredRun, settings: CombinationRunSettings, losses: list[float]) -> list[dict[str, Any]]:
        import torch

        from vision_studies.pipelines.alphanet.work.samplers import ClassIndex
        from vision_studies.pipelines.alphanet.work.training import epoch_order

        index = ClassIndex(self.features.groups["train"].labels, self.features.splits)
        epochs, seen = [], 0
        for row in run.history().to_dict("records"):
            order = epoch_order(settings.training.samplers, index, run.description["seed"], int(row["epoch"])).numpy()
            steps = -(-len(order) // settings.training.batch_size)
            labels, counts = np.unique(index.labels[order], return_counts=True)
            per_class = dict(zip(labels.tolist(), counts.tolist(), strict=True))
            alphas = {
                name: torch.tensor([1.0, *(row[f"coefficient_{place}_{column}"] for place in _places(settings))])
                for name, column in (("mean", "mean"), ("min", "minimum"), ("max", "maximum"))
            }
            validated = "validation_accuracy" in row
            epochs.append(
                {
                    "n_train__per__class": per_class,
                    "n_train__per__split": {
                        split: sum(per_class.get(label, 0) for label in getattr(self.features.splits, split).tolist())
                        for split in SPLITS
                    },
                    "mean_batch_loss__seq": losses[seen : seen + steps],
                    **{f"{name}_alpha__vec": vector for name, vector in alphas.items()},
                    "val_metrics": {
                        "accuracy": row["validation_accuracy"],
                        "top-5 accuracy": row["validation_top_5"],
                        "f1": row["validation_f1"],
                    }
                    if validated
                    else None,
                    "val_acc__per__split": {split: row[f"validation_{split}"] for split in SPLITS}
                    if validated
                    else None,
                    "val_acc__per__class": None,
                }
            )
            seen += steps
        return epochs

    def _state(self, layers: list[Any], neighbours: int) -> dict[str, Any]:
        """Weights of the network and of the base classes, under the names of the project's modules."""
        import torch

        (first, first_bias), *others = layers
        few, base = self.features.splits.few, self.features.splits.base
        state = {
            "alphanet_b__vec": torch.tensor(self.classifier.bias[few]),
            "alphanet.conv_layer.weight": first.view(len(first), 1, neighbours + 1, self.features.num_features),
            "alphanet.conv_layer.bias": first_bias,
        }
        for number, (weight, bias) in enumerate(others):
            state |= {f"alphanet.linear_layer__seq.{number}.weight": weight}
            state |= {f"alphanet.linear_layer__seq.{number}.bias": bias}
        base_weight, base_bias = torch.tensor(self.classifier.weight[base]), torch.tensor(self.classifier.bias[base])
        return {**state, "base_clf.weight": base_weight, "base_clf.bias": base_bias}

    def _tested(self, row: Mapping[str, Any], run: StoredRun) -> dict[str, Any]:
        from vision_studies.pipelines.alphanet.work.accuracy import class_accuracies
        from vision_studies.pipelines.alphanet.work.evaluation import predicted_on_test

        predictions, among_top = predicted_on_test(run.folder)
        labels = self.features.groups["test"].labels
        by_class = class_accuracies(predictions == labels, labels, self.features.num_classes)
        other = run.stages["evaluation"]["metrics"]["other_metrics"]
        return {
            "test_metrics": {
                "accuracy": float(row["test_accuracy"]),
                "top-5 accuracy": float(among_top.mean()),
                "f1": float(other["test_f1"]),
            },
            "test_acc__per__split": {split: other[f"test_{split}"] for split in SPLITS if f"test_{split}" in other},
            "test_acc__per__class": {label: float(value) for label, value in enumerate(by_class) if value == value},  # noqa: PLR0124
        }


def _settings(run: StoredRun) -> CombinationRunSettings:
    return CombinationRunSettings.model_validate(run.description["configuration"]["combinations"])


def _places(settings: CombinationRunSettings) -> range:
    return range(1, settings.neighbours + 1)


def _network(settings: AlphaNetworkSettings, *, dummy: bool) -> dict[str, Any]:
    return {"hdims": settings.hidden, "hact": settings.activation, "dummy_mode": dummy, "debug": False}


def _training(settings: CombinationRunSettings, *, validated: bool) -> dict[str, Any]:
    training = settings.training
    optimizer, scheduler = _by_name("optim", training.optimizer), _by_name("lr_sched", training.scheduler)
    return {
        "n_neighbors": settings.neighbours,
        "nn_dist": settings.distance,
        "ptopt": optimizer | scheduler,
        "train_epochs": training.epochs,
        "min_epochs": training.minimum_epochs,
        "train_batch_size": training.batch_size,
        "eval_batch_size": training.evaluation_batch_size,
        "sampler_builder": {
            "sampler_classes": tuple(_sampler_name(sampler.name) for sampler in training.samplers),
            "sampler_args": tuple(
                {} if sampler.ratio is None else {"r": sampler.ratio} for sampler in training.samplers
            ),
        },
        "train_datagrp": "train",
        "val_datagrp": "val" if validated else None,
        "test_datagrp": "test",
        "pred_scale": training.prediction_scale,
    }


def _by_name(prefix: str, settings: TorchSettings | None) -> dict[str, Any]:
    name, parameters = (None, None) if settings is None else (settings.name, dict(settings.parameters))
    return {f"{prefix}_cls": name, f"{prefix}_params": parameters}


def _sampler_name(name: str) -> str:
    """`class_balanced_base` -> ClassBalancedBaseSampler."""
    return "".join(word.capitalize() for word in name.split("_")) + "Sampler"


PUBLISHED = Published("alphanet", write_study)
