"""The demo leaves the files and the tables that it left: others read them, and finished studies are read by later versions.

`python -m tests.golden.test_golden_demo FOLDER` writes the golden file anew from a project in which the short demo has run, for
changes that are meant and stand in the changelog.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

GOLDEN = Path(__file__).with_name("demo.json")

# What numbers decide, versions and the processor's libraries: each becomes one word.
PATTERNS = (
    (r"\d{4}-\d\d-\d\dT[\d.]+Z?", "VERSION"),
    (r"(runs|features|long_tails)/[0-9a-f]{16}", r"\1/FINGERPRINT"),
    (r"(efficientnet_lite\d_\d+)_[0-9a-f]{16}", r"\1_KEY"),
    (r"(clusters|digits|train|validation|test)-[0-9a-f]{8,12}", r"\1-HASH"),
    (r"epoch_\d+", "epoch_N"),
    (r"examples/.*\.png", "examples/CLASS.png"),
)
WITHOUT = (
    "/ffcv/",
    "/02_intermediate/times/",
    "/kedro_viz/",
    ".lock",
    ".holder",
    "/stacks/",
    "/.versions/",
    "/.serving/",
    "/.nodes/",
)
"""Files that are written only where a library is installed or a command was given (as one that uses a model), those that have
the processor in their name, those that a finished study forgets, and versions of files, the newest of which lie where this
file has them."""

AVERAGE = "average of the best"
IDENTITY = ["variant", "trial", "seed", "condition", "parameters", "macs"]
LOSS_TOLERANCE = 1e-4
"""Relative: the short demo's perceptrons learn in float32, and sums are cut otherwise from processor to processor."""


def files_of(project: Path) -> list[str]:
    """Patterns of the files that a study has left, in order."""
    files = (str(file.relative_to(project)) for file in (project / "data").rglob("*") if file.is_file())
    named = set()
    for file in files:
        if any(part in file for part in WITHOUT):
            continue
        named.add(_without_numbers(file))
    return sorted(named)


def _without_numbers(file: str) -> str:
    for pattern, word in PATTERNS:
        file = re.sub(pattern, word, file)
    return file


def tables_of(project: Path) -> dict[str, Any]:
    """Pipeline -> columns with types, what identifies rows, and of runs that no search has decided fingerprints."""
    found = {}
    for file in sorted((project / "data/07_model_output").glob("*/*/*results.parquet")):
        table = pd.read_parquet(file)
        # Which members an average takes, last digits decide.
        table.loc[table["variant"] == AVERAGE, ["parameters", "macs"]] = 0
        fixed = file.parent.name != "mlp_transfer" or file.stem == "search_results"
        rows = table[[*IDENTITY, *(["run_fingerprint"] if fixed else [])]]
        found[f"{file.parent.name}/{file.stem}"] = {
            "columns": {name: str(kind) for name, kind in table.dtypes.items()},
            "rows": json.loads(rows.to_json(orient="values")),
        }
    return found


def losses_of(project: Path) -> list[float]:
    """Validation losses of the trials of perceptrons."""
    file = next((project / "data/07_model_output").glob("*/mlp_transfer/search_results.parquet"))
    return [float(loss) for loss in pd.read_parquet(file)["validation_loss"]]


@pytest.mark.slow
def test_the_demo_leaves_the_files_and_tables_it_left(demo_project):
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    there = set(files_of(demo_project.folder))
    # Other tests look at the same project, and may leave more in it.
    assert sorted(set(golden["files"]) - there) == []
    tables = tables_of(demo_project.folder)
    assert list(tables) == list(golden["tables"])
    for name, table in tables.items():
        assert table == golden["tables"][name], name
    assert losses_of(demo_project.folder) == pytest.approx(golden["losses"], rel=LOSS_TOLERANCE)


@pytest.mark.slow
def test_a_study_that_is_finished_does_nothing_again_and_imports_no_torch(demo_project):
    def drawn():
        return set((demo_project.folder / "data/08_reporting").rglob("*.png"))

    demo_project.run("run", "--env=demo+quick")  # other tests may have changed something
    before = drawn()
    script = (
        "import sys\nfrom kedro.framework.cli import main\nsys.argv = ['kedro', 'run', '--env=demo+quick']\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    assert not ended.code\n"
        "print(sorted({'torch', 'sklearn', 'optuna', 'scipy.stats'} & set(sys.modules)))"
    )
    options = {"cwd": demo_project.folder, "env": demo_project.environment(), "capture_output": True, "text": True}
    again = subprocess.run([sys.executable, "-c", script], check=True, **options).stdout
    assert re.findall(r"\[ *\d+/83\] (\S+)", again) == ["data_prep.prepare_image_set"]  # which looks at its source
    assert "82 of 83 steps had nothing new to work with, and their results stay" in again
    assert again.splitlines()[-1] == "[]"
    assert drawn() == before
    assert "Report: " in again


if __name__ == "__main__":
    project = Path(sys.argv[1])
    content = {"files": files_of(project), "tables": tables_of(project), "losses": losses_of(project)}
    GOLDEN.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
