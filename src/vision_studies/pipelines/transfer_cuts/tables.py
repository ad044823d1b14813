"""Nodes of `transfer_cuts` that compare and write down."""

from itertools import combinations
from typing import Any

import pandas as pd

from vision_studies.config.reporting import ReportingSettings
from vision_studies.pipelines.partitions import loaded
from vision_studies.pipelines.transfer_cuts.settings import BASELINE, TransferCutsSettings


def compare_cuts(
    settings: TransferCutsSettings, reporting: ReportingSettings, accuracies: pd.DataFrame
) -> dict[str, Any]:
    """Statistics of every mode, and of every two modes at the same cut.

    Returns:
        `<mode>/description`, `<mode>/comparisons`, `<mode>/ranks` and `<mode>_against_<mode>`, each a table.
    """
    from vision_studies.pipelines.transfer_cuts.rankings import compare_experiments, compare_pairs, describe, rank_cuts

    tables: dict[str, Any] = {}
    own = {str(mode): one_mode(accuracies, mode) for mode in settings.modes}
    for mode, table in own.items():
        comparisons = compare_pairs(table, confidence=reporting.confidence)
        tables[f"{mode}/description"] = describe(table, confidence=reporting.confidence)
        tables[f"{mode}/comparisons"] = comparisons
        tables[f"{mode}/ranks"] = rank_cuts(table, comparisons)
    for first, second in _pairs(settings):
        tables[f"{first}_against_{second}"] = compare_experiments(
            own[first], own[second], confidence=reporting.confidence
        )
    return tables


def conclude(
    settings: TransferCutsSettings, reporting: ReportingSettings, accuracies: pd.DataFrame, statistics: dict[str, Any]
) -> list[str]:
    """What the study has found, in sentences."""
    from vision_studies.pipelines.transfer_cuts.ranking_sentences import experiment_sentences, sentences
    from vision_studies.pipelines.transfer_cuts.rankings import mode_label

    said = []
    if settings.protocol == "published":
        said.append(
            "Protocol: published. Accuracies are measured on all training images of the new classes, those learnt from "
            "among them, and few images are few steps; they say how the published numbers come about."
        )
    several = len(settings.modes) > 1
    bounds: list[str] = []  # what so few repeats cannot tell, which is the same for all modes
    for mode in settings.modes:
        own = sentences(
            one_mode(accuracies, mode), loaded(statistics[f"{mode}/comparisons"]), confidence=reporting.confidence
        )
        for sentence in own:
            if "no difference can be significant" in sentence:
                bounds.append(sentence)
            else:
                said.append(f"{mode_label(mode)}: {sentence[0].lower()}{sentence[1:]}" if several else sentence)
    for first, second in _pairs(settings):
        compared = loaded(statistics[f"{first}_against_{second}"])
        said += experiment_sentences(compared[compared.groupby("fraction")["can_be_significant"].transform("any")])
    said += dict.fromkeys(bounds)
    return said


def tabulate_cuts(settings: TransferCutsSettings, statistics: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Tables of every mode, and of every two modes, in Markdown and in LaTeX."""
    from vision_studies.pipelines.transfer_cuts import ranking_tables as cut_tables
    from vision_studies.pipelines.transfer_cuts.rankings import mode_label

    markdown: dict[str, str] = {}
    latex: dict[str, str] = {}
    label = " (protocol: published)" if settings.protocol == "published" else ""
    found = {name: loaded(table) for name, table in statistics.items()}
    for mode in settings.modes:
        title = f"Test accuracy, {mode_label(mode)}{label}"
        own, pairs = found[f"{mode}/description"], found[f"{mode}/comparisons"]
        table = cut_tables.accuracies(own, pairs, title, f"tab:{mode}")
        markdown[mode], latex[mode] = table.markdown(), table.latex()
    for first, second in _pairs(settings):
        name = f"{first}_against_{second}"
        title = f"{mode_label(first)} against {mode_label(second)}{label}"
        one, other = (found[f"{mode}/description"] for mode in (first, second))
        table = cut_tables.experiments(one, other, found[name], title, f"tab:{name}")
        markdown[name], latex[name] = table.markdown(), table.latex()
    return markdown, latex


def write_original_layout(settings: TransferCutsSettings, accuracies: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """The runs in the layout of the project "mp-tl-study": `baselines_<classes>` and `cuts_<classes>_<mode>`."""
    from vision_studies.pipelines.transfer_cuts.published_files import results_file, results_values

    parameters = settings.model_dump(mode="json")
    rate = settings.fine_tuning.optimizer.learning_rate
    scored = accuracies.dropna(subset=["test_accuracy"])
    return {
        results_file(settings.classes.label, mode).removesuffix(".json"): results_values(
            scored, parameters, mode=mode, learning_rate=rate
        )
        for mode in (BASELINE, *settings.modes)
    }


def one_mode(accuracies: pd.DataFrame, mode: str) -> pd.DataFrame:
    """Scored runs of a mode, with the baseline."""
    from vision_studies.pipelines.transfer_cuts.rankings import only_mode

    return only_mode(accuracies.dropna(subset=["test_accuracy"]), mode)


def _pairs(settings: TransferCutsSettings) -> list[tuple[str, str]]:
    """Modes that share cuts to be compared at; fine-tuning everything has one place only."""
    return list(combinations([mode for mode in settings.modes if mode != "fine_tune"], 2))
