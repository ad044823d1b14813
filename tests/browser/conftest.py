import shutil
from collections.abc import Callable, Iterator

import pytest

from debian_packages import found_or_installed

LAUNCH = ("chromium", "chromium-browser", "google-chrome")


def installed_chromium() -> str | None:
    return next((path for name in LAUNCH if (path := shutil.which(name))), None)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Callable]:
    """Opens an empty page: `chromium(width=1440, dark=False, arguments=(), **context)`; all are closed at the end.

    Of a module and not of the session: while Playwright runs, its thread has a running event loop, in which tests that
    start one of their own would fail.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path, reason = found_or_installed(installed_chromium, "chromium", "Chromium")
    if path is None:
        pytest.skip(reason)
    with playwright.sync_playwright() as running:
        browsers = {}

        def open_page(*, width: int = 1440, dark: bool = False, arguments: tuple[str, ...] = (), **context):
            if arguments not in browsers:
                # Tests may run as root, in a container with little shared memory.
                safe = ["--no-sandbox", "--disable-dev-shm-usage", *arguments]
                browsers[arguments] = running.chromium.launch(executable_path=path, args=safe)
            return browsers[arguments].new_page(
                viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light", **context
            )

        yield open_page
        for browser in browsers.values():
            browser.close()


@pytest.fixture(scope="module")
def axe() -> str:
    """axe-core, as text."""
    library = pytest.importorskip("axe_playwright_python.base", reason="axe-playwright-python is not installed")
    return library.AXE_FILE_PATH.read_text(encoding="utf-8")
