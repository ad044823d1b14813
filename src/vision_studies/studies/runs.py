"""One of a study's trained models: what decides its numbers, and what it is called."""

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from vision_studies.files import hash_json


@dataclass(frozen=True)
class Run:
    """One model to train: a configuration with a seed, under the names its study gives it.

    `fold` is that of a cross-validation, from 1; 0 of what has one test split, and of what is put together from all folds. It
    decides no number: the images of a fold have a fingerprint of their own.
    """

    pipeline: str
    study: str
    variant: str
    trial: int
    seed: int
    configuration: dict[str, Any]
    data_fingerprint: str
    method_version: int
    fold: int = 0

    @cached_property
    def configuration_hash(self) -> str:
        """SHA-256 of the resolved configuration, without the seed."""
        return hash_json(self.configuration)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all that decides the numbers. Runs that share it are trained once, whatever they are called."""
        return hash_json(
            {
                "pipeline": self.pipeline,
                "configuration": self.configuration,
                "seed": self.seed,
                "data": self.data_fingerprint,
                "method_version": self.method_version,
            }
        )[:16]

    @property
    def description(self) -> dict[str, Any]:
        """The run as JSON, without what follows from it."""
        described = {field.name: getattr(self, field.name) for field in fields(self)}
        return described if self.fold else {name: value for name, value in described.items() if name != "fold"}

    @property
    def name(self) -> str:
        """How the run is called on the terminal and in figures."""
        return run_name(self.variant, self.trial, self.seed, self.fold)


def run_name(variant: str, trial: int, seed: int, fold: int = 0) -> str:
    """How a run is called."""
    return f"{variant}{f', trial {trial}' if trial else ''}, seed {seed}{f', fold {fold}' if fold else ''}"
