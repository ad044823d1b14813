"""Notebooks run from their first cell to their last on the results of the demo, and are committed without outputs."""

import os

import nbformat
import pytest
from nbclient import NotebookClient
from tests.conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_kept_without_outputs(path):
    for cell in nbformat.read(path, as_version=4).cells:
        assert cell.cell_type != "code" or (cell.outputs == [] and cell.execution_count is None)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_show_the_results_of_the_demo(path, demo_project, monkeypatch):
    monkeypatch.setenv("STUDY", "demo+quick")
    monkeypatch.setitem(os.environ, "DO_NOT_TRACK", "1")
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=200, kernel_name="python3")
    client.execute(cwd=str(demo_project.folder))
    shown = [out for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs]
    assert any("image/png" in out.get("data", {}) for out in shown)
    assert not [out for out in shown if out.output_type == "error"]
