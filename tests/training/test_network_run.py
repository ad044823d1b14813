from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.numpy import load_file
from tests.data.conftest import make_image_set
from tests.test_base_parameters import base_run

from vision_studies.config.data_prep import SplitSettings
from vision_studies.config.network_run import RandomnessSettings, RunSettings
from vision_studies.data.prepared import PreparedData
from vision_studies.data.splits import make_splits
from vision_studies.errors import CheckpointError, DataError
from vision_studies.models.speedrun import whitening_weights
from vision_studies.outcomes import COMPLETE, DIVERGED
from vision_studies.pipelines.cifar_resnet.networks import NETWORKS
from vision_studies.studies.method import StoredNetwork
from vision_studies.training import network_run as cifar_resnet
from vision_studies.training.checkpoints import load_state

CPU = torch.device("cpu")


class CountingData(PreparedData):
    """Prepared data that remember which split was asked for."""

    asked: list[str] = []  # noqa: RUF012 - shared on purpose, emptied by the fixture

    def loader(self, split, **options):
        self.asked.append(split)
        return super().loader(split, **options)


@pytest.fixture
def data():
    CountingData.asked.clear()
    image_set = make_image_set(count=90, size=8)
    splits = make_splits(
        image_set, SplitSettings(validation_fraction=0.2, test_fraction=0.25, seed=0, copies="together", long_tail=None)
    )
    return CountingData(image_set, splits, {})


@pytest.fixture
def settings():
    return base_run(
        {
            "model": {"widths": [4, 8], "blocks": [1, 1], "strides": [1, 2], "stem_width": 4, "squeeze_reduction": 2},
            "training": {"epochs": 2, "batch_size": 16, "precision": "fp32"},
            "evaluation": {"batch_size": 10, "views": [3], "padding": 1},
        }
    )


@pytest.mark.slow
def test_training_sees_train_and_validation_and_evaluation_sees_test_once(tmp_path, data, settings):
    trained = cifar_resnet.train(settings, 0, data, tmp_path, CPU)
    assert data.asked == ["train", "validation"]
    metrics = cifar_resnet.evaluate(settings, 0, data, tmp_path, CPU).metrics
    assert data.asked == ["train", "validation", "test", "validation"]
    assert (trained.status, trained.reason) == (COMPLETE, None)
    assert {"validation_accuracy", "parameters", "macs", "best_epoch"} <= trained.metrics.keys()
    assert not [name for name in trained.metrics if name.startswith("test_")]
    assert set(metrics["other_metrics"]) == {"test_accuracy_views_3"}


def test_predictions_are_those_of_the_test_split_and_views_start_with_the_plain_one(tmp_path, data, settings):
    cifar_resnet.train(settings, 0, data, tmp_path, CPU)
    outcome = cifar_resnet.evaluate(settings, 0, data, tmp_path, CPU)
    stored = {(said.split, said.views): said for said in outcome.predictions}
    assert set(stored) == {("test", 1), ("test", 3), ("validation", 1)}
    plain = stored["test", 1]
    np.testing.assert_array_equal(plain.indices, data.splits.test)
    np.testing.assert_array_equal(plain.labels, data.image_set.labels[data.splits.test])
    np.testing.assert_array_equal(stored["validation", 1].indices, data.splits.validation)
    np.testing.assert_allclose(plain.probabilities.sum(axis=1), 1, atol=1e-5)
    table = plain.table()
    assert table["correct"].mean() == outcome.metrics["test_accuracy"]
    assert list(table.columns) == ["index", "label", "prediction", "correct"] + [f"probability_{k}" for k in range(3)]
    averaged = stored["test", 3].probabilities  # test-time views change the prediction itself, not only its loss
    np.testing.assert_allclose(averaged.sum(axis=1), 1, atol=1e-5)
    assert np.abs(averaged - plain.probabilities).max() > 1e-4
    # The plain prediction, computed by hand.
    model = cifar_resnet.build_network(settings, data)
    weights = cifar_resnet.load_weights(model, tmp_path / cifar_resnet.WEIGHTS_FILE).eval()
    batch = next(iter(data.loader("test", kind="device", batch_size=1000, device=CPU).epoch(0)))
    with torch.inference_mode():
        expected = weights(batch.images).softmax(dim=1).numpy()
    np.testing.assert_allclose(plain.probabilities, expected, atol=1e-5)


def test_the_same_seed_gives_the_same_numbers_and_another_does_not(tmp_path, data, settings):
    columns = ["train_loss", "validation_loss"]
    first = cifar_resnet.train(settings, 1, data, tmp_path / "a", CPU).history[columns]
    assert first.equals(cifar_resnet.train(settings, 1, data, tmp_path / "b", CPU).history[columns])
    assert not first.equals(cifar_resnet.train(settings, 2, data, tmp_path / "c", CPU).history[columns])


def test_a_training_that_diverges_says_so(tmp_path, data, settings):
    training = settings.training.model_copy(
        update={
            "optimizer": settings.training.optimizer.model_copy(update={"learning_rate": 1e12}),
            "gradient_clip": None,
        }
    )
    trained = cifar_resnet.train(settings.model_copy(update={"training": training}), 0, data, tmp_path, CPU)
    assert (trained.status, trained.reason) == (DIVERGED, "the training loss was not finite")


def test_weights_of_another_network_are_refused(tmp_path, data, settings):
    cifar_resnet.train(settings, 0, data, tmp_path, CPU)
    other = settings.model_copy(update={"model": settings.model.model_copy(update={"widths": (4, 12)})})
    with pytest.raises(CheckpointError, match="weights of another network"):
        cifar_resnet.evaluate(other, 0, data, tmp_path, CPU)


def test_the_ffcv_loader_needs_its_file(data):
    with pytest.raises(DataError, match=r"no FFCV file for the train split .* data_prep\.ffcv=true"):
        data.loader("train", kind="ffcv", batch_size=4, device=CPU)


def test_images_must_be_square():
    image_set = make_image_set()
    wide = type(image_set).create(
        "wide", image_set.images[:, :4], image_set.labels, image_set.class_names, image_set.is_test, {}
    )
    with pytest.raises(DataError, match="4 x 6 pixels"):
        _ = PreparedData(
            wide,
            make_splits(
                wide,
                SplitSettings(validation_fraction=0.2, test_fraction=0.25, seed=0, copies="together", long_tail=None),
            ),
            {},
        ).image_size


def test_the_speedrun_network_whitens_the_training_images(tmp_path, data):
    settings = base_run(
        {
            "model": {"name": "speedrun_net", "widths": [4, 8]},
            "training": {"epochs": 1, "batch_size": 16, "precision": "fp32"},
            "evaluation": {"batch_size": 10, "views": [1], "padding": 1},
        }
    )
    cifar_resnet.train(settings, 0, data, tmp_path, CPU)
    weights = load_state(tmp_path / cifar_resnet.WEIGHTS_FILE)["whitening.weight"]
    plain = next(iter(data.loader("train", kind="device", batch_size=1000, device=CPU).epoch(0))).images
    filters = whitening_weights(plain, 2)
    torch.testing.assert_close(weights, torch.cat([filters, -filters]))


def test_submissions_number_the_test_images_in_order(tmp_path, data, settings):
    cifar_resnet.train(settings, 0, data, tmp_path, CPU)
    plain, three, _ = cifar_resnet.evaluate(settings, 0, data, tmp_path, CPU).predictions
    tables = cifar_resnet.submissions([plain, three])
    assert set(tables) == {"predictions", "predictions_tta3"}
    assert tables["predictions"]["ID"].tolist() == list(range(len(plain.indices)))
    assert tables["predictions"]["Labels"].tolist() == plain.probabilities.argmax(axis=1).tolist()
    assert tables["predictions_tta3"]["Labels"].tolist() == three.probabilities.argmax(axis=1).tolist()


SOURCES = ("split", "weights", "order", "augmentation", "training")


def trained_weights(settings, seed, data, folder):
    cifar_resnet.train(settings, seed, data, folder, CPU)
    return load_file(folder / cifar_resnet.WEIGHTS_FILE)


def equal(first, second):
    return all(np.array_equal(first[name], second[name]) for name in first)


@pytest.fixture
def drawing(settings):
    """A run in which every source draws something, for one epoch."""

    def with_randomness(**sources):
        changes = {"epochs": 1, "mixing": {"name": "mixup", "alpha": 1.0, "probability": 1.0}}
        training = type(settings.training).model_validate(settings.training.model_dump() | changes)
        randomness = RandomnessSettings.model_validate(dict.fromkeys(SOURCES, 7) | sources)
        return settings.model_copy(update={"training": training, "randomness": randomness})

    return with_randomness


def test_with_a_number_for_every_source_the_seed_of_the_run_changes_nothing(tmp_path, data, drawing):
    first, second = (trained_weights(drawing(), seed, data, tmp_path / str(seed)) for seed in (1, 2))
    assert equal(first, second)


@pytest.mark.parametrize("source", SOURCES)
def test_each_source_alone_changes_what_is_trained(source, tmp_path, data, drawing):
    first, second = (trained_weights(drawing(**{source: "run"}), seed, data, tmp_path / str(seed)) for seed in (1, 2))
    assert not equal(first, second)
    numbered = trained_weights(drawing(**{source: 2}), 1, data, tmp_path / "numbered")
    assert equal(second, numbered)


def test_what_is_divided_anew_keeps_sizes_and_test_images_and_is_what_the_run_is_validated_with(data, drawing):
    settings = drawing(split="run")
    first, second = (cifar_resnet.divided(settings, seed, data) for seed in (1, 2))
    for anew in (first, second):
        assert [len(anew.splits.train), len(anew.splits.validation)] == [
            len(data.splits.train),
            len(data.splits.validation),
        ]
        np.testing.assert_array_equal(anew.splits.test, data.splits.test)
        together = np.concatenate([anew.splits.train, anew.splits.validation])
        np.testing.assert_array_equal(np.sort(together), np.sort(np.r_[data.splits.train, data.splits.validation]))
    assert not np.array_equal(first.splits.validation, second.splits.validation)
    run = StoredNetwork(Path("run"), {"configuration": settings.model_dump(mode="json"), "seed": 2})
    np.testing.assert_array_equal(NETWORKS.positions(run, data, "validation"), second.splits.validation)


def test_a_configuration_without_sources_of_its_own_is_written_as_before(settings, drawing):
    assert "randomness" not in settings.model_dump(mode="json")
    assert drawing(split="prepared").model_dump(mode="json")["randomness"]["weights"] == 7


def test_files_of_the_prepared_splits_cannot_be_divided_anew(settings):
    sources = dict.fromkeys(SOURCES, "run")
    with pytest.raises(ValidationError, match="randomness.split must be prepared where loader is ffcv"):
        RunSettings.model_validate(settings.model_dump() | {"loader": "ffcv", "randomness": sources})


def test_a_run_learns_by_its_loss_from_what_its_sampler_draws(tmp_path, data, settings):
    def trained(name, **changes):
        own = base_run(settings.model_dump() | {"training": settings.training.model_dump() | {"epochs": 1}} | changes)
        cifar_resnet.train(own, 0, data, tmp_path / name, CPU)
        return load_file(tmp_path / name / "weights.safetensors")

    plain = trained("plain")
    same = trained("same", loss={"name": "cross_entropy"})
    for name, values in plain.items():
        np.testing.assert_allclose(same[name], values, atol=1e-5)
    # What the images are drawn by changes what is learnt, and so does what is minimised.
    others = [trained("drawn", sampler="class_aware"), trained("shifted", loss={"name": "balanced_softmax"})]
    for other in others:
        assert any(not np.allclose(other[name], values, atol=1e-4) for name, values in plain.items())
