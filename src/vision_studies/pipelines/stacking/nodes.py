"""The steps of `stacking`: those that search, train and score, compare, write down and draw."""

import json
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from vision_studies.config.data_prep import DataPrepSettings
from vision_studies.config.study import ReportingSettings, StudySettings
from vision_studies.errors import DataError
from vision_studies.figures.comparison import comparison_figure
from vision_studies.figures.style import series_of, stamped
from vision_studies.figures.training import learning_curves
from vision_studies.outcomes import COMPLETE, DIVERGED, FAILED, PRUNED
from vision_studies.pipelines.stacking import plots
from vision_studies.pipelines.stacking.settings import StackingSettings, only_variant
from vision_studies.pipelines.stacking.stages import (
    COMBINATIONS,
    EVALUATION,
    SEARCH,
    STACK,
    TRAINING,
    Entry,
    Stacking,
    entry_runs,
    make_run,
    plan_entries,
    trials_of,
)
from vision_studies.reports.formatting import count
from vision_studies.reports.tables import as_texts, study_table, study_tables
from vision_studies.studies.method import run_stages

SearchResults = dict[str, Any]
Plan = list[dict[str, Any]]
Files = dict[str, Any]
_PUBLISHED_COLUMNS = ("Configuration", "Final Accuracy (%)", "Total Parameters", "Training Time (s)")
_PUBLISHED_REPORT = ("configuration_comparison", "efficiency_metrics", "architecture_details")
_DEVIATIONS = "Means over seeds, with the standard deviation of the sample."
_OPTUNA_STATES = {COMPLETE: 1, PRUNED: 2, DIVERGED: 3, FAILED: 3}


def search_hyperparameters(context: Stacking) -> tuple[SearchResults, pd.DataFrame, pd.DataFrame]:
    """Search every variant's hyperparameters, where the study asks for that; several processes may do it at once.

    Returns:
        Variant -> its best trial, all its trials and the importance of what was searched; rows of the results table, one a
        trial; their histories.
    """
    settings = context.settings
    if settings.search is None:
        return {}, context.table([], [TRAINING]), pd.DataFrame({"variant": [], "trial": [], "epoch": []})
    run_stages(context, SEARCH)
    results: SearchResults = {}
    runs = []
    for variant in settings.variants:
        described = trials_of(context, variant)
        search = described.search()
        trials, best = search.trials(), search.best()
        assert best is not None  # noqa: S101 - a search without one says so when it ends
        runs += [described.run(trial.number, trial.drawn) for trial in trials]
        shown = [
            {"number": trial.number, "params": trial.names, "value": trial.value, "status": trial.status}
            for trial in trials
        ]
        importance = search.importance()
        results[variant.name] = {"best": best.number, "drawn": best.drawn, "trials": shown, "importance": importance}
    return results, context.table(runs, [TRAINING]), context.histories(runs)


def train_runs(context: Stacking, trials: SearchResults) -> tuple[list[dict[str, Any]], pd.DataFrame, pd.DataFrame]:
    """Train every variant and every opponent with every seed, what is finished excepted.

    Returns:
        The rows of the study with their roles; rows of the results table, without test columns; histories.
    """
    entries, seeds = _done(context, trials, TRAINING, COMBINATIONS)
    runs = entry_runs(context, entries, seeds)
    plan = [entry.described() for entry in entries]
    return plan, context.table(runs, [TRAINING]), context.histories(runs)


def evaluate_runs(context: Stacking, trials: SearchResults, _training: pd.DataFrame) -> pd.DataFrame:
    """Score every trained run on the test split, once; return the rows of the results table."""
    entries, seeds = _done(context, trials, EVALUATION)
    return context.table(entry_runs(context, entries, seeds), [TRAINING, EVALUATION])


def measure_members(
    context: Stacking, trials: SearchResults, results: pd.DataFrame, reporting: ReportingSettings
) -> pd.DataFrame:
    """What fewer members of every stack, average and ensemble would have said of the test images, without training again.

    Returns:
        A row for every number of members: variant and the columns of `member_curve`; those are of the plain mean of members,
        whatever else decides among them. Nothing of what has a single member, or of combinations that the average has, too.
    """
    from vision_studies.pipelines.stacking.outputs import load_outputs
    from vision_studies.statistics.member_curves import member_curve

    folds, drawn = context.each_fold or [context], _drawn(context.settings, trials)
    rows: list[dict[str, Any]] = []
    for entries in zip(*(plan_entries(own.settings, own.images, drawn) for own in folds), strict=True):
        name, each_seed = entries[0].name, []
        if entries[0].run.method == "combination" and entries[0].role != "average":
            continue
        for seed in results["seed"].unique().tolist():
            runs = [make_run(own, name, seed, entry.run) for own, entry in zip(folds, entries, strict=True)]
            if all(context.runs.is_complete(run, EVALUATION) for run in runs):
                each_seed.append([load_outputs(context.runs.path(run), "test") for run in runs])
        if each_seed and each_seed[0][0].members.shape[1] > 1:
            members = np.stack(
                [np.concatenate([own.members for own in outputs]).swapaxes(0, 1) for outputs in each_seed]
            )
            labels = np.concatenate([own.labels for own in each_seed[0]])
            fold_of = [np.repeat(range(len(folds)), [len(own.labels) for own in outputs]) for outputs in each_seed]
            within = np.stack(fold_of) if len(folds) > 1 else None
            curve = member_curve(members, labels, folds=within, confidence=reporting.confidence)
            rows += [{"variant": name, **row} for row in curve]
    return pd.DataFrame(rows, columns=None if rows else ["variant", "members"])


def compare_stacks(results: pd.DataFrame, plan: Plan, settings: ReportingSettings) -> tuple[dict[str, Any], list[str]]:
    """The variants against the first one, each of them against its opponents, and the answer in sentences."""
    from vision_studies.statistics.comparisons import compare_variants

    scored = results.dropna(subset=["test_accuracy"])
    table = scored[["variant", "seed"]].assign(value=scored["test_accuracy"])
    stacks = [entry["name"] for entry in plan if entry["role"] == STACK]
    tested = [name for name in stacks if name in set(table["variant"])]
    if not tested:
        reasons = "; ".join(sorted(set(results["reason"].dropna()))) or "none was trained"
        raise DataError(f"No stack of the study has a test accuracy ({reasons}); mend that and run the command again.")
    options = settings.over_seeds
    variants = compare_variants(_rows(table, tested), baseline=tested[0], **options)
    opposing = [entry for entry in plan if entry["role"] not in (STACK, "alone")]
    against = {}
    for name in tested:
        names = [name, *(entry["name"] for entry in opposing if name in entry["stacks"])]
        against[name] = compare_variants(_rows(table, names), baseline=name, **options)
    best = scored[scored["variant"].isin(tested)].groupby("variant", sort=False)["validation_accuracy"].mean().idxmax()
    sentences = [*variants["sentence"].dropna(), *against[str(best)]["sentence"].dropna()]
    comparison = {
        "variants": _records(variants),
        "best_by_validation": best,
        "opponents": {name: _records(opponents) for name, opponents in against.items()},
    }
    return comparison, sentences


def tabulate_study(study: StudySettings, results: pd.DataFrame, plan: Plan) -> tuple[Files, Files]:
    """Configurations, efficiency, times and architectures part by part, as the published project prints them.

    Returns:
        Name -> text, as Markdown and as LaTeX. With them, called after the study, are the published project's two files, which
        have the variants alone: `<study>_report` in Markdown and `<study>_table` in LaTeX.
    """
    scored = results[results["test_accuracy"].notna()]
    planned = [entry for entry in plan if entry["name"] in set(scored["variant"])]
    # Architectures are listed part by part below, in the place of a name for each.
    tables = study_tables(_rows(scored, [entry["name"] for entry in planned]), lambda *_: "")
    tables["architecture_details"] = [
        {
            "Configuration": row["Configuration"],
            "Part": part["part"],
            "Parameters": count(part["parameters"]),
            "Operations (MACs)": count(part["macs"]),
        }
        for entry, row in zip(planned, tables["architecture_details"], strict=True)
        for part in entry["parts"]
    ]
    texts = as_texts(tables, study.name, study.title)
    stacks = sum(entry["role"] == STACK for entry in planned)  # they come first; the published files have no opponents
    published = {name: rows if name == "architecture_details" else rows[:stacks] for name, rows in tables.items()}
    rows = [{name: row[name] for name in _PUBLISHED_COLUMNS} for row in published["configuration_comparison"]]
    table = study_table(rows, "Results", study.name, study.title, label=f"tab:{study.name}", note=_DEVIATIONS)
    parts = as_texts(published, study.name, study.title)["md"]
    report = [f"# {study.title}\n", *(parts[name] for name in _PUBLISHED_REPORT if name in parts), f"{_DEVIATIONS}\n"]
    files = {"md": {f"{study.name}_report": "\n".join(report)}, "tex": {f"{study.name}_table": table.latex()}}
    return texts["md"] | files["md"], texts["tex"] | files["tex"]


def describe_study(
    settings: StackingSettings,
    data_prep: DataPrepSettings,
    results: pd.DataFrame,
    plan: Plan,
    histories: pd.DataFrame,
    trials: dict[str, Any],
    trial_results: pd.DataFrame,
    trial_histories: pd.DataFrame,
) -> tuple[Files, Files]:
    """Every variant's `study_results.json` and `hyperparameter_stats.json`, and the search's summaries, as published.

    Accuracies in them are of the validation split, in percent. Without a search, the seeds stand where trials would. Of a
    search, `best_training.yaml` is the parameters of a study of the best trial's configuration alone, on the same images.
    """
    files: Files = {}
    summaries: Files = {}
    parts = {entry["name"]: entry["parts"] for entry in plan}
    for variant in settings.variants:
        searched = trials.get(variant.name)
        rows = (trial_results if searched else results).query("variant == @variant.name")
        variant_histories = (trial_histories if searched else histories).query("variant == @variant.name")
        described = [_trial(row, variant_histories, searched) for row in rows.to_dict("records")]
        complete = [trial for trial in described if trial["state"] == 1]
        best = max(complete, key=lambda trial: trial["value"], default=None)
        best_params = best["params"] if best else {}
        files[f"{variant.name}/study_results"] = {
            "best_params": best_params,
            "trial_accuracies": [trial["value"] for trial in complete],
            "trial_times": [float(seconds) for seconds in rows["seconds"][rows["status"] == COMPLETE]],
            "best_history": best["history"] if best else {},
            "all_trials": described,
            "experiment_type": "stacking",
            "variant_name": variant.name,
            "mock": bool((rows["device"] == "mock").any()),
            "model_stats": {
                "total_params": sum(part["parameters"] for part in parts[variant.name]),
                "macs": sum(part["macs"] for part in parts[variant.name]),
                "parts": parts[variant.name],
            },
        }
        if searched:
            files[f"{variant.name}/hyperparameter_stats"] = _hyperparameter_statistics(complete)
            chosen = settings.configured(variant, searched["drawn"])
            summaries[f"{variant.name}/best_training"] = {
                "data_prep": data_prep.model_dump(mode="json"),
                "stacking": only_variant(settings, variant.name, chosen).model_dump(mode="json"),
            }
            summaries[f"{variant.name}/search_results"] = {
                **_search_results(described, searched),
                "optimizer_type": chosen.training.optimizer.name,
                "training_seconds": float(rows["seconds"].sum()),
                "timestamp": str(rows["finished_at"].max()),
                "importance": searched["importance"],
            }
    return files, summaries


def plot_comparison(
    settings: StackingSettings, results: pd.DataFrame, plan: list[dict[str, Any]], comparison: dict[str, Any]
) -> tuple[Figure, Figure, Figure]:
    """The variants against each other, the best of them against its opponents, and accuracy against cost."""
    best = comparison["best_by_validation"]
    opposing = pd.DataFrame(comparison["opponents"][best])
    roles = {entry["name"]: "stack" if entry["role"] == STACK else "opponent" for entry in plan}
    with series_of(roles):
        figures = (
            comparison_figure(results, pd.DataFrame(comparison["variants"])),
            comparison_figure(results, opposing),
            plots.efficiency_figure(results.assign(role=results["variant"].map(roles))),
        )
    return stamped(figures, _notice(settings))


def plot_members(settings: StackingSettings, members: pd.DataFrame, plan: Plan) -> Figure:
    """Accuracy and log loss against the number of members."""
    with series_of(entry["name"] for entry in plan):
        (figure,) = stamped((plots.members_figure(members),), _notice(settings))
    return figure


def plot_training(
    settings: StackingSettings, histories: pd.DataFrame, plan: list[dict[str, Any]]
) -> tuple[Figure, Figure]:
    """Learning curves of the variants, and what their parts do: base learners, meta-learner and diversity by epoch."""
    stacks = [entry["name"] for entry in plan if entry["role"] == STACK]
    stack_histories = histories[histories["variant"].isin(stacks)]
    with series_of(entry["name"] for entry in plan):
        figures = learning_curves(stack_histories), plots.parts_figure(stack_histories)
    return stamped(figures, _notice(settings))


def plot_search(settings: StackingSettings, trials: dict[str, Any], trial_histories: pd.DataFrame) -> dict[str, Figure]:
    """Of every variant that was searched: the histories of its trials, where they looked, and what mattered.

    Returns:
        `<variant>/training_histories`, `<variant>/hyperparameters` (against accuracy), `<variant>/numerical_hyperparameters`
        (densities), `<variant>/categorical_hyperparameters` (counts) and `<variant>/importance`; nothing without a search.
    """
    figures: dict[str, Figure] = {}
    for name, searched in trials.items():
        statistics = _hyperparameter_statistics([trial for trial in searched["trials"] if trial["status"] == COMPLETE])
        table = pd.DataFrame([{**trial["params"], **trial} for trial in searched["trials"]])
        parameters = list(dict.fromkeys(key for trial in searched["trials"] for key in trial["params"]))
        histories = trial_histories[trial_histories["variant"] == name]
        statuses = histories["trial"].map(table.set_index("number")["status"])
        figures[f"{name}/training_histories"] = plots.trial_histories(histories.assign(status=statuses), name)
        figures[f"{name}/hyperparameters"] = plots.hyperparameter_figure(table, parameters, searched["best"], name)
        numerical, categorical = (
            {key: own for key, own in statistics.items() if own["type"] == kind}
            for kind in ("numerical", "categorical")
        )
        if numerical:
            complete = table[table["status"] == COMPLETE]
            figures[f"{name}/numerical_hyperparameters"] = plots.density_figure(complete, numerical, name)
        if categorical:
            figures[f"{name}/categorical_hyperparameters"] = plots.bar_figure(categorical, name)
        if searched["importance"]:
            figures[f"{name}/importance"] = plots.importance_figure(searched["importance"], name)
    return stamped(figures, _notice(settings))


def _done(context: Stacking, trials: SearchResults, *labels: str) -> tuple[list[Entry], list[int]]:
    """Do stages with what was searched; return all variants and opponents, and the seeds of their runs."""
    drawn = _drawn(context.settings, trials)
    done = run_stages(context, *labels, known={"drawn": drawn})
    seeds = dict.fromkeys(run.seed for label in labels for run in done[label])
    return plan_entries(context.settings, context.images, drawn), list(seeds)


def _drawn(settings: StackingSettings, trials: SearchResults) -> dict[str, Any]:
    """Variant -> what was searched for it."""
    hyperparameters = {}
    for variant in settings.variants if settings.search is not None else ():
        if variant.name not in trials:
            raise DataError(
                f"Nothing was searched for the variant {variant.name}; run the search first: the same command with "
                "--tags=search."
            )
        hyperparameters[variant.name] = trials[variant.name]["drawn"]
    return hyperparameters


def _trial(row: dict[str, Any], histories: pd.DataFrame, searched: dict[str, Any] | None) -> dict[str, Any]:
    epochs = histories[(histories["trial"] == row["trial"]) & (histories["seed"] == row["seed"])].sort_values("epoch")
    params = {"seed": int(row["seed"])}
    if searched:
        params = next(trial["params"] for trial in searched["trials"] if trial["number"] == row["trial"])
    history: dict[str, Any] = {
        "epochs": epochs["epoch"].tolist(),
        "train_acc": [_number(value, 100) for value in epochs["train_accuracy"]],
        "val_acc": [_number(value, 100) for value in epochs["validation_accuracy"]],
    }
    if row["status"] == PRUNED:
        history["pruned_at_epoch"] = int(epochs["epoch"].max())
    return {
        "number": int(row["trial"]) - 1 if searched else int(row["seed"]),
        "params": params,
        "value": _number(row["validation_accuracy"], 100),
        "state": _OPTUNA_STATES[row["status"]],
        "history": history,
    }


def _search_results(described: list[dict[str, Any]], searched: dict[str, Any]) -> dict[str, Any]:
    """What came of a search, under the published names; `described` are its trials as `study_results.json` has them."""
    complete, pruned = ([trial for trial in described if trial["state"] == state] for state in (1, 2))
    best = max(complete, key=lambda trial: trial["value"])
    statuses = {trial["number"] - 1: trial["status"] for trial in searched["trials"]}
    return {
        "status": "complete",
        "best_accuracy": best["value"],
        "best_params": best["params"],
        "best_trial": best["number"],
        "best_trial_state": statuses[best["number"]].upper(),
        "best_trial_pruned_epoch": best["history"].get("pruned_at_epoch"),
        "n_trials": len(described),
        "n_completed": len(complete),
        "n_pruned": len(pruned),
        "n_pruned_with_results": sum(trial["value"] is not None for trial in pruned),
    }


def _hyperparameter_statistics(complete: list[dict[str, Any]]) -> dict[str, Any]:
    statistics: dict[str, Any] = {}
    best = max(complete, key=lambda trial: trial["value"])
    for name in dict.fromkeys(name for trial in complete for name in trial["params"]):
        trials = pd.DataFrame([(row["params"][name], row["value"]) for row in complete if name in row["params"]])
        values, chosen = trials[0], {"best_trial_value": best["params"].get(name)}
        if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            correlation = values.corr(trials[1]) if len(trials) > 2 else None
            statistics[name] = {
                "type": "numerical",
                "mean": float(values.mean()),
                "std": _number(values.std()),
                **chosen,
                "correlation_with_accuracy": _number(correlation),
            }
        else:
            counts = values.astype(str).value_counts()
            shown = {str(value): int(count) for value, count in counts.items()}
            statistics[name] = {"type": "categorical", "value_counts": shown, **chosen, "mode": str(counts.index[0])}
    return statistics


def _number(value: Any, factor: int = 1) -> float | None:
    return None if pd.isna(value) else factor * float(value)


def _rows(table: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """The rows of these variants, in the order of the names."""
    return pd.concat([table[table["variant"] == name] for name in names])


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return json.loads(table.to_json(orient="records"))


def _notice(settings: StackingSettings) -> str:
    """What figures say where their numbers are made up."""
    mock = any(settings.configured(variant).trainer == "mock" for variant in settings.variants)
    return "mock trainer: made-up numbers" if mock else ""
