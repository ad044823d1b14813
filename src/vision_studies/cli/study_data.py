"""What commands read of a study."""

from pathlib import Path
from typing import TYPE_CHECKING

from kedro.framework.project import configure_project
from kedro.framework.session import KedroSession

if TYPE_CHECKING:
    from vision_studies.data.prepared import PreparedData


def study_name(env: str | None) -> str:
    """The study that `--env` names, as it is spelt in paths."""
    return env or "base"


def load_prepared_data(project: Path, env: str | None) -> "PreparedData":
    """Images and splits of a study.

    Raises:
        DataError: they have not been prepared.
    """
    from vision_studies.data.prepared import PreparedData

    configure_project("vision_studies")
    with KedroSession.create(project, env=env) as session:
        catalog = session.load_context().catalog  # type: ignore[attr-defined] # the stub names the base class
        return PreparedData.from_catalog(catalog.load("image_set"), catalog.load("splits"), {})
