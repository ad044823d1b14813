"""One run of the CIFAR ResNet method: train a classifier on the training split, select on validation, score on test.

Source: the project "Deep Learning Spring 2025 Project 1" (SE-ResNet, RandAugment, stochastic depth, CutMix, test-time
augmentation), without its defects: a stratified validation split selects, the official test split is scored once.
"""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from vision_studies.augmentation.views import average_probabilities, views_of
from vision_studies.config.network_run import RunSettings
from vision_studies.data.loaders import WHOLE, Loader, Share, SplitOptions, augmentation_generator
from vision_studies.data.prepared import PreparedData
from vision_studies.models.architecture import Architecture
from vision_studies.models.statistics import network_size
from vision_studies.outcomes import Outcome
from vision_studies.predictions import PredictedSplit, Predictions
from vision_studies.run_folders import WEIGHTS_FILE
from vision_studies.statistics.calibration import accuracy
from vision_studies.statistics.metrics import measured
from vision_studies.training.checkpoints import load_weights, save_weights
from vision_studies.training.distributed import OnEpoch, require_equal_shares, train_together
from vision_studies.training.fit import fit
from vision_studies.training.objectives import CLASSIFICATION, UnevenClassification
from vision_studies.training.precision import autocast, place_images
from vision_studies.training.progress import training_progress
from vision_studies.training.runtime import seed_everything, tune_process
from vision_studies.training.samplers import EpochDraw


def build_network(settings: RunSettings, data: PreparedData) -> nn.Module:
    """The network of a run, made to fit the images and the classes of the data."""
    return settings.model.build(**data.sizes)


def show_images(network: nn.Module, architecture: Architecture, data: PreparedData) -> None:
    """Let a network set its first weights from the first training images, where it is made so."""
    if architecture.images_at_first:
        options: SplitOptions = {"batch_size": architecture.images_at_first, "device": torch.device("cpu")}
        plain = data.loader("train", kind="device", **options)
        network.initialise_from_data(next(iter(plain.epoch(0))).images)  # type: ignore[operator]


def divided(settings: RunSettings, seed: int, data: PreparedData) -> PreparedData:
    """The prepared images as a run with this seed divides them."""
    return data.redivided(settings.randomness.split_seed(seed))


def train(
    settings: RunSettings,
    seed: int,
    data: PreparedData,
    folder: Path,
    device: torch.device,
    *,
    processes: int = 1,
    keep_every: int | None = None,
) -> Outcome:
    """Train one network; an interrupted call continues from the checkpoints in `folder`.

    Writes the weights of the best validation epoch, if there was one, to `folder/weights.safetensors`.

    Args:
        settings: the run.
        seed: seed of everything that is drawn at random.
        data: images and splits.
        folder: the run's own.
        device: where to train.
        processes: how many processes, each on a GPU of its own or all on the CPU, share every batch. The numbers are those
            of one process to rounding, where nothing is dropped out.
        keep_every: see `fit`.

    Raises:
        ParameterError: the batches cannot be divided evenly, or there are too few GPUs.
        TogetherError: one of several processes has failed.
    """
    if processes == 1:
        return _train(settings, seed, data, folder, WHOLE, device, keep_every=keep_every)
    require_equal_shares(settings.training.batch_size, processes)
    with training_progress(settings.training.epochs, 0) as advance:
        work = partial(_train, settings, seed, data, folder, keep_every=keep_every)
        return train_together(work, processes, device, advance)


def _train(
    settings: RunSettings,
    seed: int,
    data: PreparedData,
    folder: Path,
    share: Share,
    device: torch.device,
    on_epoch: OnEpoch | None = None,
    keep_every: int | None = None,
) -> Outcome:
    tune_process()
    data, source = divided(settings, seed, data), settings.randomness
    seed_everything(source.seed_of("weights", seed))
    model = build_network(settings, data)
    show_images(model, settings.model, data)
    labels = np.asarray(data.image_set.labels[data.splits.train])
    objective = CLASSIFICATION
    if settings.loss is not None:
        objective = UnevenClassification(settings.loss.form(np.bincount(labels, minlength=data.num_classes)))
    order = source.seed_of("order", seed)
    draw = EpochDraw(labels, data.num_classes, settings.sampler, settings.training.epochs, order)
    loader = partial(data.loader, kind=settings.loader, device=device, share=share)
    augmentation = settings.augmentation.build(data.normalisation.mean)
    batch_size = settings.training.batch_size
    train_loader = loader(
        "train",
        batch_size=batch_size,
        seed=order,
        draw=None if settings.sampler == "instance" else draw,
        augmentation_seed=source.seed_of("augmentation", seed),
        shuffle=True,
        augmentation=augmentation,
    )
    validation_loader = loader("validation", batch_size=settings.evaluation.batch_size)
    result = fit(
        model,
        train_loader,
        validation_loader,
        settings.training,
        seed=source.seed_of("training", seed),
        device=device,
        folder=folder / "checkpoints",
        on_epoch=on_epoch,
        objective=objective,
        keep_every=keep_every,
    )
    metrics = result.metrics(network_size(model, data.image_shape), device, images=train_loader.num_samples)
    if share != WHOLE:
        metrics["device"] = f"{share.processes} x {device.type}"
    if result.best_epoch is not None and share.rank == 0:
        model.load_state_dict(result.weights)
        save_weights(model, folder / WEIGHTS_FILE)
    return result.outcome(metrics)


def evaluate(settings: RunSettings, seed: int, data: PreparedData, folder: Path, device: torch.device) -> Outcome:
    """Score the selected weights of a run, which lie in `folder`, on the test split, plainly and with test-time views.

    Returns:
        Columns of the results table, of which accuracy with n > 1 views stands in `other_metrics`; and what the network says
        of the test images with every number of views, and of the validation images.
    """
    tune_process()
    data = divided(settings, seed, data)  # whose training images say how pixels are scaled
    model = load_weights(build_network(settings, data), folder / WEIGHTS_FILE).to(device)
    probabilities = _said(model, "test", settings, data, device)
    labels = np.asarray(data.image_set.labels[data.splits.test])
    others = {
        f"test_accuracy_views_{views}": accuracy(values, labels) for views, values in probabilities.items() if views > 1
    }
    said = [_predictions("test", data, values, views) for views, values in probabilities.items()]
    metrics = {**measured(probabilities[1], labels), "other_metrics": others}
    return Outcome(metrics, predictions=(*said, _of_validation(model, settings, data, device)))


def validate(settings: RunSettings, seed: int, data: PreparedData, folder: Path, device: torch.device) -> Outcome:
    """What the selected weights of a run, which lie in `folder`, say of the validation images, as `evaluate` gives it."""
    tune_process()
    data = divided(settings, seed, data)
    model = load_weights(build_network(settings, data), folder / WEIGHTS_FILE).to(device)
    return Outcome({}, predictions=(_of_validation(model, settings, data, device),))


def _of_validation(model: nn.Module, settings: RunSettings, data: PreparedData, device: torch.device) -> Predictions:
    plain = settings.model_copy(update={"evaluation": settings.evaluation.model_copy(update={"views": (1,)})})
    return _predictions("validation", data, _said(model, "validation", plain, data, device)[1])


def _said(
    model: nn.Module, split: str, settings: RunSettings, data: PreparedData, device: torch.device
) -> dict[int, np.ndarray]:
    loader = data.loader(split, kind=settings.loader, batch_size=settings.evaluation.batch_size, device=device)
    return predict_with_views(model, loader, settings, device)


def _predictions(split: PredictedSplit, data: PreparedData, values: np.ndarray, views: int = 1) -> Predictions:
    positions = getattr(data.splits, split)
    return Predictions.of(split, positions, data.image_set.labels[positions], values, views=views)


def submissions(predictions: Iterable[Predictions]) -> dict[str, pd.DataFrame]:
    """Predictions of an evaluated run as the original project submits them.

    Args:
        predictions: of the test images, with one number of test-time views after the other.

    Returns:
        "predictions" and, for every number of test-time views n above 1, "predictions_tta<n>": tables with the columns ID
        (position in the test split) and Labels (predicted class).
    """
    return {
        "predictions" if said.views == 1 else f"predictions_tta{said.views}": pd.DataFrame(
            {"ID": range(len(said.indices)), "Labels": said.predicted}
        )
        for said in predictions
    }


@torch.inference_mode()
def predict_with_views(
    model: nn.Module, loader: Loader, settings: RunSettings, device: torch.device
) -> dict[int, np.ndarray]:
    """Class probabilities, float32 [N, classes], averaged over the first n test-time views, for each n asked for and 1."""
    counts = sorted({1, *settings.evaluation.views})
    model.eval()
    collected: dict[int, list[torch.Tensor]] = {count: [] for count in counts}
    for batch_index, batch in enumerate(loader.epoch(0)):
        generator = augmentation_generator(settings.evaluation.seed, 0, batch_index)
        images = place_images(batch.images, settings.training, device)
        logits = []
        for view in views_of(images, max(counts), settings.evaluation.padding, generator):
            with autocast(settings.training, device):
                logits.append(model(place_images(view, settings.training, device)).float())
        for count in counts:
            collected[count].append(average_probabilities(torch.stack(logits[:count])).cpu())
    return {count: torch.cat(parts).numpy() for count, parts in collected.items()}
