"""Whatever was asked before: a table, and the files beside it, are what a fresh folder would have."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kedro.framework.hooks.manager import _NullPluginManager
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline
from tests.properties.law_profiles import slow_law
from tests.studies.contexts import HERE
from tests.studies.engine import execute

from vision_studies.catalog import FolderDataset, PartitionedDataset
from vision_studies.catalog.datasets import ResultsTableDataset
from vision_studies.catalog.study_runner import StudyRunner, only_from_inputs, only_from_runs
from vision_studies.outcomes import Outcome
from vision_studies.studies.results import results_table
from vision_studies.studies.run_store import RunStore
from vision_studies.studies.runs import Run

TRAINED: list[str] = []

QUESTIONS = st.fixed_dictionaries(
    {
        "base": st.fixed_dictionaries(
            {"epochs": st.sampled_from([4, 12]), "policy": st.sampled_from(["last", "best"])}
        ),
        "variants": st.dictionaries(
            st.sampled_from(["plain", "wide", "renamed"]), st.sampled_from([8, 16]), min_size=1, max_size=3
        ),
        "seeds": st.lists(st.integers(0, 2), min_size=1, max_size=2, unique=True),
        "data": st.sampled_from(["photos", "more photos"]),
    }
)


def train(question, folder):
    runs = [
        Run("cifar_resnet", "asked", variant, 0, seed, question["base"] | {"width": width}, question["data"], 1)
        for variant, width in question["variants"].items()
        for seed in question["seeds"]
    ]

    def work(run: Run, _: Path) -> Outcome:
        TRAINED.append(run.fingerprint)
        return Outcome({"test_accuracy": run.configuration["epochs"] / run.configuration["width"] / 2 + run.seed / 100})

    execute(runs, "training", work, folder, HERE)
    return results_table(runs, RunStore(folder), ["training"])


def describe(results):
    return {f"{name}/accuracy": str(rows["test_accuracy"].mean()) for name, rows in results.groupby("variant")}


NODES = [
    Node(only_from_runs(train), ["params:question", "runs"], "results"),
    Node(only_from_inputs(describe), ["results"], "texts"),
]


def ask(folder, question):
    """Run the pipeline of a study; what it has left: the table, and file -> content of all other files."""
    outputs = folder / "data/07_model_output/asked"
    (folder / "data/06_models/asked").mkdir(parents=True, exist_ok=True)
    text = {"type": "vision_studies.catalog.atomic.TextDataset"}
    catalog = DataCatalog(
        {
            "runs": FolderDataset(filepath=str(folder / "data/06_models/asked")),
            "results": ResultsTableDataset(filepath=str(outputs / "results.parquet")),
            "texts": PartitionedDataset(path=str(outputs / "texts"), filename_suffix=".txt", dataset=text),
            "params:question": MemoryDataset(question),
            "params:fresh": MemoryDataset(False),
        }
    )
    StudyRunner().run(Pipeline(NODES), catalog, _NullPluginManager())
    texts = {str(file.relative_to(outputs)): file.read_text() for file in (outputs / "texts").rglob("*.*")}
    return catalog.load("results").drop(columns="finished_at"), texts


@pytest.mark.slow
@slow_law
@given(st.lists(QUESTIONS, min_size=2, max_size=4))
def test_any_sequence_of_questions_ends_in_the_table_of_a_fresh_folder(tmp_path_factory, questions):
    TRAINED.clear()
    folder = tmp_path_factory.mktemp("asked")
    for question in questions:
        table, texts = ask(folder, question)
    assert len(TRAINED) == len(set(TRAINED))  # what an earlier question has finished is not trained again
    fresh_table, fresh_texts = ask(tmp_path_factory.mktemp("fresh"), questions[-1])
    assert table.to_dict("records") == fresh_table.to_dict("records") or table.equals(fresh_table)
    assert texts == fresh_texts
    assert {Path(name).parts[1] for name in texts} == set(questions[-1]["variants"])
