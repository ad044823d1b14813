"""The graph of `reporting`: results tables, sentences and figures of studies -> their pages, and one of all studies."""

from collections.abc import Sequence

from kedro.pipeline import Node, Pipeline

from vision_studies.catalog.study_runner import only_from_inputs
from vision_studies.pipelines.reporting.nodes import compare_studies, report_studies, state_of_studies


def create_pipeline(after: Sequence[str] = (), **_: object) -> Pipeline:
    """Report what studies have found.

    Args:
        after: data sets of other pipelines to wait for. The report reads whatever results lie in the studies' folders,
            so on its own it depends on none of them; in one run with them it must come last.
    """
    awaited = {f"awaited_{number}": name for number, name in enumerate(after)}
    return Pipeline(
        [
            Node(
                only_from_inputs(report_studies, state_of_studies),
                inputs=["params:study", "params:reporting", "outputs_folder", "reports_folder", *awaited],
                outputs=[
                    *("page_scripts", "pages", "markdown_tables", "latex_tables", "csv_tables"),
                    *("verdict", "study_card", "summary"),
                ],
                name="report_studies",
                tags=["report"],
            ),
            Node(
                only_from_inputs(compare_studies, state_of_studies),
                inputs=["params:study", "params:reporting", "outputs_folder", "reports_folder", "pages"],
                outputs=["index_scripts", "index", "comparison", "best_markdown", "best_latex"],
                name="compare_studies",
                tags=["report"],
            ),
        ],
        namespace="reporting",
        inputs=awaited,
        parameters={"params:study", "params:reporting"},
    )
