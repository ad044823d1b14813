"""The steps of `transfer_cuts`: those that train, compare, write down and draw."""

import json
from itertools import combinations
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from vision_studies.config.study import ReportingSettings
from vision_studies.errors import DataError
from vision_studies.figures.style import stamped
from vision_studies.pipelines.partitions import loaded
from vision_studies.pipelines.transfer_cuts import plots
from vision_studies.pipelines.transfer_cuts.published_files import results_file, results_values
from vision_studies.pipelines.transfer_cuts.settings import BASELINE, TransferCutsSettings, mode_label
from vision_studies.pipelines.transfer_cuts.stages import (
    EVALUATION,
    FINE_TUNING,
    PRETRAINING,
    TRAINING,
    Cuts,
    pretraining_runs,
    share_name,
    study_cells,
)
from vision_studies.studies.method import run_stages


def pretrain_networks(context: Cuts) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train a network on the first classes with every pretraining seed; return rows and histories of all."""
    run_stages(context, PRETRAINING)
    runs = pretraining_runs(context)
    return context.table(runs, [PRETRAINING]), context.histories(runs)


def fine_tune_networks(context: Cuts, pretraining: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cut the networks and train them on the new classes; return a row a cell of the table, and histories of runs."""
    missing = {run.fingerprint for run in pretraining_runs(context)} - set(pretraining["run_fingerprint"])
    if missing:
        raise DataError(
            "The study's pretraining was made with another configuration; run it first: the same command without --tags."
        )
    run_stages(context, FINE_TUNING)
    runs = [cell.run for cell in study_cells(context)]
    unique = {run.fingerprint: run for run in runs}
    return context.table(runs, [TRAINING]), context.histories([*unique.values()])


def evaluate_networks(context: Cuts, _training: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score every fine-tuned network once.

    Returns:
        The results table, and accuracies by mode, cut, fraction and repeat.
    """
    run_stages(context, EVALUATION)
    cells = study_cells(context)
    results = context.table([cell.run for cell in cells], [TRAINING, EVALUATION])
    cell_of = {(cell.run.variant, cell.run.seed): cell for cell in cells}
    counted = ["training_images"]  # what belongs to the fraction
    if context.settings.fine_tuning.validation == "counted":
        counted.append("validation_images")
    rows, conditions = [], []
    for row in results.to_dict("records"):
        cell = cell_of[row["variant"], row["seed"]]
        other = json.loads(row["other_metrics"]) if isinstance(row["other_metrics"], str) else {}
        conditions.append(share_name(cell.fraction))
        rows.append(
            {
                "mode": cell.mode,
                "cut": cell.cut,
                "fraction": cell.fraction,
                "repeat": row["seed"],
                "images": sum(other.get(images, 0) for images in counted),
                "train_accuracy": other.get("train_accuracy"),
                **{name: row[name] for name in ("validation_accuracy", "test_accuracy", "status")},
            }
        )
    return results.assign(condition=conditions), pd.DataFrame(rows)


def score_features(context: Cuts, _pretraining: pd.DataFrame) -> pd.DataFrame:
    """Scores of the features at every cut, which need no training; none where the study asks for none. See `scores.score_cuts`.

    Returns:
        Columns score, cut, fraction, repeat, images, value and seconds.
    """
    from vision_studies.pipelines.transfer_cuts.scores import score_cuts

    return score_cuts(context)


def compare_cuts(
    settings: TransferCutsSettings, reporting: ReportingSettings, accuracies: pd.DataFrame, scores: pd.DataFrame
) -> dict[str, Any]:
    """Statistics of every mode, and of every two modes at the same cut.

    Returns:
        `<mode>/description`, `<mode>/comparisons`, `<mode>/ranks` and `<mode>_against_<mode>`, each a table; and
        `<mode>/scores` where features are scored.
    """
    from vision_studies.pipelines.transfer_cuts import rankings

    confidence, interval = reporting.confidence, reporting.interval
    tables: dict[str, Any] = {}
    for mode in settings.modes:
        table = _one_mode(accuracies, mode)
        comparisons = rankings.compare_pairs(table, confidence=confidence)
        tables[f"{mode}/description"] = rankings.describe(table, confidence=confidence, interval=interval)
        tables[f"{mode}/comparisons"] = comparisons
        tables[f"{mode}/ranks"] = rankings.rank_cuts(table, comparisons)
        if settings.scores:
            from vision_studies.pipelines.transfer_cuts.scores import rank_scores

            tables[f"{mode}/scores"] = rank_scores(scores, accuracies, mode, confidence=confidence, interval=interval)
    for first, second in _pairs(settings):
        both = _one_mode(accuracies, first), _one_mode(accuracies, second)
        tables[f"{first}_against_{second}"] = rankings.compare_experiments(*both, confidence=confidence)
    return tables


def conclude(
    settings: TransferCutsSettings, reporting: ReportingSettings, accuracies: pd.DataFrame, statistics: dict[str, Any]
) -> list[str]:
    """What the study has found, in sentences."""
    from vision_studies.pipelines.transfer_cuts.ranking_texts import experiment_sentences, sentences

    conclusions = []
    if settings.notice:
        conclusions.append(
            "Protocol: published. Accuracies are measured on all training images of the new classes, those learnt from "
            "among them, and few images are few steps; they say how the published numbers come about."
        )
    several = len(settings.modes) > 1
    bounds: list[str] = []  # what so few repeats cannot tell, which is the same for all modes
    for mode in settings.modes:
        comparisons = loaded(statistics[f"{mode}/comparisons"])
        for sentence in sentences(_one_mode(accuracies, mode), comparisons, confidence=reporting.confidence):
            if "no difference can be significant" in sentence:
                bounds.append(sentence)
            else:
                named = f"{mode_label(mode)}: {sentence[0].lower()}{sentence[1:]}"
                conclusions.append(named if several else sentence)
    for first, second in _pairs(settings):
        compared = loaded(statistics[f"{first}_against_{second}"])
        telling = compared.groupby("fraction")["can_be_significant"].transform("any")
        conclusions += experiment_sentences(compared[telling])
    return [*conclusions, *dict.fromkeys(bounds)]


def tabulate_cuts(settings: TransferCutsSettings, statistics: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Tables of every mode, and of every two modes, in Markdown and in LaTeX."""
    from vision_studies.pipelines.transfer_cuts import ranking_texts

    notice = f" ({settings.notice})" if settings.notice else ""
    numbers = {name: loaded(table) for name, table in statistics.items()}
    tables: dict[str, Any] = {}
    for mode in settings.modes:
        described, pairs = numbers[f"{mode}/description"], numbers[f"{mode}/comparisons"]
        title = f"Test accuracy, {mode_label(mode)}{notice}"
        tables[mode] = ranking_texts.accuracies(described, pairs, title, f"tab:{mode}")
        if (ranked := numbers.get(f"{mode}/scores")) is not None and len(ranked):
            title = f"Scores without training, {mode_label(mode)}{notice}"
            tables[f"{mode}_scores"] = ranking_texts.score_ranks(ranked, title, f"tab:{mode}_scores")
    for first, second in _pairs(settings):
        name = f"{first}_against_{second}"
        both = numbers[f"{first}/description"], numbers[f"{second}/description"]
        title = f"{mode_label(first)} against {mode_label(second)}{notice}"
        tables[name] = ranking_texts.experiments(*both, numbers[name], title, f"tab:{name}")
    markdown = {name: table.markdown() for name, table in tables.items()}
    return markdown, {name: table.latex() for name, table in tables.items()}


def write_original_layout(settings: TransferCutsSettings, accuracies: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """The runs in the layout of the project "mp-tl-study": `baselines_<classes>` and `cuts_<classes>_<mode>`."""
    parameters = settings.model_dump(mode="json")
    rate = settings.fine_tuning.optimizer.learning_rate
    scored = accuracies.dropna(subset=["test_accuracy"])
    return {
        results_file(settings.classes.label, mode).removesuffix(".json"): results_values(
            scored, parameters, mode=mode, learning_rate=rate
        )
        for mode in (BASELINE, *settings.modes)
    }


def plot_cuts(
    settings: TransferCutsSettings, accuracies: pd.DataFrame, statistics: dict[str, Any]
) -> tuple[Figure, Figure, Figure, Figure]:
    """What a reader wants first: all modes, and boxes, differences and means of the first of them."""
    mode = settings.modes[0]
    table, label = _one_mode(accuracies, mode), mode_label(mode)
    labels: dict[str, str] = {each: mode_label(each) for each in settings.modes}
    figures = (
        plots.mode_lines(accuracies.dropna(subset=["test_accuracy"]), labels),
        plots.box_plot(table, loaded(statistics[f"{mode}/ranks"]), title=f"Test accuracy of each cut, {label}"),
        plots.difference_lines(table, title=f"Median of each cut minus that of the baseline, {label}"),
        plots.heat_map(table, title=f"Mean test accuracy (%), {label}", limits=plots.mean_limits(accuracies)),
    )
    return stamped(figures, settings.notice)


def plot_every_mode(
    settings: TransferCutsSettings, accuracies: pd.DataFrame, statistics: dict[str, Any]
) -> dict[str, Figure]:
    """Every kind of figure for every mode, and every two modes beside each other; for those who look for one."""
    figures, limits = {}, plots.mean_limits(accuracies)
    for mode in settings.modes:
        table, title = _one_mode(accuracies, mode), f"Test accuracy of each cut, {mode_label(mode)}"
        figures[f"{mode}/box_plot"] = plots.box_plot(table, loaded(statistics[f"{mode}/ranks"]), title=title)
        kinds = [plots.full_box_plot, plots.difference_lines, plots.accuracy_lines, plots.range_lines, plots.bars]
        figures |= {f"{mode}/{draw.__name__}": draw(table) for draw in kinds}
        means = f"Mean test accuracy (%), {mode_label(mode)}"
        figures[f"{mode}/heat_map"] = plots.heat_map(table, title=means, limits=limits)
        if min(plots.percents(table[table["cut"] >= 0]).shape) > 1:  # fewer make no surface
            figures[f"{mode}/surface"] = plots.surface(table, title=means, limits=limits)
        if f"{mode}/scores" in statistics:
            ranked = f"How well scores without training rank the cuts, {mode_label(mode)}"
            figures[f"{mode}/scores"] = plots.score_ranks(loaded(statistics[f"{mode}/scores"]), title=ranked)
    for first, second in _pairs(settings):
        name = f"{first}_against_{second}"
        figures[name] = plots.hatched_comparison(_one_mode(accuracies, first), loaded(statistics[name]))
    return stamped(figures, settings.notice)


def _one_mode(accuracies: pd.DataFrame, mode: str) -> pd.DataFrame:
    """Scored runs of a mode, with the baseline."""
    from vision_studies.pipelines.transfer_cuts.rankings import only_mode

    return only_mode(accuracies.dropna(subset=["test_accuracy"]), mode)


def _pairs(settings: TransferCutsSettings) -> list[tuple[str, str]]:
    """Modes that share cuts to be compared at; fine-tuning everything has one place only."""
    return list(combinations([mode for mode in settings.modes if mode != "fine_tune"], 2))
