"""The runs of `mlp_transfer`, and what is done to them."""

from vision_studies.pipelines.mlp_transfer.settings import MlpTransferSettings
from vision_studies.studies.method import Context
from vision_studies.studies.runs import Run

Widths = tuple[int, ...]
Hyperparameters = dict[str, float]
TRAINING, EVALUATION = "training", "evaluation"
SEARCH, RETRAINING, TRANSFER = "search", "retraining", "transfer"
TRIAL_SCORES, TRANSFER_SCORES = "trial scores", "transfer scores"
Perceptrons = Context[MlpTransferSettings]


def perceptron_run(
    context: Perceptrons, variant: str, seed: int, widths: Widths, hyperparameters: Hyperparameters, trial: int = 0
) -> Run:
    """One perceptron to train."""
    return context.run(variant, seed, context.settings.run(widths, hyperparameters), trial=trial)
