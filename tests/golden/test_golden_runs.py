"""No run is called otherwise than it was: a changed fingerprint makes everyone's finished runs unfindable.

`python -m tests.golden.test_golden_runs` writes the golden file anew, for changes that are meant and stand in the changelog.
"""

import json
import tempfile
from pathlib import Path

import pytest
import yaml
from tests.conftest import ROOT
from tests.golden.runs import described_environment

GOLDEN = Path(__file__).with_name("runs.json")


def environments() -> list[str]:
    """Studies whose data can be made up; features of `alphanet_imported` would have to lie in files."""
    described = {
        file.parent.name: yaml.safe_load(file.read_text(encoding="utf-8"))
        for file in sorted((ROOT / "conf").glob("*/environment.yml"))
    }
    return [
        name
        for name, content in described.items()
        if "title" in content and "studies" not in content and name != "alphanet_imported"
    ]


def test_every_study_has_its_runs_in_the_golden_file():
    assert list(json.loads(GOLDEN.read_text(encoding="utf-8"))) == environments()


@pytest.mark.slow
@pytest.mark.parametrize("environment", environments())
def test_the_runs_of_a_study_are_called_as_ever(environment, tmp_path):
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert described_environment(ROOT / "conf", environment, tmp_path) == golden[environment]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        found = {name: described_environment(ROOT / "conf", name, Path(folder) / name) for name in environments()}
    GOLDEN.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
