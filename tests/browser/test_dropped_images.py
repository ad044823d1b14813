"""The page of `kedro models try` in a browser."""

import numpy as np
import pytest
from PIL import Image
from tests.serving.test_try_page import running

from vision_studies.serving.calibration import Calibration


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [375, 1440])
def test_images_are_chosen_by_keyboard_and_shown_with_bars_as_long_as_they_are_probable(
    chromium, tmp_path, width, dark
):
    for name, level in (("usual", 178), ("strange", 255)):
        Image.new("L", (4, 4), level).save(tmp_path / f"{name}.png")
    (tmp_path / "text.png").write_text("no image")
    logits = np.stack([[-1.0, 1.0], [1.0, -1.0]] * 20).astype(np.float32)
    logits += np.random.default_rng(0).normal(0, 0.1, logits.shape).astype(np.float32)
    calibration = Calibration.fitted(logits, logits.argmax(axis=1), logits)
    page = chromium(width=width, dark=dark)
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    with running(calibration) as server:
        page.goto(server.address)
        page.get_by_role("heading", name="Try brightness").wait_for()
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "files"
        page.set_input_files("#files", [tmp_path / f"{name}.png" for name in ("usual", "strange", "text")])
        page.get_by_text("text.png: The image cannot be read: no image.").wait_for()
        page.route("**/predict", lambda route: route.abort())
        page.set_input_files("#files", [tmp_path / "usual.png"])
        page.get_by_text("The command that showed this page has ended; run it again.", exact=True).wait_for()
    results = page.locator(".result")
    assert results.locator("h2").all_text_contents() == ["No answer", "No answer", "<b>bright</b>", "<b>bright</b>"]
    assert results.nth(2).locator(".warning").inner_text().startswith("This image is unlike those that the model knows")
    assert results.nth(3).locator(".warning").count() == 0
    bars = results.nth(3).locator(".bar")
    for place in range(2):
        share = float(results.nth(3).locator(".number").nth(place).inner_text().removesuffix(" %")) / 100
        lengths = "bar => [bar.getBoundingClientRect().width, bar.firstChild.getBoundingClientRect().width]"
        whole, part = bars.nth(place).evaluate(lengths)
        assert part / whole == pytest.approx(share, abs=0.02)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") != dark
    assert errors == []
    page.close()
