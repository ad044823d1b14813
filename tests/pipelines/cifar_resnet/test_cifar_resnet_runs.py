from types import SimpleNamespace

import pytest
import yaml
from pydantic import ValidationError
from tests.conftest import ROOT

from vision_studies.pipelines.cifar_resnet.settings import CifarResnetSettings
from vision_studies.pipelines.cifar_resnet.stages import study_runs
from vision_studies.studies.runs import Run

LONG = {"training": {"epochs": 9}}


def plan(variants, seeds=(0, 1)):
    def make(variant, seed, configuration):
        return Run("cifar_resnet", "s", variant, 0, seed, configuration, "d", 1)

    base = yaml.safe_load((ROOT / "conf/base/parameters_cifar_resnet.yml").read_text(encoding="utf-8"))["cifar_resnet"]
    named = [{"name": name, "changes": changes} for name, changes in variants]
    settings = CifarResnetSettings.model_validate({**base, "variants": named, "seeds": seeds})
    return study_runs(SimpleNamespace(settings=settings, run=make))


def test_every_variant_runs_with_every_seed_seed_by_seed():
    runs = plan([("plain", {}), ("long", LONG)])
    assert [(run.variant, run.seed) for run in runs] == [("plain", 0), ("long", 0), ("plain", 1), ("long", 1)]
    assert runs[1].configuration["training"]["epochs"] == 9


def test_a_misspelt_override_is_an_error_that_names_the_variant():
    with pytest.raises(ValidationError, match="variant 'long': .*there is no such parameter; did you mean 'epochs'?"):
        plan([("long", {"training": {"epoch": 9}})])


@pytest.mark.parametrize(
    ("variants", "seeds"),
    [([], (0,)), ([("a", {})], ()), ([("a", {})], (1, 1)), ([("a", {}), ("a", LONG)], (0,))],
)
def test_empty_and_repeated_lists_are_refused(variants, seeds):
    with pytest.raises(ValidationError):
        plan(variants, seeds)
