import os
import shutil
import subprocess
from collections.abc import Callable, Iterator

import pytest

LAUNCH = ("chromium", "chromium-browser", "google-chrome")


def installed_chromium() -> str | None:
    return next((path for name in LAUNCH if (path := shutil.which(name))), None)


def chromium_or_reason() -> tuple[str | None, str]:
    """Path of Debian's Chromium, which is installed where that is possible without asking anybody."""
    if path := installed_chromium():
        return path, ""
    if not shutil.which("apt-get"):
        return None, "Chromium is not installed, and there is no apt-get to install it with"
    privilege = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if privilege and not shutil.which("sudo"):
        return None, "Chromium is not installed, and installing it needs root"
    command = [*privilege, "apt-get", "install", "-y", "--no-install-recommends", "chromium"]
    try:
        subprocess.run([*privilege, "apt-get", "update"], capture_output=True, timeout=120, check=False)
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    except subprocess.TimeoutExpired:
        return None, "Chromium is not installed, and apt-get took more than five minutes"
    if path := installed_chromium():
        return path, ""
    last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no reason given"]
    return None, f"Chromium is not installed, and `{' '.join(command)}` failed: {last[0]}"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Callable]:
    """Opens an empty page: `chromium(width=1440, dark=False, arguments=(), **context)`; all are closed at the end.

    Of a module and not of the session: while Playwright runs, its thread has a running event loop, in which tests that
    start one of their own would fail.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path, reason = chromium_or_reason()
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
