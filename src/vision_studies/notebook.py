"""Opening a study's saved results in a notebook."""

import sys
from pathlib import Path
from typing import Any, NamedTuple

from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.io import CatalogProtocol

from vision_studies.errors import DataError, ParameterError
from vision_studies.project_folders import REPORTS, find_project, project_folder


class OpenedStudy(NamedTuple):
    """What a notebook reads of a study."""

    project: Path
    """The project's folder."""
    catalog: CatalogProtocol
    """Everything that the study has saved."""
    settings: dict[str, Any]
    """The study's parameters: pipeline -> its settings."""


def open_study(name: str) -> OpenedStudy:
    """The catalog and settings of a study, named as on the command line (`resnet_se+middle`), from anywhere in its project.
    Raises ParameterError where there is no project around the working folder, or no such environment, and DataError where the
    study has not run yet.
    """
    project = project_folder()
    if find_project(project) is None:
        raise ParameterError(f"{project} lies in no Kedro project; open the notebook in the project's folder.")
    if not (project / REPORTS / name).is_dir():
        raise DataError(f"The study '{name}' has not run yet; run it first: kedro run --env={name}")
    bootstrap_project(project)
    with KedroSession.create(project, env=name) as session:
        context = session.load_context()  # type: ignore[attr-defined] # the stub names the base class
    if "IPython" in sys.modules:
        from IPython import get_ipython
        from IPython.core.formatters import PlainTextFormatter

        shell = get_ipython()
        if shell is not None:  # Kedro's log handler has Rich put an empty box above every output
            shell.display_formatter.formatters["text/plain"] = PlainTextFormatter(parent=shell.display_formatter)
    return OpenedStudy(project, context.catalog, context.params)
