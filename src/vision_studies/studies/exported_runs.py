"""Folders of exported runs: what they are called, and calling them otherwise."""

import json
from pathlib import Path

from vision_studies.errors import ParameterError
from vision_studies.studies.stored_runs import StoredRun, require_label

CONFIG_FILE, FINGERPRINT = "config.json", "run_fingerprint"
"""File of an exported run, and its key that says which run it is."""


def export_name(run: StoredRun) -> str:
    """What the folder of an exported run is called: its label, or else network, validation accuracy in percent, best epoch and
    fingerprint, as in `resnet_small_acc94.56_epoch195_3f2a91c0`. Raises ParameterError where its label cannot be that name.
    """
    if run.label:
        require_label(run.label)
        return run.label
    network = run.description["configuration"]["model"]["name"]
    accuracy, epoch = 100 * run.metric("validation_accuracy"), run.metric("best_epoch")
    return f"{network}_acc{accuracy:.2f}_epoch{epoch}_{run.fingerprint[:8]}"


def renamed_export(parent: Path, run: StoredRun, name: str) -> tuple[Path, Path] | None:
    """The folder in `parent` to which a run was exported, and what it is to be called; None where there is none, or it is
    called so already. Raises ParameterError where there are several, or something else is called so.
    """
    exports = [file.parent for file in sorted(parent.glob(f"*/{CONFIG_FILE}")) if _fingerprint(file) == run.fingerprint]
    if len(exports) > 1:
        raise ParameterError(
            f"{' and '.join(map(str, exports))} are both exports of {run.fingerprint}, and two folders cannot have one name; "
            "delete or move one."
        )
    target = parent / name
    if not exports or exports[0] == target:
        return None
    if target.exists():
        raise ParameterError(f"{target} is there already and holds something else; choose another label, or move it.")
    return exports[0], target


def _fingerprint(file: Path) -> str | None:
    """Fingerprint of the run that a `config.json` is of; None of another file that is called so."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content.get(FINGERPRINT) if isinstance(content, dict) else None
