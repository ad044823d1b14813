"""The files of a run as a whole in the published project ("Hyperparameter-Experiment").

What lies below its `search/` and `transfer/` a study writes as it goes; see `nodes.tabulate_search` and `tabulate_transfer`.
Paths are as the project writes them: from the folder in which its script is started.
"""

from typing import Any

from vision_studies.pipelines.mlp_transfer.settings import MlpTransferSettings

CONFIGURATIONS = {"search": "configs/search.yaml", "transfer": "configs/transfer.yaml"}
"""Phase -> where its configuration lies."""


def run_manifest(run_folder: str) -> dict[str, str]:
    """What stands in `run_manifest.yaml` of a run: where its phases have written, and with which configurations.

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


def phase_configurations(settings: MlpTransferSettings, run_folder: str) -> dict[str, dict[str, Any]]:
    """What stands in the configurations that `run_manifest` names: path -> content of the YAML file.

    Transfer has the seeds of retraining, as regret is paired by them.
    """
    folders = run_manifest(run_folder)
    seeds, output = list(settings.seeds), "output_dir"
    search = {"num_trials": settings.search.trials, "seed": settings.search.seed}
    transfer = {"seeds": seeds, "search_dir": folders["search_output_dir"]}
    return {
        CONFIGURATIONS["search"]: {"search": search, "retrain": {"seeds": seeds}, output: folders["search_output_dir"]},
        CONFIGURATIONS["transfer"]: {"transfer": transfer, output: folders["transfer_output_dir"]},
    }
