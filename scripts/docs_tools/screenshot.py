"""Pictures of reports for README and docs, so that they show what reports are.

    python -m scripts.docs_tools.screenshot data/08_reporting/choose_photos/report.html docs/assets/choose.png
    python -m scripts.docs_tools.screenshot data/08_reporting/my_study/report.html docs/figures/tutorial_report.png --part=page

`verdict` is its first answer with its chart, `page` the top of the page. The first is of 500 photographs of CIFAR-10 and
`kedro choose photos`, the second of the study that the tutorial makes.
"""

import argparse
import io
import shutil
from pathlib import Path

from PIL import Image

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTH = {"verdict": 1000, "page": 960}
MARGIN, PAGE_HEIGHT = 12, 1190  # pixels
FIRST, LAST = "#answer", "figure.standings"
"""What a picture of the verdict begins and ends with."""


def screenshot(report: Path, part: str) -> Image.Image:
    """A part of a report in 64 colours, which its flat areas need no more of.

    Raises:
        SystemExit: no Chromium is installed, or the report has no verdict.
    """
    from playwright.sync_api import sync_playwright

    browser_path = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser_path is None:
        raise SystemExit(f"None of {', '.join(BROWSERS)} is installed; install one (Debian: apt install chromium).")
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH[part], "height": PAGE_HEIGHT}, color_scheme="light")
        page.goto(report.resolve().as_uri())
        page.wait_for_load_state("networkidle")
        clip = {"x": 0.0, "y": 0.0, "width": float(WIDTH[part]), "height": float(PAGE_HEIGHT)}
        if part == "verdict":
            begins, ends = (page.locator(selector).first.bounding_box(timeout=1000) for selector in (FIRST, LAST))
            if begins is None or ends is None:
                raise SystemExit(f"{report} shows no verdict with a chart.")
            clip["y"] = begins["y"] - MARGIN
            clip["height"] = ends["y"] + ends["height"] + MARGIN - clip["y"]
        content = page.screenshot(full_page=True, clip=clip)  # type: ignore[arg-type]
        browser.close()
    return Image.open(io.BytesIO(content)).convert("RGB").quantize(64, dither=Image.Dither.NONE)


def main() -> None:
    """Draw the picture that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path)
    parser.add_argument("picture", type=Path, help="PNG file")
    parser.add_argument("--part", choices=sorted(WIDTH), default="verdict")
    arguments = parser.parse_args()
    screenshot(arguments.report, arguments.part).save(arguments.picture, optimize=True)


if __name__ == "__main__":
    main()
