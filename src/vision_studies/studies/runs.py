"""From a study's variants and seeds to its runs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from vision_studies.config.merge import merge_settings
from vision_studies.errors import ParameterError
from vision_studies.files import hash_json


@dataclass(frozen=True)
class Run:
    """One model to train: a configuration with a seed, under the names its study gives it."""

    pipeline: str
    study: str
    variant: str
    trial: int
    seed: int
    configuration: dict[str, Any]
    data_fingerprint: str
    method_version: int

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
    def name(self) -> str:
        """How the run is called on the terminal and in figures."""
        trial = f", trial {self.trial}" if self.trial else ""
        return f"{self.variant}{trial}, seed {self.seed}"


def plan_runs(
    *,
    pipeline: str,
    study: str,
    base: Mapping[str, Any],
    variants: Mapping[str, Mapping[str, Any]],
    seeds: Sequence[int],
    data_fingerprint: str,
    method_version: int,
    resolve: Callable[[dict[str, Any]], dict[str, Any]],
) -> list[Run]:
    """List the runs of a study, seed by seed, so that every variant has a result before any has its second.

    Args:
        pipeline: name of the pipeline.
        study: name of the study.
        base: the configuration that every variant starts from.
        variants: name -> nested overrides of `base`.
        seeds: seeds that every variant is trained with, so that variants can be compared in pairs.
        data_fingerprint: fingerprint of images and splits.
        method_version: raised by the method's author when its numbers change.
        resolve: checks a merged configuration and returns it complete (the pipeline's settings model).

    Raises:
        ParameterError: an override names an unknown key, has a wrong value, or a list is empty or repeats itself.
    """
    if not variants or not seeds:
        raise ParameterError(f"{pipeline}: 'variants' and 'seeds' need at least one entry each.")
    if len(set(seeds)) != len(seeds):
        raise ParameterError(f"{pipeline}.seeds repeats a seed ({list(seeds)}); every seed counts once.")
    configurations = {}
    for name, overrides in variants.items():
        try:
            configurations[name] = resolve(merge_settings(base, overrides))
        except ValueError as error:
            raise ParameterError(f"{pipeline}.variants.{name}: {error}") from error
    return [
        Run(pipeline, study, name, 0, seed, configuration, data_fingerprint, method_version)
        for seed in seeds
        for name, configuration in configurations.items()
    ]
