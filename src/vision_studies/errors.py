"""Errors a user can mend. Each message is one sentence: what is wrong, where, and what to do about it."""

import difflib
import re
from collections.abc import Sequence
from importlib.util import find_spec

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def visible(text: str) -> str:
    """Text without control characters but line breaks and tabs: names of files could rewrite a terminal with them."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def guess(name: str, there: Sequence[str]) -> str:
    """A sentence, begun with a space, that asks whether the most similar of the names that there are was meant; or none."""
    return "".join(f" Did you mean '{close}'?" for close in difflib.get_close_matches(name, there, n=1))


def one_line(error: BaseException) -> str:
    """What a library says of an error, without its line breaks."""
    return " ".join(str(error).split()) or type(error).__name__


def first_line(problem: object) -> str:
    """The first line of what a library says of a problem, without a full stop."""
    return (str(problem).strip() or type(problem).__name__).splitlines()[0].rstrip(".")


def not_installed(libraries: Sequence[str]) -> str:
    """Which of some libraries are missing, as in `onnx and onnxscript, which are not installed`; empty where all are there."""
    missing = [library for library in libraries if find_spec(library) is None]
    return f"{' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed" if missing else ""


class VisionStudiesError(Exception):
    """Base of every error that is the user's to mend; the command line prints its message without a traceback."""

    def __str__(self) -> str:
        """The message, in which nothing is taken for a command by a terminal."""
        return visible(super().__str__())


class ParameterError(VisionStudiesError):
    """A parameter, an environment or a command-line value is unknown, of the wrong type or out of range."""


class DataError(VisionStudiesError):
    """Images, labels, splits or a prepared file are missing, damaged or inconsistent."""


class CheckpointError(VisionStudiesError):
    """A checkpoint is damaged, or belongs to another model or configuration."""


class StorageError(VisionStudiesError):
    """The disk is full or a folder cannot be written."""


class BusyError(VisionStudiesError):
    """Another process is working on the same study."""


class MissingDependencyError(VisionStudiesError):
    """An optional library or system package that the configuration asks for is not installed."""


class ClusterError(VisionStudiesError):
    """Processes or the cluster that do a study's runs are not there, are lost or do not fit the project."""


class BackboneError(VisionStudiesError):
    """A pretrained network is unknown, its weights are not here, or they are not those that were published."""
