"""Notebooks run from their first cell to their last on the results of the demo, and are committed without outputs."""

import re
from contextlib import contextmanager

import nbformat
import pytest
from jupyter_client import KernelManager
from nbclient import NotebookClient
from tests.conftest import ROOT

from vision_studies.errors import DataError, ParameterError
from vision_studies.notebook import open_study
from vision_studies.pipelines.clustering import plots as clustering
from vision_studies.pipelines.transfer_cuts import plots as cuts

# They share a kernel, so those that draw nothing come first: figures must be shown without another's `%matplotlib inline`.
NOTEBOOKS = sorted(
    (ROOT / "notebooks").glob("*.ipynb"), key=lambda path: ("%matplotlib" in path.read_text(), path.name)
)
STUDY = 'STUDY = "demo"'


def cells(path, kind):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def test_every_pipeline_has_a_notebook():
    pipelines = (ROOT / "src/vision_studies/pipelines").glob("*/nodes.py")
    assert {path.stem for path in NOTEBOOKS} == {file.parent.name for file in pipelines}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_kept_without_outputs(path):
    for cell in cells(path, "code"):
        assert cell.outputs == []
        assert cell.execution_count is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_introduced_and_say_how_to_go_on(path):
    texts = [cell.source for cell in cells(path, "markdown")]
    assert texts[0].startswith("# ")
    assert texts[-1].startswith("## How to go on\n")
    assert next(cell.source.count(STUDY) for cell in cells(path, "code")) == 1


@pytest.mark.parametrize("module", [cuts, clustering], ids=lambda module: module.__name__.split(".")[-2])
def test_a_notebook_shows_every_kind_of_figure_of_cuts_and_clusters(module):
    drawn = {name for name, function in vars(module).items() if hasattr(function, "__wrapped__")}
    source = "\n".join(
        cell.source for path in NOTEBOOKS for cell in cells(path, "code") if path.stem in module.__name__
    )
    assert drawn
    assert drawn - set(re.findall(r"(?:plots|clustering)\.(\w+)\(", source)) == set()


@contextmanager
def kernel_in(project):
    """A kernel for several of them: libraries are imported once, names are forgotten in between."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(project.folder), env=project.environment())
    try:
        yield manager
    finally:
        manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def kernel(demo_project):
    with kernel_in(demo_project) as manager:
        yield manager


def outputs_of(path, study, kernel):
    """What a notebook shows of a study, from its first cell to its last."""
    notebook = nbformat.read(path, as_version=4)
    opening = next(cell for cell in notebook.cells if cell.cell_type == "code")
    opening.source = opening.source.replace(STUDY, f'STUDY = "{study}"')
    notebook.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))
    client = NotebookClient(notebook, km=kernel, timeout=200)
    try:
        client.execute()
    finally:  # the kernel goes on; a client left open warns when it is collected, in the output of whatever test runs then
        client.kc.stop_channels()
    return [out for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_show_the_results_of_the_demo(path, kernel):
    shown = outputs_of(path, "demo+quick", kernel)
    kinds = {kind for out in shown for kind in out.get("data", {})}
    assert kinds >= {"image/png", "text/html", "text/markdown"}  # figures, tables, sentences
    assert not [out for out in shown if out.output_type == "error" or out.get("name") == "stderr"]
    assert not [out for out in shown if out.get("data", {}).get("text/html", "table").startswith("<pre")]  # of Rich


def test_outside_the_project_no_study_is_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ParameterError, match="lies in no Kedro project; open the notebook in the project's folder"):
        open_study("demo")


def test_a_study_that_has_not_run_is_named(project, monkeypatch):
    monkeypatch.chdir(project.folder)
    with pytest.raises(DataError, match="'resnet_se' has not run yet; run it first: kedro run --env=resnet_se"):
        open_study("resnet_se")
