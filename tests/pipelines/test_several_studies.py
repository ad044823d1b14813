"""Studies on several sets of images, ranked together."""

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from vision_studies.cli.studies import studies as command
from vision_studies.errors import DataError, ParameterError
from vision_studies.pipelines.reporting.several_studies import accuracies_by_study, compare_studies
from vision_studies.pipelines.reporting.study import StudyFolders
from vision_studies.project_folders import OUTPUTS, REPORTS
from vision_studies.studies.results import validate_results, write_results

VARIANTS = {"plain": 0.7, "wide": 0.8, "deep": 0.75}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project, and a function that stores a study of it."""
    (tmp_path / "pyproject.toml").write_text("[tool.kedro]\n")
    monkeypatch.chdir(tmp_path)

    def store(name, variants=VARIANTS, pipeline="cifar_resnet", images=None, condition=None):
        rows = [
            {
                **{
                    "pipeline": pipeline,
                    "study": name,
                    "variant": variant,
                    "condition": condition,
                    "trial": 0,
                    "seed": seed,
                },
                **{"configuration": "{}", "test_accuracy": accuracy + 0.01 * seed, "status": "complete"},
                **{"run_fingerprint": f"{name}{variant}{seed}", "configuration_hash": variant},
                "data_fingerprint": images or f"images of {name}",
            }
            for variant, accuracy in variants.items()
            for seed in (0, 1)
        ]
        folder = tmp_path / OUTPUTS / name / pipeline
        folder.mkdir(parents=True, exist_ok=True)
        write_results(validate_results(pd.DataFrame(rows)), folder / "results.parquet")
        return StudyFolders(name, tmp_path / OUTPUTS / name, tmp_path / REPORTS / name)

    return store


def test_accuracies_are_means_over_seeds_of_the_variants_that_all_studies_have(project):
    first = project("cats", VARIANTS | {"only here": 0.9})
    second = project("dogs", dict(reversed(VARIANTS.items())))
    table = accuracies_by_study([first, second])
    assert table.index.tolist() == ["cats", "dogs"]
    assert table.columns.tolist() == ["plain", "wide", "deep"]
    np.testing.assert_allclose(table, [[0.705, 0.805, 0.755]] * 2)


def test_a_variant_counts_under_each_of_its_conditions(project):
    chosen = [project(name, condition="10 %") for name in ("cats", "dogs")]
    assert accuracies_by_study(chosen).columns.tolist() == ["plain (10 %)", "wide (10 %)", "deep (10 %)"]


def test_what_cannot_be_compared_is_told(project):
    cats, dogs = project("cats"), project("dogs")
    with pytest.raises(ParameterError, match="Name two studies or more"):
        accuracies_by_study([cats])
    with pytest.raises(DataError, match=r"cats and pets were scored on the same images"):
        accuracies_by_study([cats, project("pets", images="images of cats")])
    with pytest.raises(
        DataError, match=r"cats, birds have 1 variant of cifar_resnet in common, and two or more are needed"
    ):
        accuracies_by_study([cats, project("birds", {"plain": 0.5})])
    with pytest.raises(
        ParameterError, match="no results of stacking .* in common; name one of cifar_resnet with --pipeline"
    ):
        accuracies_by_study([cats, dogs], "stacking")
    for name in ("cats", "dogs"):
        project(name, pipeline="stacking")
    with pytest.raises(ParameterError, match="several pipelines .* in common; name one of cifar_resnet, stacking"):
        accuracies_by_study([cats, dogs])
    with pytest.raises(ParameterError, match="no pipeline with test accuracies in common; run the same"):
        accuracies_by_study([project("fish", pipeline="alphanet"), cats])


def test_studies_are_compared_from_the_command_line(project, tmp_path):
    for number in range(6):
        project(f"set{number}", {name: value + 0.02 * number for name, value in VARIANTS.items()})
    names = [f"set{number}" for number in range(6)]
    done = CliRunner().invoke(command, ["compare", *names, "--margin=3", "-o", "ranks"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "'wide' ranks best over 6 data sets (mean rank 1.00)." in done.output
    assert "It cannot be told from 'plain' and 'deep'." in done.output  # three pairs need a set more
    assert "6 data sets cannot show a difference: the least corrected p that is possible is 0.094; 7" in done.output
    ranks = pd.read_csv(tmp_path / "ranks/ranks.csv")
    assert ranks[["variant", "mean_rank"]].to_numpy().tolist() == [["wide", 1.0], ["deep", 2.0], ["plain", 3.0]]
    pairs = pd.read_csv(tmp_path / "ranks/pairs.csv")
    assert pairs.loc[0, ["first", "second", "wins", "losses"]].tolist() == ["plain", "wide", 0, 6]
    assert (pairs["worse"] + pairs["better"] > 0.9).all()  # 5 points and more, beyond the margin of 3
    assert (tmp_path / "ranks/mean_ranks.svg").read_text().startswith("<?xml")
    wider = compare_studies([_named(tmp_path, name) for name in names], None, margin=0.2, confidence=0.95)
    assert min(pair.alike for pair in wider.pairs) > 0.99


def test_a_study_without_results_is_named_with_those_that_have_some(project):
    project("cats")
    done = CliRunner().invoke(command, ["compare", "cats", "cat"])
    assert done.exit_code == 1
    assert "The study 'cat' has no results in" in done.output
    assert "Did you mean 'cats'?" in done.output


def _named(root, name):
    return StudyFolders(name, root / OUTPUTS / name, root / REPORTS / name)
