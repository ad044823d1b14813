"""The runs of `alphanet`: backbones, classifiers on their features, and AlphaNets that improve these."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision_studies.config.data_prep import LongTailSettings
from vision_studies.costs import Costs
from vision_studies.errors import DataError
from vision_studies.files import hash_json, remove_leftovers, write_json
from vision_studies.pipelines.alphanet.settings import AlphanetSettings, ImportSettings
from vision_studies.project_folders import in_project
from vision_studies.studies.method import Context
from vision_studies.studies.run_store import RunStore
from vision_studies.studies.runs import Run
from vision_studies.studies.stages import Artifact

if TYPE_CHECKING:
    from vision_studies.classifiers.linear import LinearClassifier
    from vision_studies.data.class_splits import ClassSplits
    from vision_studies.data.prepared import PreparedData
    from vision_studies.models.pretrained import OpenedBackbone
    from vision_studies.pipelines.alphanet.costs import MadeUpFeatures
    from vision_studies.pipelines.alphanet.work.features import FeatureSet
    from vision_studies.pipelines.alphanet.work.original_format import OriginalDataSet
    from vision_studies.pipelines.alphanet.work.sources import FeatureSource

TRAINING = "training"
FEATURES = "features"
_TAILS = "long_tails"
_CUT_FROM = "cut_from"  # in the note of a tail
CLASSIFIER_FILE, COMBINATIONS_FILE = "classifier.safetensors", "combinations.safetensors"
CANDIDATES, TRADE_OFF = "candidates", "candidates/accuracies.json"
"""Of a classifier's run: what it was chosen from, one file a value of its knob; and test accuracies of each."""


@dataclass(frozen=True)
class Experiment:
    """A run, and where it stands in the tables.

    Attributes:
        classifier: label of the classifier that it is or improves.
        repeat: from 0.
        run: what is fitted or trained.
        rho, neighbours, distance: of an AlphaNet; None of a baseline.
    """

    classifier: str
    repeat: int
    run: Run
    rho: float | None = None
    neighbours: int | None = None
    distance: str | None = None


@dataclass(frozen=True)
class Plan:
    """All runs of a study, and where what they share lies.

    Attributes:
        context: where and with what.
    """

    context: Context[AlphanetSettings]

    @property
    def settings(self) -> AlphanetSettings:
        """Of the study."""
        return self.context.settings

    @property
    def runs(self) -> RunStore:
        """Where runs lie."""
        return self.context.runs

    def prepared(self, repeat: int = 0) -> "PreparedData":
        """The images that the features of a repeat are made from.

        Raises:
            DataError: the study has none.
        """
        if self.context.data is None:
            raise DataError(
                "alphanet.imported is null but the study's catalog has no images; name another environment than "
                "alphanet_imported, or set alphanet.imported."
            )
        if self.settings.tails == "one":
            return self.context.data
        return self._tails[repeat % len(self._tails)]

    @cached_property
    def _tails(self) -> "list[PreparedData]":
        """The images with the tail of each repeat."""
        tails = [self.settings.tail(repeat) for repeat in range(self.settings.repeats)]
        return [
            with_tail(self.context.data, tail) for tail in tails if tail is not None and self.context.data is not None
        ]

    def class_splits(self, repeat: int = 0) -> "ClassSplits":
        """Few, medium and many classes of the images of a repeat."""
        from vision_studies.pipelines.alphanet.work.sources import class_splits

        return class_splits(self.prepared(repeat), self.settings.splits)

    def backbone_runs(self) -> list[list[Run]]:
        """For every seed one run an expert; none where features are imported, or those of a pretrained network."""
        if not self.settings.trains_backbones:
            return []
        backbone = self.settings.backbone
        shared = backbone.run.model_dump(mode="json")

        def run(repeat: int, seed: int, expert: int) -> Run:
            fingerprint = self.prepared(repeat).fingerprint
            variant = "backbone" if backbone.experts == 1 else f"expert {expert + 1}"
            return self.context.run(variant, seed, {"backbone": shared, "expert": expert}, data=fingerprint)

        seeds = enumerate(backbone.seeds)
        return [[run(repeat, seed, expert) for expert in range(backbone.experts)] for repeat, seed in seeds]

    @cached_property
    def pretrained(self) -> "tuple[OpenedBackbone, int] | None":
        """The pretrained network whose features are taken, and the height and width of the images that it is shown; None where
        the study trains its networks.

        Raises:
            BackboneError: there is no such network, or its weights are missing or wrong; and as `open_any_backbone`.
            ParameterError: it takes images of another size.
        """
        from vision_studies.serving.trained_backbones import open_any_backbone, pixels_for

        asked = self.settings.pretrained
        if asked is None:
            return None
        opened = open_any_backbone(asked.backbone)
        return opened, pixels_for(opened, asked.pixels, "alphanet.pretrained.pixels")

    @cached_property
    def source_folders(self) -> list[Path]:
        """Where the features of every repeat are kept; one folder where all repeats share them."""
        from vision_studies.pipelines.alphanet.work.sources import files_fingerprint

        folder = self.runs.folder / FEATURES
        if (original := original_data_set(self.settings.imported)) is not None:
            return [folder / files_fingerprint(original)]
        return [
            folder / features_name(self.class_splits(repeat), self.settings.validation, networks)
            for repeat, networks in enumerate(self._networks())
        ]

    def _networks(self) -> list[list[str]]:
        """What tells the networks of each set of features from others: fingerprints of the runs that have trained them, or
        the pretrained network with the images that it is shown.
        """
        if self.pretrained is None:
            return [[run.fingerprint for run in runs] for runs in self.backbone_runs()]
        opened, pixels = self.pretrained
        return [
            [hash_json([self.prepared(repeat).fingerprint, opened.weights, pixels])]
            for repeat in range(self.settings.feature_sets)
        ]

    def source(self, repeat: int) -> "FeatureSource":
        """Features of a repeat."""
        from vision_studies.pipelines.alphanet.work.sources import open_source

        return open_source(self.source_folder(repeat))

    def source_folder(self, repeat: int) -> Path:
        """Where the features of a repeat are kept."""
        return self.source_folders[repeat % len(self.source_folders)]

    def is_wide(self, label: str) -> bool:
        """Whether a classifier takes the features of all experts; others take those of the first."""
        return self._method(label)["name"] == "multi_expert"

    def features(self, label: str, repeat: int) -> "FeatureSet":
        """Features that a classifier takes."""
        return self.source(repeat).taken(wide=self.is_wide(label))

    def classifiers(self) -> list[Experiment]:
        """The baselines, one a label and network."""
        return [
            Experiment(classifier.label, repeat, self._classifier_run(classifier.label, repeat))
            for repeat in range(len(self.source_folders))
            for classifier in self.settings.classifiers
        ]

    def experiments(self) -> list[Experiment]:
        """The AlphaNets, one an improved classifier, number of neighbours, distance, rho and repeat."""
        settings, experiments = self.settings, []
        grid = product(settings.improved, settings.distances, settings.neighbours, settings.rhos)
        for label, distance, neighbours, rho in grid:
            configuration = settings.experiment(neighbours, distance, rho).model_dump(mode="json")
            name = f"{label}, rho {rho:g}"
            name += f", k {neighbours}" if len(settings.neighbours) > 1 else ""
            name += f", {distance}" if len(settings.distances) > 1 else ""
            for repeat in range(settings.repeats):
                base = self._classifier_run(label, repeat)
                whole = {**base.configuration, "combinations": configuration}
                run = self.context.run(name, repeat, whole, data=base.data_fingerprint)
                experiments.append(Experiment(label, repeat, run, rho, neighbours, distance))
        return experiments

    @cached_property
    def of_run(self) -> dict[str, Experiment]:
        """What every run is, by its fingerprint."""
        return {each.run.fingerprint: each for each in (*self.classifiers(), *self.experiments())}

    def classifier_folder(self, label: str, repeat: int) -> Path:
        """Folder of a fitted classifier."""
        return self.runs.path(self._classifier_run(label, repeat))

    def classifier(self, experiment: Experiment) -> "LinearClassifier":
        """The classifier that an experiment is or improves."""
        from vision_studies.pipelines.alphanet.work.linear_classifier import load_classifier

        return load_classifier(self.classifier_folder(experiment.classifier, experiment.repeat) / CLASSIFIER_FILE)

    def feature_sets(self) -> list[Artifact]:
        """Features of every repeat, as they are made from networks or imported."""
        from vision_studies.pipelines.alphanet.work.features import description_file

        networks = self.backbone_runs()
        return [
            Artifact(
                name=f"features, repeat {repeat}",
                file=description_file(folder / "features"),
                make=partial(self._make_features, repeat),
                cost=self.feature_costs,
                lock=folder / ".lock",
                needs=[(run, TRAINING) for run in networks[repeat]] if networks else [],
                waits="when their networks have been trained",
                new="not made yet",
                remove=folder,
            )
            for repeat, folder in enumerate(self.source_folders)
        ]

    @property
    def has_shape_of_features(self) -> bool:
        """Whether it is known how many numbers features have, and of which images: of imported ones when they are read."""
        from vision_studies.pipelines.alphanet.work.features import description_file

        return self.settings.imported is None or description_file(self.source_folder(0) / "features").exists()

    def made_up_features(self) -> "MadeUpFeatures":
        """Numbers of the shape that features have, for the time that work with them takes."""
        import numpy as np

        from vision_studies.models.statistics import without_values
        from vision_studies.pipelines.alphanet.costs import MadeUpFeatures
        from vision_studies.pipelines.alphanet.work.sources import classifier_layer
        from vision_studies.training.network_run import build_network

        if self.settings.imported is not None:
            features = self.source(0).features
            train, validation = features.groups["train"], features.groups.get("validation")
            labels = None if validation is None else validation.labels
            return MadeUpFeatures(features.num_features, train.labels, labels, features.splits, features.class_names)
        data, carved = self.prepared(), self.settings.validation == "carved"
        if self.pretrained is not None:
            width = self.pretrained[0].backbone.width
        else:
            with without_values():
                width = classifier_layer(build_network(self.settings.backbone.run, data)).in_features
        learns = [data.splits.train, *([] if carved else [data.splits.validation])]
        labels = np.asarray(data.image_set.labels)
        validation = labels[data.splits.validation] if carved else None
        return MadeUpFeatures(
            width, labels[np.concatenate(learns)], validation, self.class_splits(), data.image_set.class_names
        )

    def feature_costs(self) -> Costs:
        """What it costs to make the features of a repeat: every image goes through every network."""
        from dataclasses import replace

        from vision_studies.training.network_costs import training_costs

        if self.settings.imported is not None:
            return ()
        data, backbone = self.prepared(), self.settings.backbone
        if self.pretrained is not None:
            from vision_studies.pipelines.alphanet.costs import pretrained_feature_cost

            own = data if self.context.data is None else self.context.data
            share = self.settings.feature_sets  # all sets are taken from the same features
            return [pretrained_feature_cost(own, *self.pretrained, self.context.device, share)]
        *_, predict = training_costs(backbone.run, data, self.context.device)
        images = sum(len(getattr(data.splits, split)) for split in ("train", "validation", "test"))
        return [replace(predict, units=backbone.experts * images, least=None)]

    def _make_features(self, repeat: int) -> None:
        from vision_studies.pipelines.alphanet.work import sources

        folder = self.source_folders[repeat]
        remove_leftovers(folder)
        if (original := original_data_set(self.settings.imported)) is not None:
            sources.features_from_files(original, folder)
            return
        data = self.prepared(repeat)
        whole = self.context.data if self.settings.tails == "each_repeat" else None
        cut_from = None if whole is None else whole.fingerprint
        note_tail(self.runs.folder, data.fingerprint, self.settings.tail(repeat), cut_from)
        validated = self.settings.validation == "carved"
        if self.pretrained is not None:
            splits, device = self.class_splits(repeat), self.context.device
            whole = self.context.images
            sources.features_from_backbone(data, whole, *self.pretrained, splits, folder, device, validated=validated)
            return
        sources.features_from_images(
            data,
            [self.runs.path(run) for run in self.backbone_runs()[repeat]],
            self.settings.backbone.run,
            self.class_splits(repeat),
            folder,
            self.context.device,
            validated=validated,
        )

    def _classifier_run(self, label: str, repeat: int) -> Run:
        """The run that fits a classifier; where repeats share features, they share it, too."""
        repeat %= len(self.source_folders)
        folder = self.source_folders[repeat].name
        data = folder if self.settings.imported is not None else self.prepared(repeat).fingerprint
        return self.context.run(label, repeat, {"classifier": self._method(label), "features": folder}, data=data)

    def _method(self, label: str) -> dict[str, Any]:
        methods = {classifier.label: classifier.method for classifier in self.settings.classifiers}
        return methods[label].model_dump(mode="json")


def original_data_set(imported: ImportSettings | None) -> "OriginalDataSet | None":
    """What is imported; None where features are made from images.

    Raises:
        DataError: it is not described, or wrongly.
    """
    from vision_studies.pipelines.alphanet.work.original_format import read_registry

    if imported is None:
        return None
    registry = in_project(imported.registry)
    if not registry.is_file():
        raise DataError(
            f"alphanet.imported.registry: there is no file {registry}; name the datasets.toml that describes the "
            "features."
        )
    return read_registry(registry, imported.data_set)


def study_data(settings: AlphanetSettings, data: "PreparedData") -> "PreparedData | None":
    """Images with a long tail, where the study cuts one for all repeats; none where features are imported."""
    if settings.imported is not None:
        return None
    return (
        data if settings.long_tail is None or settings.tails == "each_repeat" else with_tail(data, settings.long_tail)
    )


def with_tail(data: "PreparedData", tail: LongTailSettings) -> "PreparedData":
    """Images of which a long tail is kept. Raises DataError where a class would keep none."""
    from vision_studies.data.prepared import PreparedData
    from vision_studies.data.splits import cut_tail, units_of_images

    units = units_of_images(data.image_set)
    return PreparedData(data.image_set, cut_tail(data.splits, data.image_set.labels, tail, units), {})


def features_name(splits: "ClassSplits", validation: str, networks: Sequence[str]) -> str:
    """Name of a folder of features: a hash of all that they come from.

    Args:
        splits: the classes themselves, as files of splits may change under their names.
        validation: as the settings have it.
        networks: fingerprints of the runs that have trained them.
    """
    return hash_json([splits.names().tolist(), validation, list(networks)])[:16]


def note_tail(runs: Path, fingerprint: str, tail: LongTailSettings | None, cut_from: str | None = None) -> None:
    """Note in the folder of runs by which tail images with this fingerprint were cut of the prepared ones; None: by none.

    Args:
        runs: the folder.
        fingerprint: of the images with the tail.
        tail: how it was cut.
        cut_from: fingerprint of the images that each repeat of the study cuts a tail of its own from; None: all have this one.
    """
    if tail is not None:
        of = {} if cut_from is None else {_CUT_FROM: cut_from}
        write_json(runs / _TAILS / f"{fingerprint}.json", {**tail.model_dump(mode="json"), **of})


def noted_tail(runs: Path, fingerprint: str) -> LongTailSettings | None:
    """What `note_tail` has noted; None where that is nothing, or damaged."""
    return _noted(runs, fingerprint)[0]


def images_name(runs: Path, fingerprint: str) -> str:
    """What images are called in reports: those of which each repeat has a tail of its own have one name, as repeats differ by
    their tails as by everything else that a seed decides.
    """
    tail, cut_from = _noted(runs, fingerprint)
    if tail is None or cut_from is None:
        return fingerprint[:6]
    alike = hash_json([cut_from, tail.model_dump(mode="json", exclude={"seed"})])
    return f"{alike[:6]}, other rare classes in every repeat"


def _noted(runs: Path, fingerprint: str) -> tuple[LongTailSettings | None, str | None]:
    try:
        noted = json.loads((runs / _TAILS / f"{fingerprint}.json").read_text(encoding="utf-8"))
        cut_from = noted.pop(_CUT_FROM, None)
        return LongTailSettings.model_validate(noted), cut_from
    except (OSError, ValueError, AttributeError):
        return None, None
