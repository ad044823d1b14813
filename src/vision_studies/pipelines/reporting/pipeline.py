"""The graph of `reporting`: results tables and figures of the study -> one page."""

from collections.abc import Sequence

from kedro.pipeline import Node, Pipeline

from vision_studies.pipelines.reporting.nodes import build_report


def create_pipeline(after: Sequence[str] = (), **_: object) -> Pipeline:
    """Report what a study has found.

    Args:
        after: data sets of other pipelines to wait for. The report reads whatever results lie in the study's folders,
            so on its own it depends on none of them; in one run with them it must come last.
    """
    awaited = {f"awaited_{number}": name for number, name in enumerate(after)}
    return Pipeline(
        [
            Node(
                build_report,
                inputs=["params:study", "params:reporting", "results_folder", "figures_folder", *awaited],
                outputs=["page", "summary"],
                name="build_report",
            )
        ],
        namespace="reporting",
        inputs=awaited,
        parameters={"params:study", "params:reporting"},
    )
