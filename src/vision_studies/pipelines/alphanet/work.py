"""The runs of `alphanet`: which there are, and doing them."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import groupby, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from vision_studies.config.alphanet import AlphanetSettings, CombinationRunSettings
from vision_studies.config.cifar_resnet import RunSettings
from vision_studies.config.execution import ExecutionSettings
from vision_studies.config.long_tail_classifiers import ClassifierSettings
from vision_studies.config.study import StudySettings
from vision_studies.errors import DataError
from vision_studies.files import hash_json
from vision_studies.stored_tables import read_table
from vision_studies.studies.execution import execute, require_networks
from vision_studies.studies.results import COMPLETE
from vision_studies.studies.runs import Run
from vision_studies.studies.stacks import Record, execute_stacks
from vision_studies.studies.stages import Outcome, is_finished, read_stage, run_folder

if TYPE_CHECKING:
    from vision_studies.data.class_splits import ClassSplits
    from vision_studies.data.prepared import PreparedData
    from vision_studies.methods.alphanet.classifiers import LinearClassifier
    from vision_studies.methods.alphanet.features import FeatureSet
    from vision_studies.methods.alphanet.original_format import OriginalDataSet
    from vision_studies.methods.alphanet.sources import FeatureSource

PIPELINE = "alphanet"
TRAINING, FITTING, EVALUATION = "training", "fitting", "evaluation"
CLASSIFIER_FILE, COMBINATIONS_FILE = "classifier.safetensors", "combinations.safetensors"


@dataclass(frozen=True)
class Experiment:
    """A run with its place in the tables.

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
class Workplace:
    """All that a run needs besides its own settings."""

    settings: AlphanetSettings
    study: StudySettings
    execution: ExecutionSettings
    data: "PreparedData | None"
    folder: Path

    def prepared(self) -> "PreparedData":
        """The images that features are made from.

        Raises:
            DataError: the study has none.
        """
        if self.data is None:
            raise DataError(
                "alphanet.imported is null but the study's catalog has no images; name another environment than "
                "alphanet_imported, or set alphanet.imported."
            )
        return self.data

    def original(self) -> "OriginalDataSet":
        """What is imported.

        Raises:
            DataError: it is not described, or wrongly.
        """
        from vision_studies.methods.alphanet.original_format import read_registry

        imported = self.settings.imported
        if imported is None:
            raise DataError("alphanet.imported is null; name a data set in the original's files.")
        if not imported.registry.is_file():
            raise DataError(
                f"alphanet.imported.registry: there is no file {imported.registry}; name the datasets.toml that describes the "
                "features."
            )
        return read_registry(imported.registry, imported.data_set)

    @cached_property
    def class_splits(self) -> "ClassSplits":
        """Few, medium and many classes of the images."""
        from vision_studies.methods.alphanet.sources import class_splits

        return class_splits(self.prepared(), self.settings.splits)

    def backbone_runs(self) -> list[list[Run]]:
        """For every seed one run an expert; none where features are imported."""
        from vision_studies.methods.alphanet import METHOD_VERSION

        if self.settings.imported is not None:
            return []
        backbone, data = self.settings.backbone, self.prepared()
        shared = backbone.run.model_dump(mode="json")

        def run(seed: int, expert: int) -> Run:
            variant = "backbone" if backbone.experts == 1 else f"expert {expert + 1}"
            configuration = {"backbone": shared, "expert": expert}
            return Run(PIPELINE, self.study.name, variant, 0, seed, configuration, data.fingerprint, METHOD_VERSION)

        return [[run(seed, expert) for expert in range(backbone.experts)] for seed in backbone.seeds]

    @cached_property
    def source_folders(self) -> list[Path]:
        """Where the features of every repeat are kept; one folder where all repeats share them."""
        if self.settings.imported is not None:
            from vision_studies.methods.alphanet.sources import files_fingerprint

            return [self.folder / "features" / files_fingerprint(self.original())]
        # The classes themselves: files of splits may change under their names.
        kept = [self.class_splits.names().tolist(), self.settings.validation]
        return [
            self.folder / "features" / hash_json([*kept, [run.fingerprint for run in runs]])[:16]
            for runs in self.backbone_runs()
        ]

    def source(self, repeat: int) -> "FeatureSource":
        """Features of a repeat."""
        from vision_studies.methods.alphanet.sources import open_source

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
            Experiment(own.label, repeat, self._classifier_run(own.label, repeat))
            for repeat in range(len(self.source_folders))
            for own in self.settings.classifiers
        ]

    def experiments(self) -> list[Experiment]:
        """The AlphaNets, one an improved classifier, number of neighbours, distance, rho and repeat."""
        settings, found = self.settings, []
        grid = product(settings.improved, settings.distances, settings.neighbours, settings.rhos)
        for label, distance, neighbours, rho in grid:
            configuration = settings.experiment(neighbours, distance, rho).model_dump(mode="json")
            name = self._name(label, distance, neighbours, rho)
            for repeat in range(settings.repeats):
                base = self._classifier_run(label, repeat % len(self.source_folders))
                whole = {**base.configuration, "combinations": configuration}
                run = Run(PIPELINE, self.study.name, name, 0, repeat, whole, base.data_fingerprint, base.method_version)
                found.append(Experiment(label, repeat, run, rho, neighbours, distance))
        return found

    def classifier_folder(self, label: str, repeat: int) -> Path:
        """Folder of a fitted classifier."""
        return run_folder(self.folder, self._classifier_run(label, repeat % len(self.source_folders)))

    def _classifier_run(self, label: str, repeat: int) -> Run:
        from vision_studies.methods.alphanet import METHOD_VERSION

        folder = self.source_folders[repeat]
        configuration = {"classifier": self._method(label), "features": folder.name}
        known = self.data.fingerprint if self.settings.imported is None and self.data is not None else folder.name
        return Run(PIPELINE, self.study.name, label, 0, repeat, configuration, known, METHOD_VERSION)

    def _method(self, label: str) -> dict[str, Any]:
        own = next(own for own in self.settings.classifiers if own.label == label)
        return own.method.model_dump(mode="json")

    def _name(self, label: str, distance: str, neighbours: int, rho: float) -> str:
        parts = [label, f"rho {rho:g}"]
        if len(self.settings.neighbours) > 1:
            parts.append(f"k {neighbours}")
        if len(self.settings.distances) > 1:
            parts.append(distance)
        return ", ".join(parts)


def train_backbones(place: Workplace, *, fresh: bool) -> list[Run]:
    """Train the networks that are not trained yet; return their runs. Fresh ones need their features anew.

    Raises:
        DataError: one of them has not given a network.
    """
    for folder in place.source_folders if fresh else ():
        shutil.rmtree(folder, ignore_errors=True)
    runs = [run for experts in place.backbone_runs() for run in experts]
    execute(runs, TRAINING, partial(_train_backbone, place=place), place.folder, place.execution, fresh=fresh)
    rate = "alphanet.backbone.run.training.optimizer.learning_rate"
    require_networks(place.folder, runs, TRAINING, name="backbone", learning_rate=rate)
    return runs


def fit_classifiers(place: Workplace, *, fresh: bool) -> list[Run]:
    """Fit the baselines that are not fitted yet."""
    runs = [own.run for own in place.classifiers()]
    labels = {own.run.fingerprint: own.classifier for own in place.classifiers()}
    execute(runs, FITTING, partial(_fit, place=place, labels=labels), place.folder, place.execution, fresh=fresh)
    return runs


def learn_combinations(place: Workplace, *, fresh: bool) -> list[Run]:
    """Train the AlphaNets that are not trained yet; those on one classifier share its logits."""
    experiments = {own.run.fingerprint: own for own in place.experiments()}

    def shared(run: Run) -> str:
        own = experiments[run.fingerprint]
        return str(place.classifier_folder(own.classifier, own.repeat))

    def group(runs: Sequence[Run]) -> list[list[Run]]:
        return [list(own) for _, own in groupby(sorted(runs, key=shared), key=shared)]

    runs = [own.run for own in experiments.values()]
    work = partial(_learn, place=place, experiments=experiments)
    execute_stacks(runs, TRAINING, work, group, place.folder, place.execution, fresh=fresh)
    if place.settings.tensorboard:
        _write_logs(place, [run for run in runs if is_complete(place.folder, run, TRAINING)])
    return [own.run for own in place.experiments()]


def _write_logs(place: Workplace, runs: Sequence[Run]) -> None:
    """Logs of the runs that have none, be they trained now or earlier."""

    from vision_studies.methods.alphanet.event_logs import write_event_logs
    from vision_studies.training.checkpoints import load_state

    for folder in [run_folder(place.folder, run) for run in runs]:
        if not (folder / "tensorboard").exists():
            losses = load_state(folder / COMBINATIONS_FILE)["batch_losses"]
            history = read_table(folder / "history.parquet", "delete its folder and run the study again")
            write_event_logs(losses, history, folder / "tensorboard")


def is_complete(folder: Path, run: Run, stage: str) -> bool:
    """Whether a stage of a run has given what it should."""
    result = read_stage(folder, run, stage)
    return result is not None and result["status"] == COMPLETE


def _train_backbone(run: Run, folder: Path, *, place: Workplace) -> Outcome:
    from vision_studies.methods import cifar_resnet
    from vision_studies.training.distributed import training_device
    from vision_studies.training.runtime import derived_seed

    settings = RunSettings.model_validate(run.configuration["backbone"])
    expert = run.configuration["expert"]
    seed = derived_seed(run.seed, expert) if expert else run.seed
    processes = place.execution.processes_per_run
    device = training_device(place.execution.device, processes)
    return cifar_resnet.train(settings, seed, place.prepared(), folder, device, processes=processes)


def _fit(run: Run, folder: Path, *, place: Workplace, labels: dict[str, str]) -> Outcome:
    from vision_studies.methods.alphanet.classifiers import save_classifier
    from vision_studies.methods.alphanet.fitting import fit
    from vision_studies.training.runtime import select_device

    label = labels[run.fingerprint]
    settings: ClassifierSettings = TypeAdapter(ClassifierSettings).validate_python(run.configuration["classifier"])
    features, experts = place.features(label, run.seed), place.source(run.seed).experts
    classifier, metrics = fit(settings, features, experts, run.seed, select_device(place.execution.device))
    save_classifier(classifier, folder / CLASSIFIER_FILE)
    return Outcome(metrics)


def _learn(
    stack: Sequence[Run], folder: Path, record: Record, *, place: Workplace, experiments: dict[str, Experiment]
) -> None:
    from vision_studies.methods.alphanet.experiments import Combination, learn
    from vision_studies.training.checkpoints import save_state
    from vision_studies.training.runtime import select_device

    own = experiments[stack[0].fingerprint]
    asked = [
        Combination(CombinationRunSettings.model_validate(run.configuration["combinations"]), run.seed) for run in stack
    ]
    learnt = learn(
        asked,
        place.features(own.classifier, own.repeat),
        load(place, own),
        folder,
        select_device(place.execution.device),
        checkpoints=place.settings.checkpoints,
        finished={position for position, run in enumerate(stack) if is_finished(place.folder, run, TRAINING)},
    )
    for position, found in learnt:
        run = stack[position]
        if found.trained.ended != "diverged":
            save_state(run_folder(place.folder, run) / COMBINATIONS_FILE, found.state())
        record(run, found.trained.outcome(found.metrics))


def load(place: Workplace, experiment: Experiment) -> "LinearClassifier":
    """The classifier that an experiment is or improves."""
    from vision_studies.methods.alphanet.classifiers import load_classifier

    return load_classifier(place.classifier_folder(experiment.classifier, experiment.repeat) / CLASSIFIER_FILE)
