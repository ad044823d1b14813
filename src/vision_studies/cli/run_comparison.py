"""`kedro runs compare`: configurations beside each other, of whatever question and study."""

import json
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import click

from vision_studies.cli.errors import told_in_a_sentence
from vision_studies.cli.options import env_option
from vision_studies.config.merge import flatten
from vision_studies.errors import ParameterError
from vision_studies.files import hash_json
from vision_studies.outcomes import COMPLETE
from vision_studies.project_folders import MODELS, project_folder
from vision_studies.reports.table import Table
from vision_studies.studies.provenance import parameter_differences
from vision_studies.studies.stored_runs import StoredRun, find_run, find_runs

_LONGEST_VALUE = 60


@click.command(
    "compare",
    epilog=(
        "\b\nExamples:\n  kedro runs compare 3f2a 91c0\n  kedro runs compare twelve_epochs four_epochs --env=resnet_se"
    ),
)
@click.argument("names", metavar="RUN RUN...", nargs=-1, required=True)
@env_option("Look for runs in this study only; in all of them without it.")
@told_in_a_sentence
def compare(names: tuple[str, ...], env: str | None) -> None:
    """Compare the configurations of runs, each with all of its finished seeds, the others with the first.

    They may be of earlier questions, which `kedro run --pipeline=reporting` leaves out, and of several studies.
    """
    import pandas as pd

    from vision_studies.reports.tables import summary_text
    from vision_studies.statistics.comparisons import compare_metrics
    from vision_studies.studies.results import SCHEMA

    models = project_folder() / MODELS
    chosen = [find_run(models, name, env) for name in dict.fromkeys(names)]
    first, *others = chosen
    if not others or any(_alike(one, other) for one, other in combinations(chosen, 2)):
        raise ParameterError("Name two runs or more of different configurations; each stands for all seeds of its own.")
    runs = find_runs(models)
    groups = [[run for run in runs if _alike(run, of) and run.status == COMPLETE] for of in chosen]
    titles = _titles(chosen)
    for run, title, group in zip(chosen, titles, groups, strict=True):
        if not group:
            raise ParameterError(
                f"No run of {title} has been completed; run the study {run.description['study']} again."
            )
    rows = [_row(run, title) for title, group in zip(titles, groups, strict=True) for run in group]
    results = pd.DataFrame(rows).reindex(columns=SCHEMA.names)
    images = {run.description["data_fingerprint"] for run in chosen}
    click.echo(summary_text(results, compare_metrics(results) if len(images) == 1 else None))
    if len(images) > 1:
        click.echo(
            "They were trained and scored on different images: no difference here is one of configurations alone."
        )
    for run, title in zip(others, titles[1:], strict=True):
        click.echo(f"\n'{title}' differs from '{titles[0]}' in\n{_differences(first, run)}")


def _alike(run: StoredRun, other: StoredRun) -> bool:
    """Whether runs differ in nothing but their seed."""
    names = ("study", "pipeline", "trial", "configuration", "data_fingerprint", "method_version")
    return all(run.description[name] == other.description[name] for name in names)


def _titles(runs: Sequence[StoredRun]) -> list[str]:
    """How runs' configurations are called: by variant, with the study and a fingerprint where these would be alike."""
    titles = [run.label or run.description["variant"] for run in runs]
    if len(set(titles)) < len(titles):
        titles = [f"{title} ({run.fingerprint[:6]})" for title, run in zip(titles, runs, strict=True)]
    several = len({run.description["study"] for run in runs}) > 1
    return [
        f"{run.description['study']}: {title}" if several else title for title, run in zip(titles, runs, strict=True)
    ]


def _row(run: StoredRun, title: str) -> dict[str, Any]:
    from vision_studies.studies.results import results_row

    names = {name: run.description[name] for name in ("trial", "seed", "data_fingerprint")}
    names |= {"pipeline": "", "study": "", "variant": title, "run_fingerprint": run.fingerprint}
    names["configuration_hash"] = hash_json(run.configuration)
    return results_row(names, json.dumps(flatten(run.configuration)), run.stages.values())


def _differences(first: StoredRun, other: StoredRun) -> str:
    values = parameter_differences(first.configuration, other.configuration)
    values |= {
        name: [run.description[name] for run in (first, other)]
        for name in ("pipeline", "data_fingerprint", "method_version")
        if first.description[name] != other.description[name]
    }
    rows = [{"parameter": name, "first": _short(old), "here": _short(new)} for name, (old, new) in values.items()]
    return Table(rows, align="lll").terminal() if rows else "nothing but the study and the trial that they belong to"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"
