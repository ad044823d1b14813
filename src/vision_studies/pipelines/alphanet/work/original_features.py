"""Features in the original project's pickles, read without running anything that a pickle may hide."""

from pathlib import Path

import numpy as np

from vision_studies.data.restricted_pickle import (
    NUMPY_AND_TORCH,
    Array,
    RefusedError,
    load_restricted,
    plain_integers,
)
from vision_studies.errors import DataError


def load_features_pickle(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read features and labels from a pickled dictionary, and run nothing else that the pickle asks for.

    The dictionary has "feats", an array or a tensor of floats, and "labels", a list, a tuple, an array or a tensor of
    integers; its other keys are ignored. All protocols are read. Source: feature files of github.com/jayanthkoushik/alphanet.

    Args:
        path: a file of `pickle.dump`.

    Returns:
        Features, float32 [N, d], and labels, int64 [N]; they may be read-only.

    Raises:
        DataError: the file is missing, damaged or not of that form, or asks for anything beyond numbers.
    """
    try:
        with path.open("rb") as file:
            content = load_restricted(file, NUMPY_AND_TORCH)
        if not isinstance(content, dict) or "feats" not in content or "labels" not in content:
            raise RefusedError("it holds no dictionary with 'feats' and 'labels'")
        features, labels = _features(content.pop("feats")), _labels(content.pop("labels"))
        if len(features) != len(labels):
            raise RefusedError(f"it holds {len(features)} features and {len(labels)} labels")
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); it holds the features of images.") from error
    except MemoryError as error:
        raise DataError(
            f"{path} does not fit into memory, or is damaged; fetch it again or divide it into parts."
        ) from error
    except RefusedError as error:
        raise DataError(
            f"{path} was not read, for {error}; write it with pickle.dump as a dictionary of 'feats', an array of floats "
            "with a row an image, and 'labels', a list of integers."
        ) from error
    return features, labels


def _features(value: object) -> np.ndarray:
    if not isinstance(value, Array) or value.value is None or value.value.ndim != 2 or value.value.dtype.kind != "f":
        raise RefusedError("its 'feats' are no array of floats with a row an image")
    with np.errstate(over="ignore"):  # infinite numbers are refused when features are stored, with their image
        return np.ascontiguousarray(value.value, dtype=np.float32)


def _labels(value: object) -> np.ndarray:
    try:
        return plain_integers(value)
    except RefusedError as error:
        kind = "no list or array" if not isinstance(value, (list, tuple, Array)) else "not one integer an image"
        raise RefusedError(f"its 'labels' are {kind}") from error
