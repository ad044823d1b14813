"""Independent networks combined without further training: what a trained stack has to beat.

Sources: deep ensembles (Lakshminarayanan et al. 2017), the super learner (van der Laan et al. 2007), ensemble selection
(Caruana et al. 2004), greedy model soup (Wortsman et al. 2022). Whatever is chosen is chosen on validation images.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import softmax
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from vision_studies.outcomes import Outcome
from vision_studies.pipelines.stacking.outputs import (
    SplitOutputs,
    from_probabilities,
    load_outputs,
    metrics_on_validation,
    save_outputs,
)
from vision_studies.pipelines.stacking.settings import CombinationRun
from vision_studies.pipelines.stacking.views import view_name
from vision_studies.pipelines.stacking.work import Job, build, outputs_on_test, score
from vision_studies.run_folders import WEIGHTS_FILE
from vision_studies.training.checkpoints import load_weights, save_weights
from vision_studies.training.precision import place_images, place_model

SELECTION_ROUNDS = 50
"""Rounds of ensemble selection; a member may be chosen in several."""


def combine(job: Job[CombinationRun], members: Sequence[Path], costs: Sequence[dict[str, Any]]) -> Outcome:
    """Choose how the members are combined, by what they say of the validation images.

    Writes what the combination says of the validation images; the weights of the members stand in `other_metrics`.

    Args:
        members: folders of their runs, trained.
        costs: their columns of the results table: parameters, macs, seconds, device.
    """
    run, folder = job.run, job.folder
    member_outputs = [load_outputs(member, "validation") for member in members]
    probabilities, labels = np.stack([outputs.probabilities for outputs in member_outputs]), member_outputs[0].labels
    parameters, macs = (sum(cost[name] for cost in costs) for name in ("parameters", "macs"))
    if run.rule == "soup" and not run.mock:
        order = sorted(range(len(member_outputs)), key=lambda member: -_accuracy(probabilities[member], labels))
        soup, model = greedy_soup(job, order, members)
        weights = np.bincount(soup, minlength=len(member_outputs)) / len(soup)
        save_weights(model, folder / WEIGHTS_FILE)
        outputs = score(model, Job(run.members[0], *job[1:]), "validation")
        parameters, macs = costs[0]["parameters"], costs[0]["macs"]
    else:
        weights = member_weights("best_learner" if run.rule == "soup" else run.rule, probabilities, labels)
        outputs = _weighted(member_outputs, weights)
        if np.count_nonzero(weights) == 1:
            parameters, macs = (costs[int(weights.argmax())][name] for name in ("parameters", "macs"))
    save_outputs(outputs, folder, "validation")
    metrics = {
        "parameters": parameters,
        "macs": macs,
        "seconds": sum(cost["seconds"] for cost in costs),
        "device": costs[0]["device"],
        **metrics_on_validation(outputs),
        "other_metrics": {f"weight_{number}": float(weight) for number, weight in enumerate(weights, start=1)},
    }
    return Outcome(metrics, predictions=(outputs.predictions("validation"),))


def chosen_weights(metrics: dict[str, Any]) -> list[float]:
    """Weights of the members, as `combine` has chosen them, from its metrics."""
    others = metrics["other_metrics"]
    return [others[f"weight_{number}"] for number in range(1, sum(name.startswith("weight_") for name in others) + 1)]


def combined_on_test(
    job: Job[CombinationRun], members: Sequence[Path], weights: Sequence[float], view: int = 0
) -> SplitOutputs:
    """What a combination says of a view of the test images, with the weights that `combine` chose; members have been scored."""
    if job.run.rule == "soup" and not job.run.mock:
        return outputs_on_test(Job(job.run.members[0], *job[1:]), view)
    return _weighted([load_outputs(member, view_name(view)) for member in members], np.asarray(weights))


def member_weights(rule: str, probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Weights [members], at or above 0 with sum 1, of the members' probabilities.

    Args:
        rule: "average"; "best_learner": all on the member with the highest accuracy, of equals the one with the lowest loss;
            "weighted_average": those with the lowest log-likelihood loss; "greedy": how often each is chosen by ensemble
            selection for accuracy, of equals for loss.
        probabilities: [members, N, classes].
        labels: int [N].

    Examples:
        >>> import numpy as np
        >>> from vision_studies.pipelines.stacking.combinations import member_weights
        >>> right, wrong = [[0.9, 0.1], [0.2, 0.8]], [[0.4, 0.6], [0.5, 0.5]]
        >>> labels = np.array([0, 1])
        >>> member_weights("average", np.array([wrong, right]), labels).tolist()
        [0.5, 0.5]
        >>> member_weights("best_learner", np.array([wrong, right]), labels).tolist()
        [0.0, 1.0]
    """
    count = len(probabilities)
    match rule:
        case "average":
            return np.full(count, 1 / count)
        case "best_learner":
            best = max(range(count), key=lambda member: _merit(probabilities[member], labels))
            return np.eye(count)[best]
        case "weighted_average":
            likelihood = np.maximum(probabilities[:, np.arange(len(labels)), labels].astype(np.float64), 1e-12)
            # Softmax keeps the weights on the simplex, where the loss is convex.
            optimum = minimize(lambda logits: -np.log(softmax(logits) @ likelihood).mean(), np.zeros(count))
            return softmax(optimum.x)
        case "greedy":
            return _ensemble_selection(probabilities, labels)
    raise ValueError(f"no rule gives weights for '{rule}'")


def greedy_soup(job: Job[CombinationRun], order: Sequence[int], members: Sequence[Path]) -> tuple[list[int], nn.Module]:
    """Average the weights of networks of one architecture, in this order, as long as the validation accuracy does not fall.

    Networks with first weights of their own seldom have a common basin: their soup is then the best of them alone.
    `members` are the folders of their runs.

    Returns:
        The members in the soup, and the network with the mean of their weights; statistics of norms are taken anew from
        the training images wherever weights were averaged.
    """
    runs = job.run.members
    states = {
        member: load_weights(build(runs[member], job.seed, job.data), members[member] / WEIGHTS_FILE).state_dict()
        for member in order
    }
    model, one = build(runs[0], job.seed, job.data), Job(runs[0], *job[1:])

    def accuracy_of(chosen: Sequence[int]) -> float:
        return soup_accuracy(model, [states[member] for member in chosen], one)

    soup = greedy_ingredients(order, accuracy_of)
    accuracy_of(soup)
    return soup, model


def greedy_ingredients(order: Sequence[int], accuracy_of: Callable[[Sequence[int]], float]) -> list[int]:
    """Members of a soup: each, in their order, joins where that does not lower the accuracy of what is there."""
    soup = [order[0]]
    best = accuracy_of(soup)
    for member in order[1:]:
        accuracy = accuracy_of([*soup, member])
        if accuracy >= best:
            soup, best = [*soup, member], accuracy
    return soup


def soup_accuracy(model: nn.Module, states: Sequence[dict[str, Tensor]], job: Job[Any]) -> float:
    """Validation accuracy of `model` with the mean of weights, which it keeps; of several, norms take statistics anew."""
    run, _, data, _, device = job
    mean = {
        name: torch.stack([state[name] for state in states]).mean(dim=0) if value.is_floating_point() else value
        for name, value in states[0].items()
    }
    model.load_state_dict(mean)
    place_model(model, run.training, device)
    if len(states) > 1:
        loader = data.loader("train", kind=run.loader, batch_size=run.evaluation.batch_size, device=device)
        update_bn((place_images(batch.images, run.training, device) for batch in loader.epoch(0)), model)
    outputs = score(model, job, "validation")
    return _accuracy(outputs.probabilities, outputs.labels)


def _ensemble_selection(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    counts = np.zeros(len(probabilities))
    total = np.zeros(probabilities.shape[1:])
    best_merit, best_counts = (-np.inf, -np.inf), counts
    for chosen in range(1, SELECTION_ROUNDS + 1):
        merits = [_merit((total + values) / chosen, labels) for values in probabilities]
        member = max(range(len(merits)), key=merits.__getitem__)
        counts = counts + np.eye(len(counts))[member]
        total = total + probabilities[member]
        if merits[member] > best_merit:
            best_merit, best_counts = merits[member], counts
    return best_counts / best_counts.sum()


def _merit(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    likelihood = np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12)
    return _accuracy(probabilities, labels), float(np.log(likelihood).mean())


def _accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return float((probabilities.argmax(axis=1) == labels).mean())


def _weighted(member_outputs: Sequence[SplitOutputs], weights: np.ndarray) -> SplitOutputs:
    probabilities = np.tensordot(weights, np.stack([outputs.probabilities for outputs in member_outputs]), axes=1)
    logits = np.stack([outputs.logits[:, -1] for outputs in member_outputs], axis=1)
    return from_probabilities(member_outputs[0], probabilities, logits)
