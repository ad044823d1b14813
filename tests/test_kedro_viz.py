"""kedro-viz shows every pipeline: what each node does and in which phase, and what every data set holds."""

import base64
import inspect
import io
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from PIL import Image
from tests.conftest import ROOT

LAYERS = ["primary", "model_input", "models", "model_output", "reporting"]
PIPELINES = sorted(file.parent.name for file in (ROOT / "src/vision_studies/pipelines").glob("*/nodes.py"))
PHASES = {
    "data_prep": {"preparation", "figures"},
    "cifar_resnet": {"training", "evaluation", "figures"},
    "stacking": {"search", "training", "evaluation", "figures"},
    "transfer_cuts": {"pretraining", "training", "evaluation", "figures"},
    "clustering": {"pretraining", "evaluation", "figures"},
    "mlp_transfer": {"search", "retrain", "transfer", "report", "search_report", "figures"},
    "alphanet": {"features", "classifiers", "training", "evaluation", "figures"},
    "choose": {"training", "evaluation", "figures"},
}
FIGURES = [
    *("cifar_resnet.learning_curves", "cifar_resnet.comparison_figure", "stacking.variants_figure"),
    *("transfer_cuts.modes_figure", "clustering.score_lines", "mlp_transfer.regret", "alphanet.split_accuracies"),
    *("data_prep.data_card_figure",),
]
TABLES = [f"{name}.results" for name in PHASES if name != "data_prep"] + [
    *("splits", "cifar_resnet.training_results", "cifar_resnet.predictions", "transfer_cuts.accuracies"),
    *("clustering.summary", "mlp_transfer.importance", "alphanet.class_accuracies"),
]


def catalog():
    """Entries and patterns of entries; what they come to for each data set stands in `tests/golden/catalog.json`."""
    entries = yaml.safe_load((ROOT / "conf/base/catalog.yml").read_text(encoding="utf-8"))
    return {name: entry for name, entry in entries.items() if not name.startswith("_")}


def nodes(name):
    return import_module(f"vision_studies.pipelines.{name}").create_pipeline().nodes


def make(project, *arguments):
    run_here = ("-f", ROOT / "Makefile", "-o", "install", "--no-print-directory", f"BIN={Path(sys.executable).parent}")
    return subprocess.run(
        ["make", *run_here, *arguments],
        cwd=project.folder,
        env=project.environment(),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.mark.parametrize(("name", "entry"), catalog().items(), ids=catalog())
def test_every_data_set_lies_in_a_layer(name, entry):
    assert entry["metadata"]["kedro-viz"]["layer"] in LAYERS


@pytest.mark.parametrize("name", PIPELINES)
def test_every_node_says_what_it_does_and_belongs_to_its_pipeline(name):
    for node in nodes(name):
        assert inspect.getdoc(node.func), node.name
        # Both cut networks that have been pretrained once; nobody else has nodes in common.
        assert node.namespace == name or (name == "clustering" and node.name == "transfer_cuts.pretrain_networks")


@pytest.mark.parametrize("name", PHASES)
def test_every_node_belongs_to_a_phase(name):
    tags = [node.tags for node in nodes(name)]
    assert all(tags)
    assert set().union(*tags) == PHASES[name]
    assert all("figures" in node.tags for node in nodes(name) if node.func.__name__.startswith("plot_"))


@pytest.fixture(scope="module")
def built(demo_project):
    return make(demo_project, "viz-site", "STUDY=demo+quick")


@pytest.fixture(scope="module")
def site(built, demo_project):
    assert built.returncode == 0, built.stdout + built.stderr
    return demo_project.folder / "data/08_reporting/demo+quick/kedro_viz"


@pytest.fixture(scope="module")
def shown(site):
    """Name of a data set -> what its side panel is given."""
    graph = json.loads((site / "api/main").read_text())
    data = {node["name"]: node["id"] for node in graph["nodes"] if node["type"] == "data"}
    return {name: json.loads((site / f"api/nodes/{key}").read_text()) for name, key in data.items()}


@pytest.mark.slow
def test_the_site_is_built_without_a_complaint(built, site):
    assert (site / "index.html").is_file()
    assert built.stdout == "kedro-viz draws the pipelines of demo+quick ...\n"
    assert not built.stderr


@pytest.mark.slow
def test_layers_are_drawn_in_every_pipeline(site):
    assert json.loads((site / "api/main").read_text())["layers"] == LAYERS
    for name in PIPELINES:  # of a circle among them kedro-viz makes no layers at all
        assert set(json.loads((site / f"api/pipelines/{name}").read_text())["layers"]) == set(LAYERS)


@pytest.mark.slow
def test_pipelines_can_be_folded(site):
    folded = json.loads((site / "api/main").read_text())["modular_pipelines"]
    assert set(folded) - {"__root__"} == set(PIPELINES)


@pytest.mark.slow
def test_every_data_set_of_the_study_has_a_preview(shown):
    made = {name: panel for name, panel in shown.items() if not name.startswith("reporting.")}
    assert {name.split(".")[0] for name in made} == set(PHASES) | {"image_set", "splits", "ffcv_files"}
    assert [name for name, panel in made.items() if not panel.get("preview")] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_shown(shown, name):
    assert shown[name]["preview_type"] == "ImagePreview"
    with Image.open(io.BytesIO(base64.b64decode(shown[name]["preview"]))) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 300


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_tables_are_shown(shown, name):
    assert shown[name]["preview_type"] == "TablePreview"
    table = shown[name]["preview"]
    assert len(table["data"]) >= 2
    assert all(len(row) == len(table["columns"]) for row in table["data"])


@pytest.mark.slow
def test_a_table_is_shown_with_the_columns_that_the_catalog_names(shown):
    entry = catalog()["cifar_resnet.training_results"]["metadata"]["kedro-viz"]
    assert shown["cifar_resnet.training_results"]["preview"]["columns"] == entry["preview_args"]["columns"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["transfer_cuts.figures", "clustering.figures", "alphanet.figures"])
def test_of_many_figures_the_first_are_shown(shown, name):
    assert shown[name]["preview_type"] == "HTMLPreview"
    assert 1 <= shown[name]["preview"].count('<img src="data:image/png;base64,') <= 6


def test_a_study_that_has_not_run_is_named(project):
    done = make(project, "viz-site", "STUDY=resnet_se")
    assert done.returncode
    assert done.stderr.startswith("The study 'resnet_se' has not run yet; run it first: kedro run --env=resnet_se\n")
    assert not (project.folder / "data/08_reporting").exists()
