"""Laws of parameters: whatever is written into them, they are valid or are told what is wrong, and merging has its algebra."""

import copy
import json
from functools import cache
from types import SimpleNamespace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import ROOT
from tests.properties.law_profiles import law

from vision_studies.config.merge import flatten, merge_settings, nested, unflatten
from vision_studies.config.registry import MODELS, settings_model
from vision_studies.config.validation import validate_parameters
from vision_studies.errors import ParameterError
from vision_studies.files import hash_json
from vision_studies.pipelines.cifar_resnet.stages import study_runs
from vision_studies.studies.runs import Run

NAMES = st.sampled_from(["name", "model", "seeds", "run", "a", "b", "_", "ü", "", " "])
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["../../x", "${oc.env:HOME}", "__import__('os')", "a\x00b", "<script>", "1e400", "null", "~"])
)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.integers(0, 3), inner, max_size=3),
    max_leaves=6,
)
FINITE = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)
)
KEYS = st.sampled_from(["a", "b", "c", "name", "model"])
SETTINGS = st.dictionaries(
    KEYS,
    st.recursive(
        FINITE | st.lists(FINITE, max_size=2), lambda inner: st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
    ),
    max_size=4,
)


@cache
def base():
    merged = {"study": {"name": "base", "title": "base", "question": "?"}}
    for file in sorted((ROOT / "conf/base").glob("parameters*.yml")):
        merged |= yaml.safe_load(file.read_text(encoding="utf-8"))
    return merged


def places(value, path=()):
    """Paths of every group, list and value."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, own in entries for place in places(own, (*path, key)))]


@cache
def base_places():
    return [place for place in places(base()) if place]


def change(parameters, path, how, value):
    target = parameters
    for part in path[:-1]:
        target = target[part]
    if how == "replace":
        target[path[-1]] = value
    elif how == "remove":
        del target[path[-1]]
    elif isinstance(target[path[-1]], dict):
        target[path[-1]]["unheard_of"] = value
    elif isinstance(target[path[-1]], list):
        target[path[-1]].append(value)
    else:
        target[path[-1]] = [target[path[-1]], value]


@law
@given(st.data())
def test_whatever_is_written_is_valid_or_told(data):
    parameters = copy.deepcopy(base())
    path = data.draw(st.sampled_from(base_places()))
    change(parameters, path, data.draw(st.sampled_from(["replace", "remove", "add"])), data.draw(ANYTHING))
    try:
        validate_parameters(parameters, lambda path: "conf/base")
    except ParameterError as error:
        assert str(error).strip()  # noqa: PT017
        assert all(line.strip() for line in str(error).splitlines())  # noqa: PT017
    else:
        model = settings_model(path[0]) if path[0] in MODELS else None
        if model is not None:
            settings = model.model_validate(parameters[path[0]])
            written = json.dumps(
                settings.model_dump(mode="json")
            )  # as text: the free values of an optimiser may be NaN
            assert json.dumps(model.model_validate(json.loads(written)).model_dump(mode="json")) == written


@pytest.mark.parametrize("key", MODELS)
def test_what_is_written_out_is_read_as_the_same(key):
    model = settings_model(key)
    settings = model.model_validate(base()[key])
    written = json.loads(json.dumps(settings.model_dump(mode="json"), allow_nan=False))
    assert model.model_validate(written) == settings
    assert model.model_validate(settings.model_dump()) == settings


@law
@given(SETTINGS, SETTINGS)
def test_merging_has_its_algebra(first, second):
    before = copy.deepcopy((first, second))
    merged = merge_settings(first, second)
    assert (first, second) == before
    assert merge_settings(first, {}) == first
    assert merge_settings({}, first) == first
    assert merge_settings(first, first) == first
    assert merge_settings(merged, second) == merged
    for key, value in second.items():
        if not isinstance(value, dict):
            assert merged[key] == value
    assert merged.keys() == first.keys() | second.keys()


@law
@given(SETTINGS)
def test_flattening_is_undone(settings):
    flat = flatten(settings)
    assert unflatten(flat) == settings
    assert flatten(unflatten(flat)) == flat
    for path, value in flat.items():
        if value != {}:
            assert flatten(nested(path, value)) == {path: value}


def reordered(value):
    if isinstance(value, dict):
        return {key: reordered(own) for key, own in reversed(value.items())}
    return [reordered(own) for own in value] if isinstance(value, list) else value


@law
@given(SETTINGS, SETTINGS)
def test_a_hash_is_of_the_content_and_not_of_its_order(first, second):
    assert hash_json(reordered(first)) == hash_json(first)
    assert (hash_json(first) == hash_json(second)) == (
        json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)
    )


def run(**changes):
    values = {
        "pipeline": "p",
        "study": "s",
        "variant": "v",
        "trial": 0,
        "seed": 0,
        "configuration": {},
        "data_fingerprint": "d",
        "method_version": 1,
    }
    return Run(**(values | changes))


@law
@given(SETTINGS, st.data())
def test_a_run_is_known_by_all_that_decides_its_numbers(configuration, data):
    own = run(configuration=configuration)
    assert run(configuration=reordered(configuration)).fingerprint == own.fingerprint
    for name, value in {"study": "other", "variant": "../x", "trial": 7}.items():
        assert run(configuration=configuration, **{name: value}).fingerprint == own.fingerprint
    others = {"seed": 1, "data_fingerprint": "e", "method_version": 2, "pipeline": "q"}
    fingerprints = {run(configuration=configuration, **{name: value}).fingerprint for name, value in others.items()}
    assert len(fingerprints | {own.fingerprint}) == 5
    flat = flatten(configuration)
    if flat:
        key = data.draw(st.sampled_from(sorted(flat)))
        value = data.draw(FINITE.filter(lambda drawn: json.dumps(drawn) != json.dumps(flat[key])))
        changed = unflatten(flat | {key: value})
        assert run(configuration=changed).fingerprint != own.fingerprint
        assert run(configuration=changed).configuration_hash != own.configuration_hash
    # What names a folder is of hexadecimal digits, whatever the variant is called.
    assert len(own.fingerprint) == 16
    assert set(own.fingerprint) <= set("0123456789abcdef")


@law
@given(
    st.dictionaries(st.text(min_size=1, max_size=6), st.integers(1, 99), min_size=1, max_size=4),
    st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True),
)
def test_a_plan_has_every_variant_with_every_seed_once(epochs, seeds):
    def make(variant, seed, configuration):
        return Run("p", "s", variant, 0, seed, configuration, "d", 1)

    variants = {name: {"training": {"epochs": number}} for name, number in epochs.items()}
    listed = [{"name": name, "changes": changes} for name, changes in variants.items()]
    settings = settings_model("cifar_resnet").model_validate(
        base()["cifar_resnet"] | {"variants": listed, "seeds": seeds}
    )
    plan = study_runs(SimpleNamespace(settings=settings, run=make))
    assert [(run.seed, run.variant) for run in plan] == [(seed, name) for seed in seeds for name in variants]
    run = settings.run.model_dump(mode="json")
    assert all(each.configuration == merge_settings(run, variants[each.variant]) for each in plan)
