"""The runs of `mlp_transfer`, and what is done to them."""

from vision_studies.pipelines.mlp_transfer.settings import MlpTransferSettings, Perceptron
from vision_studies.studies.method import Context
from vision_studies.studies.runs import Run

Hyperparameters = dict[str, float]
TRAINING, EVALUATION = "training", "evaluation"
SEARCH, RETRAINING, TRANSFER = "search", "retraining", "transfer"
TRIAL_SCORES, TRANSFER_SCORES = "trial scores", "transfer scores"
Perceptrons = Context[MlpTransferSettings]


def perceptron_run(
    context: Perceptrons, perceptron: Perceptron, seed: int, hyperparameters: Hyperparameters, trial: int = 0
) -> Run:
    """One perceptron to train."""
    configuration = context.settings.run(perceptron.widths, hyperparameters, perceptron.parametrisation)
    return context.run(perceptron.name, seed, configuration, trial=trial)
