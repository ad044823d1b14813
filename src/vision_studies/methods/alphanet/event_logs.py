"""Training logs that TensorBoard shows."""

from pathlib import Path

from vision_studies.errors import MissingDependencyError
from vision_studies.methods.alphanet.training import TrainedAlphaNet


def write_event_logs(trained: TrainedAlphaNet, folder: Path) -> None:
    """Write the loss of every step, and losses, accuracies and coefficients of every epoch.

    Raises:
        MissingDependencyError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingDependencyError(
            "alphanet.tensorboard is true but TensorBoard is not installed; run `pip install tensorboard` or set it to false."
        ) from error
    with SummaryWriter(str(folder)) as writer:
        for step, loss in enumerate(trained.batch_losses.tolist()):
            writer.add_scalar("batch_loss", loss, step)
        for row in trained.history.to_dict("records"):
            for name, value in row.items():
                if name != "epoch" and value == value:  # noqa: PLR0124 - NaN
                    writer.add_scalar(_tag(str(name)), value, row["epoch"])


def _tag(column: str) -> str:
    """Columns of one kind in one group of charts."""
    kind, _, rest = column.partition("_")
    return f"{kind}/{rest}" if kind in ("coefficient", "validation") else column
