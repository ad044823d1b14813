"""The environments of the cut studies, read as a command would read them."""

import numpy as np
import pytest
from tests.conftest import ROOT
from tests.studies.contexts import context_of

from vision_studies.catalog.config_loader import StudyConfigLoader
from vision_studies.config.data_prep import DataPrepSettings
from vision_studies.config.study import StudySettings
from vision_studies.data.image_set import ImageSet
from vision_studies.data.splits import Splits
from vision_studies.pipelines.transfer_cuts.settings import TransferCutsSettings
from vision_studies.pipelines.transfer_cuts.stages import study_cells, study_classes

OPTIONS = {"base_env": "base", "default_run_env": "local", "merge_strategy": {"parameters": "soft"}}
FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
DIGITS = tuple("0123456789")
JOINED = tuple(f"mnist/{name}" for name in DIGITS) + tuple(f"fashion_mnist/{name}" for name in FASHION)
NAMES = {"mnist": DIGITS, "fashion_mnist": FASHION, "cifar10": CIFAR, ("mnist", "fashion_mnist"): JOINED}

# First and new classes by number, and modes, of the published studies.
PUBLISHED = {
    "cuts_mnist_regular": ([0, 1, 2, 3, 4], [5, 6, 7, 8, 9], ["freeze_reinit"]),
    "cuts_fashion_regular": ([0, 1, 2, 3, 4, 6, 8], [5, 7, 9], ["freeze_reinit", "freeze", "freeze_truncate"]),
    "cuts_fashion_random": ([0, 1, 2, 4, 6, 7, 9], [3, 5, 8], ["freeze_reinit"]),
    "cuts_cifar_regular": ([0, 1, 8, 9], [2, 3, 4, 5, 6, 7], ["freeze_reinit", "freeze_truncate"]),
    "cuts_cifar_reverse": ([2, 3, 4, 5, 6, 7], [0, 1, 8, 9], ["freeze_reinit"]),
    "cuts_cifar_random": ([5, 6, 7, 8, 9], [0, 1, 2, 3], ["freeze_reinit"]),
    "cuts_mnist_to_fashion": ([*range(10)], [*range(10, 20)], ["freeze_reinit"]),
    "cuts_fashion_to_mnist": ([*range(10, 20)], [*range(10)], ["freeze_reinit"]),
}


def parameters(environments):
    return StudyConfigLoader(ROOT / "conf", env=environments, **OPTIONS)["parameters"]


def context_of_study(environments, tmp_path):
    loaded = parameters(environments)
    source = DataPrepSettings.model_validate(loaded["data_prep"]).source
    names = NAMES[source]
    labels = np.arange(len(names)).repeat(3)
    size = 32 if source == "cifar10" else 28
    images = np.zeros((len(labels), size, size, 3 if source == "cifar10" else 1), np.uint8)
    image_set = ImageSet.create("images", images, labels, names, np.zeros(len(labels), bool), {})
    everything = np.arange(len(labels))
    splits = Splits(everything[::3], everything[1::3], everything[2::3])
    settings = TransferCutsSettings.model_validate(loaded["transfer_cuts"])
    study = StudySettings.model_validate(loaded["study"])
    return context_of("transfer_cuts", settings, (image_set, splits.to_table()), tmp_path, study=study)


def test_there_is_an_environment_for_every_published_study():
    studies = {path.name for path in (ROOT / "conf").glob("cuts_*") if path.name != "cuts_architecture"}
    assert studies == set(PUBLISHED)


@pytest.mark.parametrize("study", PUBLISHED)
def test_a_study_has_the_published_classes_and_modes(study, tmp_path):
    place = context_of_study(study, tmp_path)
    names = place.images.image_set.class_names
    first, new, modes = PUBLISHED[study]
    assert [[names.index(name) for name in own] for own in study_classes(place, place.settings)] == [first, new]
    assert list(place.settings.modes) == modes
    assert place.study.title != study


@pytest.mark.parametrize("study", PUBLISHED)
def test_the_published_protocol_has_the_published_runs(study, tmp_path):
    small = study.startswith("cuts_cifar")
    place = context_of_study(f"{study}+published_cuts{'_cifar' if small else ''}", tmp_path)
    training = place.settings.fine_tuning.training
    stopping = training.early_stopping
    expected = (64, 10, 5) if small else (4096, 40, 6)
    assert (training.batch_size, training.epochs, stopping.patience) == expected
    assert place.settings.pretraining.training.batch_size == expected[0]
    cells = study_cells(place)
    assert len(cells) == 80 + 560 * len(place.settings.modes)
    # The baseline is cut 0 of FR, and the last cut is one for all modes.
    modes = len(place.settings.modes)
    assert len({cell.run.fingerprint for cell in cells}) == 80 + 560 * modes - 80 - 80 * (modes - 1)


@pytest.mark.slow
def test_an_overlay_chooses_one_mode(tmp_path):
    for mode in ("freeze_reinit", "freeze", "reinit", "fine_tune", "freeze_truncate"):
        assert context_of_study(f"cuts_cifar_regular+{mode}", tmp_path).settings.modes == (mode,)
