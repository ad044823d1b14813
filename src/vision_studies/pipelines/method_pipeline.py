"""From a method to its Kedro pipeline."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import Any

from kedro.pipeline import Node, Pipeline

from vision_studies.catalog.study_runner import only_from_inputs, only_from_runs
from vision_studies.config.registry import settings_model
from vision_studies.config.study import ExecutionSettings, StudySettings
from vision_studies.settings_base import Settings
from vision_studies.studies.forecast import StageForecast, forecast
from vision_studies.studies.method import RUNS, Context, Method, NodeSpec, make_context
from vision_studies.studies.run_store import RunStore

_PARAMETER = "params:"
_SHARED: dict[str, type] = {"study": StudySettings, "execution": ExecutionSettings, "fresh": bool}


def method_pipeline(method: Method[Any], only: Sequence[str] | None = None) -> Pipeline:
    """The graph of a method, under its name.

    Args:
        method: the method.
        only: names of the nodes to take; None for all.
    """
    nodes = [_node(method, spec) for spec in method.nodes if only is None or spec.function.__name__ in only]
    inputs = [name for node in nodes for name in node.inputs]
    return Pipeline(
        nodes,
        namespace=method.name,
        inputs={name: name for name in method.data if name in inputs} | dict(method.borrowed),
        parameters={name for name in inputs if name.startswith(_PARAMETER)},
    )


def _node(method: Method[Any], spec: NodeSpec) -> Node:
    parameters = [f"{_PARAMETER}{name}" for name in (*method.parameter_names, *_SHARED)]
    context = [*parameters, *method.data, RUNS] if spec.in_context else []
    outputs = spec.outputs if isinstance(spec.outputs, str) else list(spec.outputs)
    function = _in_context(method, spec.function) if spec.in_context else spec.function
    outside = partial(_outside, method) if spec.in_context else None
    if spec.does_runs:
        fits = partial(_fits, method) if spec.in_context else None
        told = partial(_forecast, method) if spec.in_context else None
        only_from_runs(function, outside=outside, fits=fits, forecast=told)
    else:
        only_from_inputs(function, outside=outside)
    return Node(function, [*context, *spec.inputs], outputs, name=spec.function.__name__, tags=spec.tags)


def _outside(method: Method[Any], parameters: Mapping[str, Any]) -> Sequence[Path]:
    """Files beside the catalog's that the nodes of a method read, with these parameters."""
    models = [settings_model(name) for name in method.parameter_names]
    values = [parameters[f"{_PARAMETER}{name}"] for name in method.parameter_names]
    validated = [model.model_validate(value) for model, value in zip(models, values, strict=True)]
    return method.outside(method.settings(*validated))


def _fits(method: Method[Any], names: Sequence[str], load: Callable[[str], Any]) -> str | None:
    """Why a method cannot be done on the images; the node's inputs are loaded by their names, but for files that say no more
    than the images themselves.
    """
    return method.fits(_context(method, names, load))


def _forecast(
    method: Method[Any], names: Sequence[str], load: Callable[[str], Any]
) -> tuple[list[StageForecast], ExecutionSettings]:
    """What is left to be done of a method, likewise, and where."""
    context = _context(method, names, load)
    return forecast(context), context.execution


def _context(method: Method[Any], names: Sequence[str], load: Callable[[str], Any]) -> Context[Any]:
    first = [*method.parameter_names, *_SHARED, *method.data, RUNS]
    given = {key: load(name) for key, name in zip(first, names, strict=False) if key not in method.data[2:]}
    models, data = ([given[name] for name in part] for part in (method.parameter_names, method.data[:2]))
    shared = {name: given[name] for name in _SHARED}
    return make_context(method, models, data=data, runs=RunStore(Path(given[RUNS])), **shared)


def _in_context(method: Method[Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that makes the context of its first inputs; Kedro validates parameters by their types."""
    types = {name: settings_model(name) for name in method.parameter_names} | _SHARED
    first = [*types, *method.data, RUNS]
    last = [*inspect.signature(function).parameters.values()][1:]

    @wraps(function)
    def node(*inputs: Any) -> Any:
        given, others = dict(zip(first, inputs, strict=False)), inputs[len(first) :]
        models, data = ([given[name] for name in names] for names in (method.parameter_names, method.data))
        shared = {name: given[name] for name in _SHARED}
        context = make_context(method, models, data=data, runs=RunStore(Path(given[RUNS])), **shared)
        return function(context, *others)

    positional = inspect.Parameter.POSITIONAL_ONLY
    parameters = [inspect.Parameter(name, positional) for name in first]
    node.__signature__ = inspect.Signature([*parameters, *(parameter.replace(kind=positional) for parameter in last)])  # type: ignore[attr-defined]
    others = {parameter.name: parameter.annotation for parameter in last}
    node.__annotations__ = types | {name: model for name, model in others.items() if _is_settings(model)}
    return node


def _is_settings(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Settings)
