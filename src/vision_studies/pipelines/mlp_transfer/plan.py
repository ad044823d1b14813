"""The runs of `mlp_transfer` beside its search: which hyperparameters are chosen, and who is trained with them."""

import json
from itertools import product
from typing import Any

import pandas as pd

from vision_studies.errors import DataError
from vision_studies.files import hash_json
from vision_studies.outcomes import COMPLETE
from vision_studies.pipelines.mlp_transfer.settings import MlpTransferSettings, architecture_name
from vision_studies.studies.method import Context
from vision_studies.studies.runs import Run

Widths = tuple[int, ...]
Hyperparameters = dict[str, float]
TRAINING, EVALUATION = "training", "evaluation"
Perceptrons = Context[MlpTransferSettings]


def perceptron_run(
    context: Perceptrons, variant: str, seed: int, widths: Widths, hyperparameters: Hyperparameters, trial: int = 0
) -> Run:
    """One perceptron to train."""
    return context.run(variant, seed, context.settings.run(widths, hyperparameters), trial=trial)


def choose_hyperparameters(context: Perceptrons, search_results: pd.DataFrame) -> dict[str, Any]:
    """The trial with the lowest validation loss of each architecture, the first of equals, and what it was chosen from.

    Raises:
        DataError: no trial of an architecture is complete.
    """
    chosen = {}
    for widths in context.settings.architectures:
        name = architecture_name(widths)
        trials = search_results[search_results["variant"] == name].sort_values("trial")
        complete = trials[(trials["status"] == COMPLETE) & trials["validation_loss"].notna()]
        if complete.empty:
            counts = ", ".join(f"{count} {status}" for status, count in trials["status"].value_counts().items())
            raise DataError(
                f"No trial of the architecture {name} gave usable weights ({counts}); lower "
                "mlp_transfer.search.space.lr.high, or raise mlp_transfer.search.trials."
            )
        best = complete.loc[complete["validation_loss"].idxmin()]
        configuration = json.loads(best["configuration"])
        prefix = "hyperparameters."
        chosen[name] = {
            "layers": list(widths),
            "hyperparameters": {
                key.removeprefix(prefix): value for key, value in configuration.items() if key.startswith(prefix)
            },
            "trial": int(best["trial"]),
            "validation_loss": float(best["validation_loss"]),
            "best_epoch": int(best["best_epoch"]),
            "terminating_epoch": int(json.loads(best["other_metrics"])["terminating_epoch"]),
            "run_fingerprint": best["run_fingerprint"],
        }
    return {"search": search_identity(context), "architectures": chosen}


def search_identity(context: Perceptrons) -> dict[str, Any]:
    """All that the choice of hyperparameters depends on, part by part, as hashes."""
    dumped = context.settings.model_dump(mode="json")
    parts = ("architectures", "search", "training", "normalise", "protocol")
    return {
        **{name: hash_json(dumped[name])[:16] for name in parts},
        "data": context.images.fingerprint,
        "method_version": context.method.version,
    }


def home_runs(context: Perceptrons, best: dict[str, Any]) -> list[Run]:
    """Every architecture with its own best hyperparameters and every seed."""
    return [
        perceptron_run(context, name, seed, tuple(chosen["layers"]), chosen["hyperparameters"])
        for seed in context.settings.seeds
        for name, chosen in best["architectures"].items()
    ]


def transfer_cells(context: Perceptrons, best: dict[str, Any]) -> list[tuple[str, str, Run]]:
    """Target, source and run, for every pair of architectures and every seed."""
    cells = []
    for (target, trained), (source, tuned) in product(best["architectures"].items(), repeat=2):
        for seed in context.settings.seeds:
            run = perceptron_run(context, target, seed, tuple(trained["layers"]), tuned["hyperparameters"])
            cells.append((target, source, run))
    return cells
