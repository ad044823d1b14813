"""The files of a run as a whole in the published project ("Hyperparameter-Experiment").

What lies below its `search/` and `transfer/` a study writes as it goes; see `nodes.tabulate_search` and `tabulate_transfer`.
Paths are as the project writes them: from the folder in which its script is started.
"""

CONFIGURATIONS = {"search": "configs/search.yaml", "transfer": "configs/transfer.yaml"}
"""Phase -> where its configuration lies."""


def run_manifest(run_folder: str) -> dict[str, str]:
    """What stands in `run_manifest.yaml` of a run: where its phases have written, and the project's own files that configure them.

    Args:
        run_folder: of the run, such as `runs/mnist_20260218_144328`.

    Examples:
        >>> from vision_studies.pipelines.mlp_transfer.published_files import run_manifest
        >>> run_manifest("runs/mnist")["search_output_dir"]
        'runs/mnist/search'
    """
    return {
        "run_dir": run_folder,
        **{f"{phase}_output_dir": f"{run_folder}/{phase}" for phase in CONFIGURATIONS},
        **{f"{phase}_config_path": path for phase, path in CONFIGURATIONS.items()},
    }
