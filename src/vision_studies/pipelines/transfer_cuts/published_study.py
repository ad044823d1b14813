"""A study in the folders of the project "mp-tl-study": accuracies of every mode, and the networks that were cut.

Its folder is named after the data set: `<data>/results/` and `<data>/pretrained_models/`.
"""

from collections import OrderedDict
from pathlib import Path

import pandas as pd

from vision_studies.errors import DataError
from vision_studies.pipelines.transfer_cuts.published_files import read_results, results_file
from vision_studies.pipelines.transfer_cuts.settings import BASELINE
from vision_studies.run_folders import WEIGHTS_FILE
from vision_studies.studies.published import Published, StoredStudy, copied, plain_name

PROJECT = "mp-tl-study"
LAYOUT = "original_layout"
_CELL = ["mode", "cut", "fraction", "repeat"]
_ACCURACIES = ["train_accuracy", "test_accuracy"]


def write_study(study: StoredStudy, folder: Path) -> None:
    """Write `baselines_<classes>.json`, `cuts_<classes>_<MODE>.json` and the pretrained networks, as files of torch."""
    import torch

    from vision_studies.training.checkpoints import load_state

    scored = study.table("accuracies.csv", [*_CELL, *_ACCURACIES]).dropna(subset=["test_accuracy"])
    modes = dict.fromkeys([BASELINE, *scored["mode"]])
    files = {mode: _file_of(study, mode, scored[scored["mode"] == mode]) for mode in modes}
    place = folder / data_folder(study)
    for file in files.values():
        copied(file, place / "results" / file.name)
    label = files[BASELINE].stem.removeprefix("baselines_")
    pretraining = study.table("pretraining.parquet", ["seed", "status", "run_fingerprint"])
    (place / "pretrained_models").mkdir(parents=True, exist_ok=True)
    for number, (row, run) in enumerate(study.complete_runs(pretraining)):
        name = f"{label}_seed_{row['seed']}" if number else label
        weights = load_state(study.part(run, WEIGHTS_FILE))
        torch.save(OrderedDict(weights), place / f"pretrained_models/{name}.pth")


def data_folder(study: StoredStudy) -> str:
    """Name of the study's images; of those that are gone, what is left: the beginning of their fingerprint."""
    from vision_studies.serving.stored_data import prepared_data_sets

    fingerprint = str(study.results["data_fingerprint"].iloc[0])
    data = prepared_data_sets(study.project).get(fingerprint)
    return f"images_{fingerprint[:8]}" if data is None else plain_name(data.image_set.name)


def _file_of(study: StoredStudy, mode: str, runs: pd.DataFrame) -> Path:
    """The file that the study has written of a mode, which holds these runs and no earlier ones."""
    pattern = results_file("*", mode)
    wanted = runs.set_index(_CELL)[_ACCURACIES].sort_index()
    for file in sorted((study.outputs / LAYOUT).glob(pattern)):
        found = read_results(study.file(file), mode=mode).set_index(_CELL)[_ACCURACIES].sort_index()
        if found.index.equals(wanted.index) and (found - wanted).abs().max(axis=None) < 1e-12:
            return file
    raise DataError(
        f"No file {study.outputs / LAYOUT / pattern} holds the runs of {study.outputs / 'accuracies.csv'}; {study.again}."
    )


PUBLISHED = Published(PROJECT, write_study)
