"""Nodes of `data_prep`."""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from vision_studies.config.data_prep import DataPrepSettings
from vision_studies.data.folds import from_table, make_folds, to_table
from vision_studies.data.image_set import ImageSet
from vision_studies.data.splits import Splits, make_splits
from vision_studies.files import hash_json

logger = logging.getLogger(__name__)


def prepare_image_set(settings: DataPrepSettings, stored: ImageSet | None) -> ImageSet:
    """Read the source and check it, or take what an earlier run stored when the source has not changed since.

    Raises:
        DataError: something is wrong with the images that `data_prep.accept` does not name.
    """
    from vision_studies.data.checks.check import check_accept, stored_findings
    from vision_studies.data.checks.findings import Severity, refuse_wrong
    from vision_studies.data.sources.read import read_source, source_identity

    check_accept(settings.accept)
    if stored is not None and stored.origin == source_identity(settings):
        logger.info("'%s': %d images reused from an earlier run", stored.name, len(stored.labels))
        image_set = stored
        refuse_wrong(stored_findings(stored.check), settings.accept, stored.name)
    else:
        image_set = read_source(settings)
    for finding in stored_findings(image_set.check):
        if finding.kind.severity != Severity.NOTE:
            logger.warning("%s [%s]", finding.message, finding.name)
    return image_set


def split_image_set(settings: DataPrepSettings, image_set: ImageSet) -> pd.DataFrame:
    """Carve the validation split (and the test split where the source has none) by class and seed; with folds where the test
    split would be small.
    """
    splits = make_splits(image_set, settings.splits)
    folds = make_folds(image_set, splits, settings.splits)
    if folds:
        logger.info(
            "'%s': one test split would have %d images; %d folds take its place, so that all %d are tested",
            image_set.name,
            len(splits.test),
            len(folds),
            sum(len(fold.test) for fold in folds),
        )
    return to_table(splits, folds)


def write_ffcv_files(
    settings: DataPrepSettings, image_set: ImageSet, splits_table: pd.DataFrame, stored: Mapping[str, Path]
) -> dict[str, Path | Callable[[Path], None]]:
    """One `.beton` file a split, as a function that writes it; files of an earlier run where nothing has changed.

    Empty where `data_prep.ffcv` is off, or `auto` and FFCV is not installed.
    """
    absent = settings.ffcv == "auto" and find_spec("ffcv") is None
    if absent:
        logger.info("FFCV is not installed: no .beton files are written, and the device loader is used")
    if absent or settings.ffcv is False:
        return {}
    from vision_studies.data.ffcv import write_beton

    splits = Splits.from_table(splits_table)
    files: dict[str, Path | Callable[[Path], None]] = {}
    for split in ("train", "validation", "test"):
        # The name carries the content, so that a file of other images or another split is never taken for this one.
        content = hash_json([image_set.fingerprint, splits.fingerprint, split])[:12]
        name = f"{split}-{content}"
        files[name] = stored.get(name) or partial(write_beton, image_set, getattr(splits, split))
    return files


def describe_data(image_set: ImageSet, splits_table: pd.DataFrame) -> dict[str, Any]:
    """The data card: counts per class and split, channel statistics, duplicates across splits."""
    from vision_studies.data.data_card import data_card

    return data_card(image_set, Splits.from_table(splits_table), len(from_table(splits_table)))


def plot_data_card(card: dict[str, Any], image_set: ImageSet, splits_table: pd.DataFrame) -> Figure:
    """Picture of the data card, with the first training images of every class."""
    from vision_studies.pipelines.data_prep.plots import data_card_figure

    train = Splits.from_table(splits_table).train
    labels = image_set.labels[train]
    first = np.concatenate([train[labels == label][:8] for label in range(len(image_set.class_names))])
    return data_card_figure(card, image_set.images[first], image_set.labels[first], image_set.class_names)


def plot_image_check(image_set: ImageSet) -> Figure:
    """The images that the check of the source found doubtful, or found to be copies, in a row for each finding."""
    from vision_studies.data.checks.check import stored_findings
    from vision_studies.data.checks.sheet import prepared_pictures, rows_of, worth_a_sheet
    from vision_studies.figures.contact_sheet import contact_sheet

    findings = worth_a_sheet(stored_findings(image_set.check))
    return contact_sheet(
        rows_of(findings, prepared_pictures(image_set, findings)), f"{image_set.name}: images to look at"
    )
