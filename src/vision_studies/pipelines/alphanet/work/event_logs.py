"""Training logs that TensorBoard shows."""

from pathlib import Path

import pandas as pd
from torch import Tensor

from vision_studies.errors import MissingDependencyError
from vision_studies.files import atomic_folder


def require_tensorboard() -> None:
    """Find out whether logs can be written.

    Raises:
        MissingDependencyError: TensorBoard is not installed.
    """
    try:
        import torch.utils.tensorboard  # noqa: F401 - whether it is there
    except ImportError as error:
        raise MissingDependencyError(
            "alphanet.tensorboard is true but TensorBoard is not installed; run `pip install tensorboard` or set it to false."
        ) from error


def write_event_logs(batch_losses: Tensor, history: pd.DataFrame, folder: Path) -> None:
    """Write the loss of every step, and losses, accuracies and coefficients of every epoch; all or nothing.

    Args:
        batch_losses: float32, of every step.
        history: one row an epoch.
        folder: of the logs; what it held before is gone.

    Raises:
        MissingDependencyError: TensorBoard is not installed.
    """
    require_tensorboard()
    from torch.utils.tensorboard import SummaryWriter

    with atomic_folder(folder) as temporary, SummaryWriter(str(temporary)) as writer:
        for step, loss in enumerate(batch_losses.tolist()):
            writer.add_scalar("batch_loss", loss, step)
        for row in history.to_dict("records"):
            for name, value in row.items():
                if name != "epoch" and value == value:  # noqa: PLR0124 - NaN
                    kind, _, rest = str(name).partition("_")
                    # Columns of one kind stand in one group of charts.
                    tag = f"{kind}/{rest}" if kind in ("coefficient", "validation") else name
                    writer.add_scalar(tag, value, row["epoch"])
