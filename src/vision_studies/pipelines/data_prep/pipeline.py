"""The graph of `data_prep`: source -> image set -> splits -> FFCV files and data card."""

from kedro.pipeline import Node, Pipeline

from vision_studies.catalog.study_runner import only_from_inputs
from vision_studies.pipelines.data_prep import nodes

_SETTINGS = "params:data_prep"


def create_pipeline(**_: object) -> Pipeline:
    """Prepare the images that every other pipeline trains on."""
    pure = (nodes.split_image_set, nodes.describe_data, nodes.plot_data_card)
    graph = (
        (nodes.prepare_image_set, [_SETTINGS, "stored_image_set"], "image_set", "preparation"),
        (nodes.split_image_set, [_SETTINGS, "image_set"], "splits", "preparation"),
        (nodes.write_ffcv_files, [_SETTINGS, "image_set", "splits", "stored_ffcv_files"], "ffcv_files", "preparation"),
        (nodes.describe_data, ["image_set", "splits"], "data_card", "preparation"),
        (nodes.plot_data_card, ["data_card", "image_set", "splits"], "data_card_figure", "figures"),
    )
    return Pipeline(
        [
            Node(only_from_inputs(node) if node in pure else node, inputs, output, name=node.__name__, tags=tag)
            for node, inputs, output, tag in graph
        ],
        namespace="data_prep",
        parameters={_SETTINGS},
        outputs={"image_set", "splits", "ffcv_files"},
    )
