"""The graph of `data_prep`: source -> image set -> splits -> FFCV files and data card."""

from kedro.pipeline import Node, Pipeline

from vision_studies.catalog.study_runner import only_from_inputs
from vision_studies.pipelines.data_prep.nodes import (
    describe_data,
    plot_data_card,
    prepare_image_set,
    split_image_set,
    write_ffcv_files,
)


def create_pipeline(**_: object) -> Pipeline:
    """Prepare the images that every other pipeline trains on."""
    return Pipeline(
        [
            Node(
                prepare_image_set,
                inputs=["params:data_prep", "stored_image_set"],
                outputs="image_set",
                name="prepare_image_set",
                tags="preparation",
            ),
            Node(
                only_from_inputs(split_image_set),
                inputs=["params:data_prep", "image_set"],
                outputs="splits",
                name="split_image_set",
                tags="preparation",
            ),
            Node(
                only_from_inputs(write_ffcv_files),
                inputs=["params:data_prep", "image_set", "splits", "stored_ffcv_files"],
                outputs="ffcv_files",
                name="write_ffcv_files",
                tags="preparation",
            ),
            Node(
                only_from_inputs(describe_data),
                inputs=["image_set", "splits"],
                outputs="data_card",
                name="describe_data",
                tags="preparation",
            ),
            Node(
                only_from_inputs(plot_data_card),
                inputs=["data_card", "image_set", "splits"],
                outputs="data_card_figure",
                name="plot_data_card",
                tags="figures",
            ),
        ],
        namespace="data_prep",
        parameters={"params:data_prep"},
        outputs={"image_set", "splits", "ffcv_files"},
    )
