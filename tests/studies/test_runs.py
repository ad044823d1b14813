import pytest

from vision_studies.errors import ParameterError
from vision_studies.studies.runs import Run, plan_runs

BASE = {"model": {"name": "resnet", "width": 8}, "epochs": 3, "steps": [1, 2]}


def resolve(merged):
    unknown = set(merged) - set(BASE)
    if unknown:
        raise ValueError(f"unknown key {sorted(unknown)}")
    return merged


def plan(variants, seeds=(0, 1)):
    def make(variant, seed, configuration):
        return Run("cifar_resnet", "s", variant, 0, seed, configuration, "d", 1)

    return plan_runs(make, name="cifar_resnet", base=BASE, variants=variants, seeds=seeds, resolve=resolve)


def test_every_variant_runs_with_every_seed_seed_by_seed():
    runs = plan({"plain": {}, "long": {"epochs": 9}})
    assert [(run.variant, run.seed) for run in runs] == [("plain", 0), ("long", 0), ("plain", 1), ("long", 1)]
    assert runs[1].configuration["epochs"] == 9


def test_a_misspelt_override_is_an_error_that_names_the_variant():
    with pytest.raises(ParameterError, match=r"cifar_resnet.variants.long: unknown key \['epoch'\]"):
        plan({"long": {"epoch": 9}})


@pytest.mark.parametrize(("variants", "seeds"), [({}, (0,)), ({"a": {}}, ()), ({"a": {}}, (1, 1))])
def test_empty_and_repeated_lists_are_refused(variants, seeds):
    with pytest.raises(ParameterError):
        plan(variants, seeds)


def test_fingerprint_ignores_names_and_follows_everything_that_changes_numbers():
    run = Run("p", "s", "v", 0, 0, {"epochs": 1}, "data", 1)
    same = [Run("p", "other", "renamed", 3, 0, {"epochs": 1}, "data", 1)]
    different = [
        Run("q", "s", "v", 0, 0, {"epochs": 1}, "data", 1),
        Run("p", "s", "v", 0, 1, {"epochs": 1}, "data", 1),
        Run("p", "s", "v", 0, 0, {"epochs": 2}, "data", 1),
        Run("p", "s", "v", 0, 0, {"epochs": 1}, "other", 1),
        Run("p", "s", "v", 0, 0, {"epochs": 1}, "data", 2),
    ]
    assert {other.fingerprint for other in same} == {run.fingerprint}
    assert len({run.fingerprint, *(other.fingerprint for other in different)}) == 6
