"""What a page shows of each pipeline, in what order and in what words."""

from functools import cache

from vision_studies.config.registry import METHODS
from vision_studies.pipelines.data_prep.section import SECTION
from vision_studies.studies.method import PageSection, load_method


@cache
def page_sections() -> dict[str, PageSection]:
    """Pipeline -> its section, in the order of the page."""
    return {**{name: load_method(name).section for name in METHODS}, "data_prep": SECTION}
