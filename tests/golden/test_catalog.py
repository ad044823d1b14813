"""Every data set of every pipeline has its class, its file and its preview as ever: what was written must be found again.

`python -m tests.golden.test_catalog` writes the golden file anew, for changes that are meant and stand in the changelog.
"""

import json
from importlib import import_module
from pathlib import Path

import pytest
from kedro.io import DataCatalog
from tests.conftest import ROOT

from vision_studies.catalog.config_loader import StudyConfigLoader
from vision_studies.settings import CONFIG_LOADER_ARGS

GOLDEN = Path(__file__).with_name("catalog.json")
PIPELINES = sorted(file.parent.name for file in (ROOT / "src/vision_studies/pipelines").glob("*/nodes.py"))
ENVIRONMENTS = ["base", "alphanet_imported+demo"]  # the second has no images, and says so in its own catalog


def data_sets():
    """Names of all data sets that nodes read or write, without parameters."""
    names = set()
    for name in PIPELINES:
        names |= import_module(f"vision_studies.pipelines.{name}").create_pipeline().datasets()
    return sorted(name for name in names if not name.startswith("params:") and name != "parameters")


def described_catalog(environment):
    """Name -> entry as Kedro resolves it; empty for what stays in memory."""
    entries = StudyConfigLoader(ROOT / "conf", environment, **CONFIG_LOADER_ARGS)["catalog"]
    resolver = DataCatalog.from_config(entries).config_resolver
    resolved = json.dumps({name: resolver.resolve_pattern(name) for name in data_sets()})
    key = entries["image_set"].get("filepath", "").split("/")[2:3]
    return json.loads(resolved.replace(key[0], "DATA_SET") if key else resolved)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_data_set_lies_where_it_has_always_lain(environment):
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))[environment]
    found = described_catalog(environment)
    assert found.keys() == golden.keys()
    assert all(found.values())
    assert {name: entry for name, entry in found.items() if entry != golden[name]} == {}


def written(catalogs):
    """JSON with a line a data set."""
    blocks = []
    for environment, entries in catalogs.items():
        lines = [f"  {json.dumps(name)}: {json.dumps(entry, sort_keys=True)}" for name, entry in entries.items()]
        blocks.append(f" {json.dumps(environment)}: {{\n" + ",\n".join(lines) + "\n }")
    return "{\n" + ",\n".join(blocks) + "\n}\n"


if __name__ == "__main__":
    GOLDEN.write_text(written({name: described_catalog(name) for name in ENVIRONMENTS}), encoding="utf-8")
