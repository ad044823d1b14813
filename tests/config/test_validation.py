from collections.abc import Mapping
from typing import Any, get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel, ValidationError
from tests.conftest import ROOT

from vision_studies.config.merge import merge_settings
from vision_studies.config.registry import MODELS, settings_model
from vision_studies.config.validation import describe_errors, validate_parameters
from vision_studies.errors import ParameterError
from vision_studies.settings_base import _members


@pytest.fixture
def parameters():
    merged = {"study": {"name": "base", "title": "t", "question": "q"}}
    for file in sorted((ROOT / "conf/base").glob("parameters*.yml")):
        merged |= yaml.safe_load(file.read_text(encoding="utf-8"))
    return merged


def changed(parameters, path, value):
    nested = value
    for key in reversed(path.split(".")):
        nested = {key: nested}
    return merge_settings(parameters, nested)


def where(path):
    return "conf/here.yml"


def test_the_base_parameters_are_valid(parameters):
    validate_parameters(parameters, where)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("epochz", 3, "conf/here.yml: 'epochz' is not a parameter"),
        ("cifar_resnett", {}, "did you mean 'cifar_resnet'?"),
        ("fresh", "perhaps", "fresh='perhaps' must be true or false"),
        ("data_prep.sauce", "digits", "data_prep.sauce: there is no such parameter; did you mean 'source'? Allowed: "),
        ("data_prep.splits.seeds", 1, "data_prep.splits.seeds: there is no such parameter; did you mean 'seed'?"),
        ("data_prep.image_size", "large", "data_prep.image_size: 'large' is not allowed; it must be a valid integer"),
        ("data_prep.splits.validation_fraction", 1.5, "1.5 is not allowed; it must be less than 1"),
        (
            "cifar_resnet.run.training.epochs",
            0,
            "training.epochs: 0 is not allowed; it must be greater than or equal to 1",
        ),
        ("cifar_resnet.run.loader", "ffvc", "loader: 'ffvc' is not one of device, ffcv; did you mean 'ffcv'?"),
        ("cifar_resnet.run.model.name", "resnet_smal", "model.name: 'resnet_smal' is not one of resnet_small, "),
        ("cifar_resnet.run.model.width", 3, "model.width: there is no such parameter; did you mean 'widths'?"),
        (
            "cifar_resnet.run.training.optimizer.momentom",
            0.9,
            "training.optimizer.momentom: there is no such parameter; did you mean 'momentum'?",
        ),
        ("cifar_resnet.run.training.schedule.name", "cosin", "schedule.name: 'cosin' is not one of onecycle, cosine"),
        ("cifar_resnet.run.augmentation.steps", [{"name": "flip"}], "'flip' is not one of random_crop, random_flip"),
        ("cifar_resnet.seeds", [1, 1], "seeds has a seed twice"),
        ("cifar_resnet.variants", [], "variants: [] has too few entries; give it at least 1 entry."),
        ("mlp_transfer.architectures", [], "architectures: [] has too few entries; give it at least 1 entry."),
        (
            "mlp_transfer.architectures",
            [[16, 0]],
            "architectures.0.1: 0 is not allowed; it must be greater than or equal",
        ),
        ("mlp_transfer.architectures", [[16], [16]], "architectures has [16] twice"),
        (
            "mlp_transfer.search.space.lr",
            {"lwo": 0.1},
            "space.lr.lwo: there is no such parameter; did you mean 'low'? Allowed: choices, high, low, scale.",
        ),
        (
            "mlp_transfer.search.space.lr.high",
            "much",
            "space.lr.high: 'much' is not allowed; it must be a valid number",
        ),
        ("mlp_transfer.search.pruner", {"name": "mediam"}, "'mediam' is not one of median, hyperband"),
        (
            "cifar_resnet.variants",
            [{"name": "a", "changes": {"model": {"droput": 0.1}}}],
            "variant 'a': there is no such parameter; did you mean 'dropout'?",
        ),
        ("execution.backend", "ray", "'ray' is not one of sequential, loky, dask"),
    ],
)
def test_every_mistake_says_where_it_is_and_what_is_allowed(parameters, path, value, message):
    with pytest.raises(ParameterError) as caught:
        validate_parameters(changed(parameters, path, value), where)
    assert message in str(caught.value)
    assert str(caught.value).startswith("conf/here.yml: ")
    assert len(str(caught.value).splitlines()) == 1


def test_all_mistakes_are_told_at_once(parameters):
    wrong = changed(changed(parameters, "fresh", 3), "data_prep.image_size", -1)
    with pytest.raises(ParameterError) as caught:
        validate_parameters(wrong, where)
    assert len(str(caught.value).splitlines()) == 2


def test_a_missing_group_is_named(parameters):
    del parameters["execution"]
    with pytest.raises(ParameterError, match="the parameter 'execution' is missing"):
        validate_parameters(parameters, where)


def test_a_list_that_lacks_an_entry_is_told(parameters):
    parameters["transfer_cuts"]["pretraining"]["optimizer"]["betas"] = [0.9]
    with pytest.raises(ParameterError, match=r"transfer_cuts\.pretraining\.optimizer\.betas"):
        validate_parameters(parameters, lambda path: "conf/base")


def places_of_numbers(annotation, path=()):
    """Every place in a settings model where a number stands and no boolean: its path, and a value that has `BOOLEAN` there."""
    members = [*_members(annotation)]
    if (
        {int, float} & {member for member in members if isinstance(member, type)}
        and bool not in members
        and Any not in members
    ):
        yield path, lambda value: value
    for member in members:
        kinds = get_args(member)
        if isinstance(member, type) and issubclass(member, BaseModel):
            for name, field in member.model_fields.items():
                kind = dict.fromkeys(member.model_fields)  # by which its kind is known
                kind |= (
                    {"name": next(iter(get_args(member.model_fields["name"].annotation)), None)}
                    if "name" in kind
                    else {}
                )
                for further, made in places_of_numbers(field.annotation, (*path, name)):
                    yield further, lambda value, name=name, kind=kind, made=made: kind | {name: made(value)}
        elif kinds and get_origin(member) in (dict, Mapping):
            for further, made in places_of_numbers(kinds[1], (*path, "any")):
                yield further, lambda value, made=made: {"any": made(value)}
        elif kinds:
            for further, made in places_of_numbers(kinds[0], (*path, 0)):
                yield further, lambda value, made=made: [made(value)]


NUMBERS = [(key, path, made) for key in MODELS for path, made in places_of_numbers(settings_model(key))]


def test_there_are_numbers_of_every_kind_of_place():
    paths = [(key, *path) for key, path, _ in NUMBERS]
    assert len(paths) > 250
    for known in (
        ("choose", "seeds", 0),
        ("cifar_resnet", "run", "training", "epochs"),
        ("data_prep", "splits", "folds", "number"),
        ("mlp_transfer", "architectures", 0, 0),
        ("cifar_resnet", "run", "augmentation", "steps", 0, "probability"),
    ):
        assert known in paths, known


@pytest.mark.parametrize("key", MODELS)
@pytest.mark.parametrize("value", [True, False])
def test_a_boolean_is_no_number(key, value):
    for path, made in [(path, made) for own, path, made in NUMBERS if own == key]:
        with pytest.raises(ValidationError) as raised:
            settings_model(key).model_validate(made(value))
        said = describe_errors(raised.value, settings_model(key), made(value))
        assert f"{str(value).lower()} is not allowed; it must be a number" in said, path


def test_a_boolean_in_place_of_a_seed_is_one_sentence(parameters):
    with pytest.raises(ParameterError) as raised:
        validate_parameters(changed(parameters, "cifar_resnet.seeds", [False]), where)
    assert str(raised.value) == (
        "conf/here.yml: cifar_resnet.seeds.0: false is not allowed; it must be a number (YAML reads yes, on, no and off "
        "as true and false)."
    )
