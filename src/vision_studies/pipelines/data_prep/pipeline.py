"""The graph of `data_prep`: source -> image set -> splits -> FFCV files and data card."""

from collections.abc import Callable
from typing import Any

from kedro.pipeline import Node, Pipeline

from vision_studies.catalog.study_runner import only_from_inputs
from vision_studies.pipelines.data_prep import nodes

_SETTINGS = "params:data_prep"


def create_pipeline(**_: object) -> Pipeline:
    """Prepare the images that every other pipeline trains on."""
    ffcv_inputs = [_SETTINGS, "image_set", "splits", "stored_ffcv_files"]
    graph: list[tuple[Callable[..., Any], list[str], str, str]] = [
        (nodes.prepare_image_set, [_SETTINGS, "stored_image_set"], "image_set", "preparation"),
        (only_from_inputs(nodes.split_image_set), [_SETTINGS, "image_set"], "splits", "preparation"),
        (only_from_inputs(nodes.write_ffcv_files), ffcv_inputs, "ffcv_files", "preparation"),
        (only_from_inputs(nodes.describe_data), ["image_set", "splits"], "data_card", "preparation"),
        (only_from_inputs(nodes.plot_data_card), ["data_card", "image_set", "splits"], "data_card_figure", "figures"),
        (only_from_inputs(nodes.plot_image_check), ["image_set"], "image_check_figure", "figures"),
    ]
    return Pipeline(
        [Node(node, inputs, output, name=node.__name__, tags=tag) for node, inputs, output, tag in graph],
        namespace="data_prep",
        parameters={_SETTINGS},
        outputs={"image_set", "splits", "ffcv_files"},
    )
