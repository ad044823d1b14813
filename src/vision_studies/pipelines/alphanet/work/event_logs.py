"""Training logs that TensorBoard shows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from vision_studies.errors import MissingDependencyError, not_installed
from vision_studies.files import atomic_folder

_GROUPS = ("coefficient", "validation", "test")
"""Columns that begin so stand in one group of charts."""


def require_tensorboard() -> None:
    """Find out whether logs can be written.

    Raises:
        MissingDependencyError: TensorBoard is not installed.
    """
    if missing := not_installed(("tensorboard",)):
        raise MissingDependencyError(
            f"alphanet.tensorboard=true needs {missing}: `pip install vision-studies[tensorboard]`, or leave out "
            "alphanet.tensorboard=true."
        )


def write_event_logs(
    folder: Path, name: str, state: Mapping[str, Tensor], history: pd.DataFrame, scored: Mapping[str, Any]
) -> None:
    """Write the loss of every step, what is known of every epoch, and the scores of the epoch that was kept; all or nothing.

    Args:
        folder: of the logs; what it held before is gone.
        name: of the folder in it that holds them, by which TensorBoard calls the run.
        state: of a trained network, from its file: batch_losses and, where the run is not older than they are,
            epoch_coefficients, of which there is a histogram for each neighbour, from the nearest on.
        history: one row an epoch: losses, accuracies, and mean, minimum and maximum of coefficients.
        scored: what the evaluation has measured, columns of the results table; those of test images are logged.

    Raises:
        MissingDependencyError: TensorBoard is not installed.
    """
    require_tensorboard()
    from torch.utils.tensorboard import SummaryWriter

    with atomic_folder(folder) as temporary, SummaryWriter(str(temporary / name)) as writer:
        for step, loss in enumerate(state["batch_losses"].tolist()):
            writer.add_scalar("batch_loss", loss, step)
        for row in history.to_dict("records"):
            epoch = row.pop("epoch")
            for column, value in row.items():
                if value == value:  # noqa: PLR0124 - NaN
                    writer.add_scalar(_tag(str(column)), value, epoch)
        kept = state.get("epoch_coefficients", ())
        for epoch, coefficients in zip(history["epoch"].tail(len(kept)), kept, strict=True):
            for position, values in enumerate(coefficients.T, start=1):
                writer.add_histogram(f"coefficient/{position}", values, epoch)
        for metric, value in {**scored, **scored["other_metrics"]}.items():
            if metric.startswith("test_"):
                writer.add_scalar(_tag(metric), value)


def _tag(column: str) -> str:
    kind, _, rest = column.partition("_")
    return f"{kind}/{rest}" if kind in _GROUPS else column
