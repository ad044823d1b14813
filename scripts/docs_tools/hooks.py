"""What mkdocs calls while it builds the site."""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from scripts.docs_tools.api_pages import api_pages
from scripts.docs_tools.equations import draw_equations
from scripts.docs_tools.findings import all_results
from scripts.docs_tools.metric_pages import metric_pages
from scripts.docs_tools.parameter_pages import ParameterPages
from scripts.docs_tools.results_page import results_page


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from the code, and of the results that are kept."""
    project = Path(config.config_file_path).parent
    pages = ParameterPages(project / "conf").pages() | api_pages(project / "src/vision_studies") | metric_pages()
    pages |= results_page(all_results())
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - mkdocs names them
    """Draw the equations of a page.

    Raises:
        PluginError: one of them cannot be drawn.
    """
    try:
        return draw_equations(html)
    except ValueError as error:
        raise PluginError(f"{page.file.src_uri}: {error}") from error
