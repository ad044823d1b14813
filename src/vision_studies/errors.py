"""Errors a user can mend. Each message is one sentence: what is wrong, where, and what to do about it."""


class VisionStudiesError(Exception):
    """Base of every error that is the user's to mend; the command line prints its message without a traceback."""


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
