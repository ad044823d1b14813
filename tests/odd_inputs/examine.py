"""What the project finds in a source and what data it makes of it: the way that `data_prep` goes, without Kedro."""

from pathlib import Path
from typing import Any

import yaml
from tests.conftest import ROOT

from vision_studies.config.data_prep import DataPrepSettings
from vision_studies.data.checks.findings import Finding
from vision_studies.data.image_set import ImageSet
from vision_studies.data.sources.read import check_sources, read_source
from vision_studies.data.splits import Splits, make_splits

_ENOUGH = {"validation_fraction": 0.2, "test_fraction": 0.42}
"""So that a dozen images of a class are enough for all three splits."""
LEAVE_OUT = frozenset({"beside_splits", "loose_files", "no_label", "skipped", "unknown_format", "unreadable"})
"""Findings whose files are images that are not used; others name what is used, classes, or what is no image."""

_BASE: dict[str, Any] = yaml.safe_load((ROOT / "conf/base/parameters_data_prep.yml").read_text(encoding="utf-8"))[
    "data_prep"
]


def settings(source: Path, **parameters: Any) -> DataPrepSettings:
    """The parameters of the base, with a source, small images and what else is given; dictionaries are merged."""
    base = _BASE | {"source": str(source), "image_size": 16, "ffcv": False, "splits": _BASE["splits"] | _ENOUGH}
    merged = {name: base[name] | value if isinstance(value, dict) else value for name, value in parameters.items()}
    return DataPrepSettings(**(base | merged))


def findings_of(chosen: DataPrepSettings) -> tuple[Finding, ...]:
    """What `kedro data check` finds, or a DataError where nothing can be looked at."""
    ((check, _),) = check_sources(chosen)
    return check.findings


def prepared(chosen: DataPrepSettings) -> tuple[ImageSet, Splits]:
    """What `data_prep` makes, or a DataError."""
    image_set = read_source(chosen)
    return image_set, make_splits(image_set, chosen.splits)
