import pytest
from tests.conftest import Project, quick_project


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> Project:
    """A project with prepared digits."""
    project = quick_project(tmp_path_factory.mktemp("prepared"))
    project.run("run", "--env=demo", "--pipeline=data_prep")
    return project
