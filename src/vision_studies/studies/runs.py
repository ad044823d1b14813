"""From a study's variants and seeds to its runs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
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
    def description(self) -> dict[str, Any]:
        """The run as JSON, without what follows from it."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def name(self) -> str:
        """How the run is called on the terminal and in figures."""
        return run_name(self.variant, self.trial, self.seed)


def run_name(variant: str, trial: int, seed: int) -> str:
    """How a run is called."""
    return f"{variant}{f', trial {trial}' if trial else ''}, seed {seed}"


def plan_runs(
    make: Callable[[str, int, dict[str, Any]], Run],
    *,
    name: str,
    base: Mapping[str, Any],
    variants: Mapping[str, Mapping[str, Any]],
    seeds: Sequence[int],
    resolve: Callable[[dict[str, Any]], dict[str, Any]],
) -> list[Run]:
    """List the runs of a study, seed by seed, so that every variant has a result before any has its second.

    Args:
        make: variant, seed and configuration -> run.
        name: of the parameters that `variants` and `seeds` stand in.
        base: the configuration that every variant starts from.
        variants: name -> nested overrides of `base`.
        seeds: that every variant is trained with, so that variants can be compared in pairs.
        resolve: checks a merged configuration and returns it complete (the pipeline's settings model).

    Raises:
        ParameterError: an override names an unknown key, has a wrong value, or a list is empty or repeats itself.
    """
    if not variants or not seeds:
        raise ParameterError(f"{name}: 'variants' and 'seeds' need at least one entry each.")
    if len(set(seeds)) != len(seeds):
        raise ParameterError(f"{name}.seeds repeats a seed ({list(seeds)}); every seed counts once.")
    configurations = {}
    for variant, overrides in variants.items():
        try:
            configurations[variant] = resolve(merge_settings(base, overrides))
        except ValueError as error:
            raise ParameterError(f"{name}.variants.{variant}: {error}") from error
    return [make(variant, seed, configuration) for seed in seeds for variant, configuration in configurations.items()]
