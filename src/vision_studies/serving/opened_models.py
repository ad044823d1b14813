"""Trained classifiers from their files: a study's selected model, a run's weights, or a numbered checkpoint."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open

from vision_studies.config.network_run import RunSettings
from vision_studies.data.loaders import Normalisation
from vision_studies.data.prepared import PreparedData
from vision_studies.data.sources.decoding import Decoding
from vision_studies.errors import CheckpointError, ParameterError
from vision_studies.run_folders import WEIGHTS_FILE, network_folder, read_description, run_folder_of
from vision_studies.serving.stored_data import data_of_run
from vision_studies.studies.method import StoredNetwork, networks_of
from vision_studies.training.checkpoints import load_state
from vision_studies.training.classifier import ImageClassifier, ImageFormat


def open_model_file(path: Path) -> ImageClassifier:
    """A classifier from a file.

    Args:
        path: a study's `model.safetensors`, which needs nothing beside it, or a file in a run's folder.

    Raises:
        CheckpointError: the file is missing, damaged, of another kind, or its weights fit another network.
        ParameterError: it lies in the folder of a run that cannot be used.
        DataError: the images that the run was trained on are gone.

    Examples:
        A study's `model.safetensors` lies in `data/06_models/`; this one has been made by hand:

        >>> import tempfile
        >>> from pathlib import Path
        >>> import yaml
        >>> from vision_studies.config.network_run import RunSettings
        >>> from vision_studies.config.merge import merge_settings
        >>> from vision_studies.serving.opened_models import open_model_file
        >>> from vision_studies.training.checkpoints import save_state
        >>> base = yaml.safe_load(Path("conf/base/parameters_cifar_resnet.yml").read_text())["cifar_resnet"]["run"]
        >>> small = {"stem_width": 8, "widths": [8], "blocks": [1], "strides": [1], "squeeze_reduction": None}
        >>> run = merge_settings(base, {"model": small})
        >>> network = RunSettings.model_validate(run).model.build(in_channels=1, num_classes=2, image_size=8)
        >>> data = {"class_names": ["cat", "dog"], "image_size": 8, "in_channels": 1}
        >>> data["normalisation"] = {"mean": [128.0], "std": [64.0]}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "model.safetensors"
        ...     save_state(file, {"weights": network.state_dict(), "configuration": run, "data": data})
        ...     classifier = open_model_file(file)
        >>> classifier.images.class_names, classifier.network.training
        (('cat', 'dog'), False)
    """
    state = _state(path)
    if _is_selected(state):
        return _selected(path, state)
    folder = run_folder_of(path)
    if folder is None:
        raise CheckpointError(
            f"{path} does not say what it is, and no run.json lies beside it; name a study's model.safetensors, or a file "
            "where its run wrote it."
        )
    return open_run(folder, None if path.name == WEIGHTS_FILE else path)


def open_run(folder: Path, checkpoint: Path | None = None) -> ImageClassifier:
    """The classifier that the run in a folder has trained, with the weights of a `checkpoint` where that is named instead of
    the selected ones. Raises CheckpointError, ParameterError and DataError as `open_model_file`.
    """
    if checkpoint is None:
        folder = network_folder(folder)
    description = read_description(folder)
    networks = networks_of(description["pipeline"])
    reason = networks.unusable(description["configuration"], folder)
    if reason is not None:
        raise ParameterError(
            f"{description['study']}/{folder.name} is one of the runs of {description['pipeline']} that cannot be used: "
            f"{reason}; `kedro models list` shows what can."
        )
    run = StoredNetwork(folder, description, checkpoint)
    data = data_of_run(run)
    try:
        classifier = networks.rebuild(run, data)
    except ValidationError as error:
        raise _other_version(folder, error) from error
    classifier.network.eval()
    return classifier


def selected_model(path: Path) -> dict[str, Any] | None:
    """What a study's `model.safetensors` says besides its weights; None of another file."""
    state = _state(path)
    return {name: value for name, value in state.items() if name != "weights"} if _is_selected(state) else None


def _is_selected(state: Any) -> bool:
    return isinstance(state, dict) and "configuration" in state and "data" in state


def data_description(data: PreparedData) -> dict[str, Any]:
    """What a network's user has to know of the images it was trained on."""
    return {
        "class_names": list(data.image_set.class_names),
        "image_size": data.image_size,
        "in_channels": data.in_channels,
        "normalisation": {"mean": list(data.normalisation.mean), "std": list(data.normalisation.std)},
        "decoding": (data.image_set.decoding or Decoding()).to_json(),
    }


def _selected(path: Path, state: Mapping[str, Any]) -> ImageClassifier:
    data = state["data"]
    try:
        settings = RunSettings.model_validate(state["configuration"])
    except ValidationError as error:
        raise _other_version(path, error) from error
    names, size, channels = tuple(data["class_names"]), data["image_size"], data["in_channels"]
    network = settings.model.build(in_channels=channels, num_classes=len(names), image_size=size)
    try:
        network.load_state_dict(state["weights"])
    except RuntimeError as error:
        raise CheckpointError(
            f"{path} holds the weights of another network than the {settings.model.name} that it describes; it was put "
            "together wrongly or changed."
        ) from error
    normalisation = Normalisation(**{name: tuple(values) for name, values in data["normalisation"].items()})
    evaluation = settings.evaluation
    chosen = (settings.training, evaluation.batch_size, evaluation.padding, evaluation.seed)
    images = ImageFormat(names, size, channels, normalisation, Decoding.from_json(data.get("decoding")))
    return ImageClassifier(path, network.eval(), images, *chosen)


def _state(path: Path) -> Any:
    """Content of a file of this project; of another one, `load_state` would advise to delete it."""
    try:
        with safe_open(path, framework="pt") as file:
            ours = "state" in (file.metadata() or {})
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no model {path}; `kedro models list` shows what there is.") from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is no whole safetensors file ({error}); name a study's model.safetensors or a run's weights."
        ) from error
    if not ours:
        raise CheckpointError(
            f"{path} was not written by this project, which cannot know its network; name a study's model.safetensors or a "
            "run's weights."
        )
    return load_state(path)


def _other_version(path: Path, error: ValidationError) -> CheckpointError:
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    return CheckpointError(
        f"{path} was written by another version of this project ({where}: {first['msg']}); use it with that version, or "
        "train the model again."
    )
